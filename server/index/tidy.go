package index

import "slices"

// tidy writes all lists and texts anew, close together: while a fleet is read,
// bases are found late, and as much room is given back as is kept.
func (f *fleet) tidy() {
	old := f.lists
	f.lists = newLists()
	keep := func(r listRef) listRef { return f.lists.make(old.get(r)) }
	keepSlim := func(s slim) slim {
		if s&slimList != 0 {
			return slim(keep(listRef(s&^slimList))) | slimList
		}
		return s
	}
	for i := range uint32(f.cis.n) {
		rec := f.cis.at(i)
		rec.sets = keep(rec.sets)
	}
	for i := range uint32(f.sets.n) {
		s := f.sets.at(i)
		s.form, s.members = f.lists.makeTagged(old.getTagged(s.delta()))|s.form&ownsBit, keepSlim(s.members)
	}
	for x, l := range f.lacks {
		f.lacks[x] = keepSlim(l)
	}
	for _, b := range f.bases {
		if b != nil {
			b.slots.list = slices.Clone(b.slots.list) // without the room to grow
		}
	}
	f.growBy = 15 // much is not to come any more
	if live, room := f.owners.live(), f.owners.len(); 10*live < 8*room || 20*(f.owners.n-live) > room {
		f.growOwners(0, 12)
	}
	words := f.texts
	f.texts, f.dict.lost = texts{}, 0
	f.texts.add(nil)
	for i := range uint32(f.paths.n) {
		p := f.paths.at(i)
		if p.text != 0 {
			p.text = f.texts.add(words.get(p.text))
		}
	}
	for i := range uint32(f.dict.facts.n) {
		rec := f.dict.facts.at(i)
		if rec.has = keepSlim(rec.has); rec.value != 0 {
			rec.value = f.texts.add(words.get(rec.value))
		}
	}
}

// untidy tells whether so much was given back that it is time to tidy up.
func (f *fleet) untidy() bool {
	room := f.lists.room() + len(f.texts.chunks)*textChunk
	return room > least && 2*(4*f.lists.words+f.texts.bytes-f.dict.lost) < room
}

// least is the room in bytes below which nobody cares.
const least = 8 << 20

// room is what the lists take, in bytes.
func (l *lists) room() int {
	n := 0
	for _, c := range l.chunks {
		n += 4 * cap(c)
	}
	return n
}
