package index

import "iter"

// Paths yields the paths of a section that some CI has or had, in no order. They
// are of all sites: who tells of one asks first whether a CI of the scope has it.
func (v View) Paths(section string) iter.Seq[string] {
	return func(yield func(string) bool) {
		n, ok := v.f.sectionN[section]
		if !ok || int(n) >= len(v.f.dict.bySect) {
			return
		}
		for _, id := range v.f.dict.bySect[n] {
			if !yield(v.f.pathText(id)) {
				return
			}
		}
	}
}
