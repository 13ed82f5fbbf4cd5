package index

import (
	"strings"

	"rollcall/server/query"
)

// maxPatterns bounds the patterns whose paths are remembered.
const maxPatterns = 256

// pattern remembers which paths a glob fits. Paths only ever come, so that only
// those since the last time have to be looked at.
type pattern struct {
	looked []int // by section of the pattern: how many of its paths were looked at
	paths  []pathID
}

// matching returns the paths that fit a glob or, without one, the path itself.
func (d *dict) matching(glob string) []pathID {
	if !query.IsGlob(glob) {
		if p, ok := d.lookup(glob); ok {
			return []pathID{p}
		}
		return nil
	}
	d.pmu.Lock()
	defer d.pmu.Unlock()
	p := d.patterns[glob]
	if p == nil {
		if len(d.patterns) >= maxPatterns {
			clear(d.patterns)
		}
		p = &pattern{}
		d.patterns[strings.Clone(glob)] = p
	}
	for section, paths := range d.bySect {
		for section >= len(p.looked) {
			p.looked = append(p.looked, 0)
		}
		if !couldFit(glob, d.sections[section]) {
			continue
		}
		for _, id := range paths[p.looked[section]:] {
			if query.Glob(glob, d.pathText(id)) {
				p.paths = append(p.paths, id)
			}
		}
		p.looked[section] = len(paths)
	}
	return p.paths
}

// couldFit tells whether a path of a section can fit: a pattern names its section
// without wild cards.
func couldFit(glob, section string) bool {
	name, _, _ := strings.Cut(glob, "/")
	return name == section
}
