// Package likeness weighs whether two descriptions are of one machine, and says in
// words why: which serial numbers, UUIDs and addresses they share, which differ, and
// which say nothing because many machines have them or because they belong to
// something that is plugged in.
//
// It reads facts and nothing else. All of them can be forged, so whoever asks
// decides: the package admits, merges and changes nothing.
package likeness

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/fact"
)

// Promiscuous is the number of CIs beyond which an identifier that they all show
// identifies none of them: the serial number that a vendor gave a whole series, the
// address of a dock that goes from desk to desk.
const Promiscuous = 3

// Kind of an identifier.
type Kind string

// The kinds, the most telling first.
const (
	Board     Kind = "serial number of the board"
	Product   Kind = "serial number"
	UUID      Kind = "SMBIOS UUID"
	Permanent Kind = "permanent MAC"
	Chassis   Kind = "serial number of the chassis"
	MAC       Kind = "MAC"
	Disk      Kind = "serial number of a disk"
	MachineID Kind = "machine-id"
	HostKey   Kind = "SSH host key"
	Name      Kind = "host name"
	Key       Kind = "key" // what is known of the keys that spoke; facts tell nothing of it
)

// weight is what a shared identifier of a kind is worth, and what two different
// ones cost. Values of which a machine has several, as addresses are, differ only
// if none is shared.
type weight struct {
	kind      Kind
	same      int
	different int
	several   bool
	installed bool // it came with the installation, so that a copied disk brings it along
}

var weights = []weight{
	{kind: Board, same: 6, different: 6},
	{kind: Product, same: 6, different: 5},
	{kind: UUID, same: 5, different: 3}, // a new firmware may make up another
	{kind: Permanent, same: 5, different: 3, several: true},
	{kind: Chassis, same: 3, different: 2},
	{kind: MAC, same: 2, different: 1, several: true},
	{kind: Disk, same: 2, several: true}, // disks move
	{kind: MachineID, same: 2, installed: true},
	{kind: HostKey, same: 2, several: true, installed: true},
	{kind: Name, same: 1, installed: true},
}

// Trait is one thing by which a machine may be known.
type Trait struct {
	Kind  Kind
	Value string
	From  string // the interface or disk that has it
	Void  string // why it identifies nothing; empty: it may
}

// same tells whether two traits are the same identifier. Letters count as one.
func (t Trait) same(o Trait) bool { return t.Kind == o.Kind && strings.EqualFold(t.Value, o.Value) }

// Sections are those whose facts Of reads.
var Sections = []string{"id", "net", "hw", "ssh"}

// Of gives the traits that facts tell, the most telling first. Those that cannot
// identify anything are among them, with the reason.
func Of(facts fact.Set) []Trait {
	var all []Trait
	inside := ""
	if virtual, _ := facts.Get("id/virtual"); IsContainer(virtual) {
		inside = fmt.Sprintf("a container (%s) shows what its host has", fact.Cut(virtual, 20))
	}
	for _, f := range []struct {
		kind Kind
		path string
	}{{Board, "id/serial/board"}, {Product, "id/serial/product"}, {UUID, "id/uuid"}, {Chassis, "id/serial/chassis"}} {
		value, ok := facts.Get(f.path)
		if !ok {
			continue
		}
		t := Trait{Kind: f.kind, Value: value, Void: inside}
		if junk := fact.Placeholder(value) || f.kind == UUID && fact.BadUUID(value); junk {
			t.Void = "vendors put it where nothing was filled in"
		}
		all = append(all, t)
	}
	all = append(all, cards(facts)...)
	all = append(all, disks(facts, inside)...)
	if id, ok := facts.Get("id/machine-id"); ok {
		all = append(all, Trait{Kind: MachineID, Value: id, Void: weakMachineID(id)})
	}
	for _, f := range facts.Below("ssh/hostkey/") {
		all = append(all, Trait{Kind: HostKey, Value: f.Value})
	}
	if name, ok := facts.Get("id/hostname"); ok {
		all = append(all, Trait{Kind: Name, Value: name, Void: commonName(name)})
	}
	slices.SortStableFunc(all, func(a, b Trait) int { return cmp.Compare(rank(a.Kind), rank(b.Kind)) })
	return all
}

func rank(k Kind) int {
	return slices.IndexFunc(weights, func(w weight) bool { return w.kind == k })
}

// IsContainer tells whether a value of id/virtual names a container, whose DMI is
// its host's.
func IsContainer(virtual string) bool {
	switch virtual {
	case "lxc", "lxc-libvirt", "docker", "podman", "systemd-nspawn", "openvz", "rkt", "container-other", "wsl", "proot", "pouch":
		return true
	}
	return false
}

// weakMachineID says why a machine-id identifies nothing.
func weakMachineID(id string) string {
	switch {
	case strings.HasSuffix(id, strings.Repeat("0", 20)):
		return "LTSP makes it from the MAC at each boot"
	case fact.Placeholder(id):
		return "it was never made"
	}
	return ""
}

// commonName says why a host name identifies nothing.
func commonName(name string) string {
	switch short, _, _ := strings.Cut(strings.ToLower(name), "."); short {
	case "localhost", "debian", "ltsp", "unassigned-hostname", "linux", "live", "":
		return "it is what a system is called before somebody names it"
	}
	return ""
}

func disks(facts fact.Set, inside string) (all []Trait) {
	for _, f := range facts.Below("hw/disk/") {
		parts := strings.Split(f.Path, "/")
		if len(parts) != 4 || parts[3] != "serial" {
			continue
		}
		t := Trait{Kind: Disk, Value: f.Value, From: parts[2], Void: inside}
		if fact.Placeholder(f.Value) {
			t.Void = "vendors put it where nothing was filled in"
		}
		all = append(all, t)
	}
	return all
}
