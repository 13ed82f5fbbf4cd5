package index

import (
	"bytes"
	"slices"
)

// replace makes another set of one whose only CI has that set now. What both have
// stays as it is: to take one set out and put the other in would cost a look for
// each fact that the machine alone has.
func (c *core) replace(set uint32, key uint64, f form) {
	old := c.formOf(set)
	c.replaceOwn(set, old.own, f)
	c.changes(old.adds, f.adds, func(x uint32, on bool) { c.posted(x, sourceSet(set), on) })
	c.changes(old.drops, f.drops, func(x uint32, on bool) { c.lacking(x, set, on) })
	c.keep(set, f, len(f.own) > 0)
	c.stand(set, f.base)
	s := c.sets.at(set)
	c.byKey.remove(c.setHash(set), set, c.setHash)
	s.setKey(key)
	c.byKey.insert(c.setHash(set), set, c.setHash)
	about := c.sectionAbout(s.section)
	about.lone = slices.DeleteFunc(about.lone, func(l uint32) bool { return l == set })
}

// replaceOwn brings the table of owners in step with the facts of its own that a set
// has in another form.
func (c *core) replaceOwn(set uint32, old owns, f form) {
	if len(old) == 0 && len(f.own) == 0 {
		return
	}
	if c.owners.full(set, len(f.fresh)) { // as long as the set has what the table is made of
		c.growOwners(len(f.fresh), c.growBy)
	}
	was, i := c.listOwn(old), 0
	for now := range c.ownFacts(f.own) {
		now.hash = f.fresh[i].hash
		i++
		for len(was) > 0 && was[0].path < now.path {
			c.owned(set, was[0], false)
			was = was[1:]
		}
		if len(was) > 0 && was[0].path == now.path {
			same := was[0].column == now.column && bytes.Equal(was[0].value, now.value)
			if !same {
				c.owned(set, was[0], false)
			}
			if was = was[1:]; same {
				continue
			}
		}
		c.owned(set, now, true)
	}
	for _, o := range was {
		c.owned(set, o, false)
	}
}

// changes tells what one list of facts has and another has not. Both are in the order
// of paths.
func (c *core) changes(old, now []uint32, each func(x uint32, on bool)) {
	for len(old) > 0 || len(now) > 0 {
		switch {
		case len(old) > 0 && len(now) > 0 && old[0] == now[0]:
			old, now = old[1:], now[1:]
		case len(now) == 0 || len(old) > 0 && c.pathOf(old[0]) <= c.pathOf(now[0]):
			each(old[0], false)
			old = old[1:]
		default:
			each(now[0], true)
			now = now[1:]
		}
	}
}

// stand puts a set, and the CIs that have it, from its base on another one.
func (c *core) stand(set, base uint32) {
	s := c.sets.at(set)
	was := s.base()
	if was == base {
		return
	}
	s.on = uint16(base)
	var one [1]uint32
	for _, slot := range c.lists.slimGet(s.members, &one) {
		if was != 0 {
			c.bases[was].slots.remove(slot)
		}
		if base != 0 {
			c.bases[base].slots.add(slot, c.slots)
		}
	}
	c.bases[base].sets++
	c.bases[was].sets--
	c.dropBase(was)
}
