package mirror

import (
	"slices"
	"strings"

	"rollcall/internal/fact"
)

// sheet is the text of a whole, line by line.
type sheet struct {
	odd  bool // it has facts that no line can be told of
	raw  []byte
	keys []string // of the lines, sorted
	at   []uint32 // where each line begins, and where the last one ends
}

func (s *sheet) size() int { return len(s.raw) + 24*len(s.keys) + 200 }

// form is how a file shows sections: the lines of each one sorted by their keys.
// Changing a form changes the commit ids of a rebuilt mirror.
type form struct {
	name     string
	sections []string
	key      func(path string) (key string, ok bool) // of the line that tells of a fact
	line     func(b []byte, set Facts, key string) []byte
	full     func(b []byte, set fact.Set) []byte // all lines, also of odd facts
}

func newForms() []form {
	manifest, allManifest := aLineEach(manifestLine)
	hardware, allHardware := aLineEach(hardwareLine)
	return []form{
		{manifestFile, []string{"conffile", "etc"}, ownLine, manifest, allManifest},
		{packagesFile, []string{"pkg"}, packageKey, packageLine, packagesText},
		{hardwareFile, []string{"hw"}, ownLine, hardware, allHardware},
	}
}

// keys lists the keys of the lines that tell of facts, each once.
func (f form) keys(paths []string) ([]string, bool) {
	keys := make([]string, 0, len(paths))
	for _, p := range paths {
		k, ok := f.key(p)
		if !ok {
			return nil, false
		}
		if len(keys) == 0 || keys[len(keys)-1] != k {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), true
}

func (f form) sheet(whole Facts) *sheet {
	paths := make([]string, len(whole.Base))
	for i, b := range whole.Base {
		paths[i] = b.Path
	}
	s := &sheet{}
	var ok bool
	if s.keys, ok = f.keys(paths); !ok {
		return &sheet{odd: true}
	}
	for _, k := range s.keys {
		s.at = append(s.at, uint32(len(s.raw)))
		s.raw = f.line(s.raw, whole, k)
	}
	s.at = append(s.at, uint32(len(s.raw)))
	return s
}

// ownLine is the key of a form that has a line for each fact.
func ownLine(path string) (string, bool) { return path, true }

// The manifest is fact.Set.WriteText of all sets: everything that git cannot
// hold (owners, groups, modes, empty folders, extended attributes) and what the
// server was not given.
func manifestLine(b []byte, path, value string) []byte {
	return append(append(append(append(b, path...), '\t'), value...), '\n')
}

// The hardware has a line for each fact: "system/vendor = Dell".
func hardwareLine(b []byte, path, value string) []byte {
	return append(append(append(append(b, strings.TrimPrefix(path, "hw/")...), " = "...), value...), '\n')
}

// aLineEach makes the two functions of a form that has a line for each fact.
func aLineEach(line func(b []byte, path, value string) []byte) (one func([]byte, Facts, string) []byte, full func([]byte, fact.Set) []byte) {
	one = func(b []byte, set Facts, path string) []byte {
		if v, ok := set.get(path); ok {
			b = line(b, path, v)
		}
		return b
	}
	return one, func(b []byte, set fact.Set) []byte {
		for _, f := range set {
			b = line(b, f.Path, f.Value)
		}
		return b
	}
}

// packageKey is the name of the package that a fact is about. The facts of a
// package follow each other, unless some are of another form.
func packageKey(path string) (string, bool) {
	name, attr := splitPackage(path)
	return name, attr != "" && name != "" && !strings.Contains(name, "/")
}

func packageLine(b []byte, set Facts, name string) []byte {
	version, ok := set.get("pkg/" + name + "/version")
	if !ok {
		if !set.below("pkg/" + name + "/") {
			return b
		}
		version = "-"
	}
	b = append(append(append(b, name...), ' '), version...)
	if state, ok := set.get("pkg/" + name + "/state"); ok {
		b = append(append(append(b, " ["...), state...), ']')
	}
	return append(b, '\n')
}

// packagesText has a line for each package: "NAME VERSION [STATE]", the state
// only where it is not "install ok installed", "-" where there is no version.
func packagesText(b []byte, set fact.Set) []byte {
	type pkg struct{ name, version, state string }
	var all []pkg
	for _, f := range set {
		name, attr := splitPackage(f.Path)
		if len(all) == 0 || all[len(all)-1].name != name {
			all = append(all, pkg{name: name, version: "-"})
		}
		switch p := &all[len(all)-1]; attr {
		case "version":
			p.version = f.Value
		case "state":
			p.state = " [" + f.Value + "]"
		}
	}
	slices.SortStableFunc(all, func(a, b pkg) int { return strings.Compare(a.name, b.name) })
	for _, p := range all {
		b = append(append(append(append(append(b, p.name...), ' '), p.version...), p.state...), '\n')
	}
	return b
}

// splitPackage gives "cups" and "version" of "pkg/cups/version".
func splitPackage(path string) (name, attr string) {
	path = strings.TrimPrefix(path, "pkg/")
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return path, ""
	}
	return path[:i], path[i+1:]
}
