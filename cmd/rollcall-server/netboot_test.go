package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/server"
)

// seats is a boot image in its folder, and what machines that boot it say.
type seats struct {
	*lab
	root  string // of the image, as a machine sees it that has booted it
	token string
	image string // name of the image's CI
	made  *machine
	was   map[string][]byte // what lay where sit puts something
}

// imageOf makes a boot image out of a recorded machine and lets the server know it.
func (l *lab) imageOf(m *machine) *seats {
	l.t.Helper()
	image := &machine{l: l, name: "edu12", root: m.root, state: l.path("state/edu12")}
	image.edit("etc/hostname", "edu12\n")
	image.enrol("elm/north", "image")
	image.once()
	s := &seats{lab: l, root: m.root, image: "edu12", token: l.path("netboot.token"), was: map[string][]byte{}}
	s.made = image
	l.must("rollcall", "ci", "set", l.only("class = image"), "name=edu12")
	l.must("rollcall", "enrol", "token", "--netboot", "--site", "elm/north/room12", "--class", "diskless", "--net", "127.0.0.0/8", "--image", s.image, "--days", "400", "--out", s.token)
	if out, err := l.try("", "rollcall-agent", "image", "--config", l.path("agent.conf"), "--state", image.state, "--out", l.path("image")); err != nil {
		l.t.Fatalf("rollcall-agent image: %v\n%s", err, out)
	}
	return s
}

// only gives the name of the one CI that a filter selects.
func (l *lab) only(filter string) string {
	l.t.Helper()
	names := strings.Fields(l.must("rollcall", "find", "--names", filter))
	if len(names) != 1 {
		l.t.Fatalf("%s selects %q, want one", filter, names)
	}
	return names[0]
}

// sit puts other hardware under the image: seat n of the room.
func (s *seats) sit(n int) {
	s.t.Helper()
	put := func(name, value string) {
		if old, err := os.ReadFile(filepath.Join(s.root, name)); err == nil && s.was[name] == nil {
			s.was[name] = old
		}
		if err := os.WriteFile(filepath.Join(s.root, name), []byte(value+"\n"), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	cards, err := filepath.Glob(filepath.Join(s.root, "sys/class/net/e*/address"))
	if err != nil || len(cards) == 0 {
		s.t.Fatalf("no card in %s: %v", s.root, err)
	}
	for i, c := range cards {
		put(strings.TrimPrefix(c, s.root+"/"), fmt.Sprintf("18:66:da:00:%02x:%02x", i, n))
	}
	put("sys/class/dmi/id/product_uuid", fmt.Sprintf("4c4c4544-0051-4d10-8052-b4c04f30%04x", n))
	put("sys/class/dmi/id/board_serial", fmt.Sprintf("/SEAT%03d/CN7221/", n))
	put("sys/class/dmi/id/product_serial", fmt.Sprintf("SEAT%03d", n))
	name := fmt.Sprintf("seat%02d", n)
	put("etc/hostname", name)
	if _, err := os.Stat(filepath.Join(s.root, "proc/sys/kernel/hostname")); err == nil {
		put("proc/sys/kernel/hostname", name)
	}
	put("etc/machine-id", fmt.Sprintf("1866da0000%02x%020d", n, 0)) // as LTSP makes it
}

// boot is what the image does on a machine that has booted it.
func (s *seats) boot() (sum bootSummary) {
	s.t.Helper()
	out, err := s.try("", "rollcall-agent", "once", "--config", s.path("agent.conf"), "--root", s.root, "--state", s.path("nowhere"),
		"--stateless", "--token-file", s.token, "--image", s.path("image"), "--patience", "0s", "--json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &sum)
	}
	if err != nil {
		s.t.Fatalf("boot: %v\n%s\nserver log:\n%s", err, out, s.log)
	}
	if _, err := os.Stat(s.path("nowhere")); err == nil {
		s.t.Fatal("a machine that keeps nothing made a state folder")
	}
	return sum
}

type bootSummary struct {
	Outcome  string `json:"outcome"`
	Envelope int    `json:"envelope_bytes"`
	Full     bool   `json:"full"`
}

func TestFiftyBootsOfOneImageAreFiftySeats(t *testing.T) {
	l := newLab(t, loopback(t), "")
	hosts := l.recorded("tjener", "room12-pc04")
	tjener := hosts["tjener"]
	tjener.enrol("elm/north", "server")
	tjener.once()
	was := l.must("rollcall", "ci", "history", "tjener")
	s := l.imageOf(hosts["room12-pc04"])
	const fifty = 50
	largest, least := 0, 0
	for n := range fifty {
		s.sit(n)
		sum := s.boot()
		if sum.Outcome != "recorded" || sum.Full {
			t.Fatalf("seat %d: %+v, want that it tells what it has otherwise than its image", n, sum)
		}
		if n > 0 { // the first brings contents
			largest = max(largest, sum.Envelope)
		}
	}
	names := strings.Fields(l.must("rollcall", "find", "--names", "trust = T0"))
	if len(names) != fifty {
		t.Errorf("%d seats after %d boots: %q", len(names), fifty, names)
	}
	if got := strings.Fields(l.must("rollcall", "find", "--names", "fact(id/image) = "+id(l, s.image))); len(got) != fifty {
		t.Errorf("%d CIs have booted the image, want %d", len(got), fifty)
	}
	if got := l.must("rollcall", "find", "--names", "class = server"); strings.TrimSpace(got) != "tjener" {
		t.Errorf("servers are %q, want tjener alone", got)
	}
	if now := l.must("rollcall", "ci", "history", "tjener"); now != was {
		t.Errorf("the main server has changed:\n%s", now)
	}
	// What the image has is there, although no seat has said it.
	if got := strings.Fields(l.must("rollcall", "find", "--names", "trust = T0 and pkg(cups)")); len(got) != fifty {
		t.Errorf("%d seats have the image's packages, want %d", len(got), fifty)
	}
	for _, n := range []int{0, 7, fifty - 1} {
		// Sooner than two minutes after it was admitted a session is not over by itself.
		l.must("rollcall", "enrol", "revoke", fmt.Sprintf("seat%02d", n), "--reason", "switched off")
		s.sit(n)
		sum := s.boot()
		if sum.Outcome != "unchanged" {
			t.Errorf("seat %d, booted again: %+v, want unchanged", n, sum)
		}
		least = max(least, sum.Envelope)
	}
	if got := strings.Fields(l.must("rollcall", "find", "--names", "trust = T0")); len(got) != fifty {
		t.Errorf("%d seats after some booted again, want %d", len(got), fifty)
	}
	// Where the image was changed and does not tell of itself anew, a seat says all.
	for name, old := range s.was { // where the image is made there is no seat's hardware
		s.made.edit(name, string(old))
	}
	s.made.edit("etc/motd", "a newer image\n")
	s.made.once()
	s.sit(fifty)
	if sum := s.boot(); sum.Outcome != "recorded" || !sum.Full {
		t.Errorf("a seat of an image that has changed: %+v, want a full report", sum)
	}
	t.Logf("a seat whose image is known sends %d bytes at most, one that has not changed %d", largest, least)
	if largest > 8<<10 || least > 1<<10 {
		t.Errorf("a seat sends %d bytes, and %d where nothing has changed", largest, least)
	}
	l.stop()
	checkAll(t, l.config(), server.Known{})
}

func TestAnImageMadeFromAnEnrolledServerClonesNoIdentity(t *testing.T) {
	l := newLab(t, loopback(t), "")
	tjener := l.recorded("tjener")["tjener"]
	tjener.state = filepath.Join(tjener.root, "var/lib/rollcall") // where it lies on a server
	tjener.enrol("elm/north", "server")
	tjener.once()
	key, err := os.ReadFile(filepath.Join(tjener.state, "agent.key"))
	if err != nil {
		t.Fatal(err)
	}
	copied := l.path("copy")
	if out, err := exec.Command("cp", "-a", tjener.root, copied).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	l.must("rollcall", "enrol", "token", "--netboot", "--site", "elm/north/room12", "--class", "diskless", "--net", "127.0.0.0/8", "--out", l.path("netboot.token"))
	s := &seats{lab: l, root: copied, token: l.path("netboot.token"), was: map[string][]byte{}}
	s.sit(7)
	was := l.must("rollcall", "ci", "history", "tjener")

	// The service that the image brought along says what is wrong and does nothing.
	clone := &machine{l: l, name: "clone", root: copied, state: filepath.Join(copied, "var/lib/rollcall")}
	before := treeSum(t, clone.state)
	if out, err := clone.agent("once"); err == nil || !strings.Contains(err.Error(), "belongs to another machine") {
		t.Errorf("the service of the server, in its image: %v\n%s", err, out)
	}
	out, err := l.try("", "rollcall-agent", "once", "--config", l.path("agent.conf"), "--root", copied, "--state", clone.state, "--stateless", "--token-file", s.token, "--patience", "0s")
	if err != nil {
		t.Fatalf("once --stateless: %v\n%s", err, out)
	}
	if after := treeSum(t, clone.state); !bytes.Equal(before, after) {
		t.Error("the state folder that the image brought along has changed")
	}
	if got := l.only("trust = T0"); got == "tjener" {
		t.Errorf("the seat is %s", got)
	}
	if now := l.must("rollcall", "ci", "history", "tjener"); now != was {
		t.Errorf("the main server has changed:\n%s", now)
	}
	if got := strings.TrimSpace(l.must("rollcall", "find", "--names", "cloned = yes")); got != "" {
		t.Errorf("a fork of %s: the key was used", got)
	}
	if kept, err := os.ReadFile(filepath.Join(tjener.state, "agent.key")); err != nil || !bytes.Equal(kept, key) {
		t.Errorf("the server's own key: %v", err)
	}
	tjener.once()
	l.stop()
	checkAll(t, l.config(), server.Known{})
}

// id gives the id of a CI.
func id(l *lab, name string) string {
	l.t.Helper()
	var ci struct {
		ID string `json:"id"`
	}
	l.decode(l.must("rollcall", "ci", "show", name, "--json"), &ci)
	return ci.ID
}

// treeSum reads all files of a folder.
func treeSum(t *testing.T, dir string) []byte {
	t.Helper()
	var all []byte
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(name)
		all = append(append(all, name...), b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
