package sim

import "rollcall/internal/fact"

// Taken is what is new in one section of a machine.
type Taken struct {
	Section string
	Delta   fact.Delta
	Base    *Base // what Delta starts from, if that is what machines share and not a set that was taken before
}

// Take gives what a server would record of a machine by now, and counts it as
// recorded, without any envelope: for those who fill a store and send nothing. The
// first time that is all the machine has, as deltas from what it shares with
// others; later it is what has changed since. A Report after it is the first of its
// key's chain, and must not be followed by another Take.
func (a *Agents) Take(i int) (all []Taken) {
	l := &a.links[i]
	m := a.fleet.Member(i)
	if l.began {
		a.changed(m, l, func(n int, _ Section, d fact.Delta) { all = append(all, Taken{Section: sectionNames[n], Delta: d}) })
	} else {
		for _, name := range sectionNames {
			if t, ok := a.founded(a.fleet.section(name, m, a.fleet.now[i])); ok {
				all = append(all, t)
			}
		}
	}
	for n, name := range sectionNames {
		for _, t := range all {
			if t.Section == name {
				l.digests[n] = t.Delta.Result
			}
		}
	}
	l.sent, l.began = a.fleet.now[i], true
	return all
}

// founded gives a section as what is different from its base; there is none of a
// section that is empty.
func (a *Agents) founded(s Section) (Taken, bool) {
	t := Taken{Section: s.Name, Delta: fact.Delta{Put: s.Put}}
	if s.Base != nil && len(s.Base.Facts) > 0 {
		t.Base, t.Delta.Base = s.Base, s.Base.Digest()
		for _, path := range s.Drop {
			if _, had := s.Base.Facts.Get(path); had {
				t.Delta.Drop = append(t.Delta.Drop, path)
			}
		}
	}
	if t.Base == nil && len(s.Put) == 0 {
		return t, false
	}
	t.Delta.Result = a.digest(s)
	return t, true
}
