package index

import (
	"cmp"
	"slices"
	"strings"
)

// Common counts the leading components that two sites share.
func Common(a, b string) int {
	n := 0
	x, y := strings.Split(a, "/"), strings.Split(b, "/")
	for n < min(len(x), len(y)) && x[n] == y[n] {
		n++
	}
	return n
}

// Near returns up to most CIs of the scope that are of a class and have reported:
// those whose site is nearest to one first, then by name.
func (v View) Near(class, site string, most int) []uint32 {
	if class == "" {
		return v.nearest(v.without(headPrefix+"class"), site, most)
	}
	return v.nearest(v.Holders(headPrefix+"class", class), site, most)
}

// without returns the CIs of the scope that have nothing at a path of the head.
func (v View) without(path string) Bits {
	b := v.Machines()
	if p, ok := v.f.lookup(path); ok {
		some := v.Group()
		for x := range v.f.ofPath(p) {
			v.f.orFact(some, x)
		}
		b.AndNot(some)
	}
	return b
}

func (v View) nearest(of Bits, site string, most int) (found []uint32) {
	levels := make([]Bits, strings.Count(site, "/")+2) // by how much of the site is common
	for i := range levels {
		levels[i] = v.Group()
	}
	if p, ok := v.f.lookup(headPrefix + "site"); ok {
		for x := range v.f.ofPath(p) {
			text, _ := v.f.value(x)
			v.f.orFact(levels[Common(text, site)], x)
		}
	}
	levels[Common("", site)].Or(v.without(headPrefix + "site"))
	for _, level := range slices.Backward(levels) {
		level.And(of)
		type named struct {
			slot uint32
			name string
		}
		var all []named
		for slot := range level.Slots() {
			if len(v.f.lists.get(v.f.cis.at(slot).sets)) > 1 { // beside the head
				all = append(all, named{slot, v.Name(slot)})
			}
		}
		slices.SortFunc(all, func(a, b named) int { return cmp.Compare(a.name, b.name) })
		for _, n := range all[:min(len(all), most-len(found))] {
			found = append(found, n.slot)
		}
		if len(found) == most {
			break
		}
	}
	return found
}
