package sim

import (
	"iter"

	"rollcall/internal/fact"
)

// sectionNames are the sections that a simulated machine has, in order.
var sectionNames = [...]string{"apt", "etc", "fs", "group", "hw", "id", "module", "net", "os", "pkg", "ssh", "svc", "user"}

// Sections gives what a machine has now, section by section in the order of their
// names, as its agent would report it: a base that it shares with other machines,
// and the facts that only it has. The same base is the same pointer, so that its
// facts need be looked at once.
//
// This is the way to build what a server knows of a fleet without sending
// anything: for benchmarks of indexes, questions and comparisons.
func (f *Fleet) Sections(i int) iter.Seq[Section] {
	return func(yield func(Section) bool) {
		m := f.Member(i)
		for _, name := range sectionNames {
			if !yield(f.section(name, m, f.now[i])) {
				return
			}
		}
	}
}

// Section gives one section of a machine; see Sections. It has no base if there is
// no such section.
func (f *Fleet) Section(i int, name string) Section { return f.section(name, f.Member(i), f.now[i]) }

// Sets gives a machine's sets by section.
func (f *Fleet) Sets(i int) map[string]fact.Set {
	sets := map[string]fact.Set{}
	for s := range f.Sections(i) {
		if set := s.Set(); len(set) > 0 {
			sets[s.Name] = set
		}
	}
	return sets
}

func (f *Fleet) section(name string, m Member, s state) Section {
	switch name {
	case "apt":
		return f.apt(m, s)
	case "etc":
		return f.etc(m, s)
	case "fs":
		return f.volumes(m)
	case "hw":
		return f.hardware(m, s)
	case "id":
		return f.identification(m, s)
	case "module":
		return f.modules(m)
	case "net":
		return f.network(m)
	case "os":
		return f.system(m, s)
	case "pkg":
		return f.packages(m, s)
	case "ssh":
		return f.hostKeys(m, s)
	case "group", "svc", "user":
		return f.recorded(name, m)
	}
	return Section{Name: name}
}
