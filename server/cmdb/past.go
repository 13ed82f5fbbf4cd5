package cmdb

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// Then is a CI as it was at one time, as far as most questions ask.
type Then struct {
	ID      string
	Rev     uint64 // number of the revision that made it so
	Name    string
	Class   string
	Site    string
	Status  Status
	Created time.Time
	Changed time.Time

	state lightState
}

// Set returns the digest of a section's set; it is zero if there was none.
func (t Then) Set(section string) fact.Digest { return t.state.of(section) }

// Reported tells whether there were any facts: a CI may be known before its machine has
// told of itself.
func (t Then) Reported() bool { return len(t.state) > 0 }

// AllAsOf yields every CI of the scope as it was at t; those that were not known
// then are passed over. Part is one of parts of about the same size, from 0, that
// may be read at the same time, each through a view of its own. What is yielded
// holds until the next one is. A CI of which something is damaged comes as an error
// with its id alone; the next ones follow.
//
// It is made for many CIs: next to nothing is decoded but what a Then has, and of
// a CI's revisions two or three are read, however many there are.
func (v View) AllAsOf(t time.Time, part, parts int) iter.Seq2[Then, error] {
	return func(yield func(Then, error) bool) {
		prefix := v.tenant + "/"
		from, to := []byte(prefix+idFrom(part, parts)), []byte(prefix+idFrom(part+1, parts))
		if part == 0 {
			from = []byte(prefix)
		}
		if part+1 == parts {
			to = store.PrefixEnd([]byte(prefix))
		}
		at := nanos(t)
		var head lightHead
		var room [2]lightRevision
		for p, err := range v.r.Scan(store.CI, from, to, 0) {
			head = lightHead{State: head.State[:0]}
			if err == nil {
				err = store.DecodeJSON(store.Key{Space: store.CI, K: p.K}, p.V, &head)
			}
			if err != nil {
				if !yield(Then{ID: string(p.K[min(len(prefix), len(p.K)):])}, fmt.Errorf("read CI %.40q: %w", p.K, err)) || p.K == nil {
					return
				}
				continue
			}
			if !v.scope.Sees(head.Site) {
				continue
			}
			then, err := v.then(&head, at, &room)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if !yield(then, err) {
				return
			}
		}
	}
}

// idFrom is where a part of all ids begins.
func idFrom(part, parts int) string { return fmt.Sprintf("ci%04x", part<<16/parts) }

// then gives a CI as of a time, or ErrNotFound.
func (v View) then(head *lightHead, at int64, room *[2]lightRevision) (Then, error) {
	if at >= head.Changed.UnixNano() {
		return Then{head.ID, head.Rev, head.Name, head.Class, head.Site, head.Status, head.Created, head.Changed, head.State}, nil
	}
	r, err := v.lastUntil(head, at, room)
	if err != nil {
		return Then{ID: head.ID}, err
	}
	return Then{head.ID, r.N, r.Name, r.Class, r.Site, Status(r.Declared), head.Created, time.Unix(0, r.Stamp).UTC(), r.State}, nil
}

// nanos is the stamp that a revision of that time would have: far times have none.
func nanos(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, 0)):
		return 0
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// lastUntil finds the last revision until a time, or ErrNotFound. It guesses from
// the time between the ends, which are known without reading, and halves where that
// does not help: changes come in bursts.
func (v View) lastUntil(head *lightHead, at int64, room *[2]lightRevision) (*lightRevision, error) {
	lo, hi := max(1, head.First), head.Rev
	loAt, hiAt := head.Created.UnixNano(), head.Changed.UnixNano()
	switch {
	case at < loAt || hi < lo:
		return nil, ErrNotFound
	case at >= hiAt:
		lo = hi
	}
	found, next := &room[0], &room[1]
	found.N = 0
	for tries := 0; hi-lo > 1; tries++ {
		mid := lo + (hi-lo)/2
		if tries%3 != 2 && hiAt > loAt {
			share := float64(at-loAt) / float64(hiAt-loAt)
			mid = min(max(lo+uint64(share*float64(hi-lo)+0.5), lo+1), hi-1)
		}
		if err := v.light(head.ID, mid, next); err != nil {
			return nil, err
		}
		if next.Stamp <= at {
			lo, loAt = mid, next.Stamp
			found, next = next, found
		} else {
			hi, hiAt = mid, next.Stamp
		}
	}
	if found.N == lo {
		return found, nil
	}
	if err := v.light(head.ID, lo, found); err != nil {
		return nil, err
	}
	if found.Stamp > at { // what was before is no longer kept
		return nil, ErrNotFound
	}
	return found, nil
}

func (v View) light(ci string, n uint64, r *lightRevision) error {
	r.clear()
	found, err := store.GetJSON(v.r, revisionKey(v.tenant, ci, n), r)
	if err == nil && !found {
		err = fmt.Errorf("revision %d of CI %s: %w", n, ci, store.ErrCorrupt)
	}
	return err
}

// lightHead is as much of a CI as Then takes, lightRevision of a Revision.
type lightHead struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Class   string     `json:"class"`
	Site    string     `json:"site"`
	Status  Status     `json:"status"`
	Rev     uint64     `json:"rev"`
	Created time.Time  `json:"created"`
	Changed time.Time  `json:"changed"`
	First   uint64     `json:"first"`
	State   lightState `json:"state"`
}

type lightRevision struct {
	N        uint64     `json:"n"`
	Stamp    int64      `json:"stamp"`
	Name     string     `json:"name"`
	Class    string     `json:"class"`
	Site     string     `json:"site"`
	Declared string     `json:"status"`
	State    lightState `json:"state"`

	Prev   lightState      `json:"prev"`   // of JSON alone: all that was before
	Fields json.RawMessage `json:"fields"` // as they are stored
	Before uint64          `json:"prev_declared"`
	was    lightState      // sections that had another set before, or are gone
	absent [][]byte        // sections that were not there before
	old    bool            // it was stored as JSON
}

// clear makes the record empty, for the next one.
func (r *lightRevision) clear() {
	*r = lightRevision{State: r.State[:0], was: r.was[:0], absent: r.absent[:0]}
}

// before returns what a section was before that has the set is now.
func (r *lightRevision) before(section string, is fact.Digest) fact.Digest {
	if r.old {
		return r.Prev.of(section)
	}
	for _, name := range r.absent {
		if string(name) == section {
			return fact.Digest{}
		}
	}
	if was := r.was.of(section); !was.IsZero() {
		return was
	}
	return is
}

// UnmarshalJSON reads what programs stored before records were compact.
func (r *lightRevision) UnmarshalJSON(b []byte) error {
	type plain lightRevision
	err := json.Unmarshal(b, (*plain)(r))
	r.old, r.was = true, r.Prev
	return err
}

// lightState is sections as they are stored: a digest, then the name. It shares
// memory with the snapshot, which is where Then holds.
type lightState [][]byte

func (s lightState) of(section string) (d fact.Digest) {
	for _, v := range s {
		if len(v) > len(d) && string(v[len(d):]) == section {
			return fact.Digest(v[:len(d)])
		}
	}
	return d
}

// UnmarshalJSON reads what programs stored before records were compact.
func (s *lightState) UnmarshalJSON(b []byte) error {
	var state fact.State
	if err := json.Unmarshal(b, &state); err != nil {
		return err
	}
	for section, d := range state {
		*s = append(*s, append(d[:], section...))
	}
	return nil
}

// ReadField implements store.Compact, with the numbers of CI. Unlike others it keeps
// the sections as they lie in the snapshot.
func (h *lightHead) ReadField(number uint64, v []byte) error {
	switch number {
	case 1:
		h.ID = string(v)
	case 2:
		h.Name = string(v)
	case 3:
		h.Class = string(v)
	case 4:
		h.Site = string(v)
	case 5:
		h.Status = Status(v)
	case 7:
		h.State = append(h.State, v)
	case 8:
		h.Rev = store.UintOf(v)
	case 9:
		h.Created = store.TimeOf(v)
	case 10:
		h.Changed = store.TimeOf(v)
	case 15:
		h.First = store.UintOf(v)
	}
	return nil
}

// ReadField implements store.Compact, with the numbers of Revision.
func (r *lightRevision) ReadField(number uint64, v []byte) error {
	switch number {
	case 2:
		r.N = store.UintOf(v)
	case 3:
		r.Stamp = int64(store.UintOf(v))
	case fieldState:
		r.State = append(r.State, v)
	case fieldWas:
		r.was = append(r.was, v)
	case fieldWasAbsent:
		r.absent = append(r.absent, v)
	case 11:
		r.Fields = v
	case 13:
		r.Name = string(v)
	case 14:
		r.Class = string(v)
	case 15:
		r.Site = string(v)
	case 20:
		r.Declared = string(v)
	case 22:
		r.Before = store.UintOf(v)
	}
	return nil
}
