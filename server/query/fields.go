package query

import "slices"

// FieldKind says how the values of a field are compared.
type FieldKind string

// The kinds of fields.
const (
	Text    FieldKind = "text"    // as written, without regard to case; globs
	Tree    FieldKind = "tree"    // paths; "elm/*" is elm's subtree
	Version FieldKind = "version" // in dpkg's order
	Number  FieldKind = "number"  // in numeric order
	Size    FieldKind = "size"    // bytes; with units: 8G, 512MiB
	Time    FieldKind = "time"    // 2026-11-20, or an age: 7d
)

// FieldInfo describes one field, for completion and documentation.
type FieldInfo struct {
	Name string
	Kind FieldKind
	Help string
	// Facts are globs of the paths where the value is found when the Subject does
	// not know the field itself.
	Facts []string
}

// Fields returns all fields in the order in which help shows them.
func Fields() []FieldInfo { return slices.Clone(fields) }

// Each comparison of a value asks for the kind of its field: the table is made once.
var (
	fields = []FieldInfo{
		{"name", Text, "name of the CI", nil},
		{"ci", Text, "id of the CI", nil},
		{"class", Text, "server, workstation, laptop, diskless, thin-client, …", []string{"id/class"}},
		{"site", Tree, "place in the tree municipality/school/building/room", nil},
		{"status", Text, "on-order, received, under-test, in-production, under-repair, disposed", nil},
		{"presence", Text, "live, silent, never-seen", nil},
		{"owner", Text, "who answers for it", nil},
		{"location", Text, "where it stands, in words", nil},
		{"trust", Text, "unsigned upload, observed by a boot server, T0 netboot claim, T1 file key", nil},
		{"mac", Text, "MAC address of any card", []string{"net/*/mac", "net/*/permanent"}},
		{"ip", Text, "address of any card", []string{"net/*/addr/*"}},
		{"hostname", Text, "host name that the machine reports", []string{"id/hostname"}},
		{"serial", Text, "serial number of the machine, its board or chassis", []string{"id/serial/*"}},
		{"uuid", Text, "DMI UUID", []string{"id/uuid"}},
		{"tag", Text, "inventory tag", []string{"id/tag"}},
		{"vendor", Text, "maker of the machine", []string{"hw/system/vendor"}},
		{"model", Text, "product name of the machine", []string{"hw/system/product"}},
		{"bios", Version, "version of the firmware", []string{"hw/bios/version"}},
		{"cpu", Text, "processor", []string{"hw/cpu/model"}},
		{"memory", Size, "main memory", []string{"hw/memory/total"}},
		{"os", Text, "operating system: debian", []string{"os/id"}},
		{"release", Version, "version of the operating system: 12.5", []string{"os/version"}},
		{"codename", Text, "bookworm, trixie, …", []string{"os/codename"}},
		{"kernel", Version, "running kernel", []string{"os/kernel"}},
		{"driver", Text, "driver of any card", []string{"net/*/driver", "hw/pcidriver/*"}},
		{"module", Text, "any loaded kernel module", []string{"module/*"}},
		{"user", Text, "any local account", []string{"user/*"}},
		{"cloned", Text, "yes if two machines report with the same key", nil},
		{"changed", Time, "when any fact last changed", nil},
		{"seen", Time, "when it last reported", nil},
		{"created", Time, "when the CI was recorded", nil},
	}
	fieldsByName = byName(fields)
)

func byName(all []FieldInfo) map[string]FieldInfo {
	m := make(map[string]FieldInfo, len(all))
	for _, f := range all {
		m[f.Name] = f
	}
	return m
}

// fieldNamed returns the description of a field.
func fieldNamed(name string) (FieldInfo, bool) {
	f, ok := fieldsByName[name]
	return f, ok
}

func fieldNames() []string {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	return names
}

// functions are the subjects that take an argument.
var functions = []string{string(OnPackage), string(OnFile), string(OnFact), string(OnChanged), string(OnOther), string(OnCount)}
