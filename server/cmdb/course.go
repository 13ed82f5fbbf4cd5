package cmdb

import (
	"fmt"
	"iter"
	"time"

	"rollcall/server/store"
)

// Course yields what a CI was after each of its revisions until a time, oldest
// first. Of a revision next to nothing is decoded but what a Then has. What is
// yielded holds until the next one is. After an error it stops.
func (v View) Course(ci CI, until time.Time) iter.Seq2[Then, error] {
	return func(yield func(Then, error) bool) {
		if err := v.inScope(ci.ID); err != nil {
			yield(Then{ID: ci.ID}, err)
			return
		}
		at, want := nanos(until), ci.From()
		var r lightRevision
		from, to := revisionKey(v.tenant, ci.ID, want), revisionKey(v.tenant, ci.ID, ci.Rev+1)
		for p, err := range v.r.Scan(store.Event, from.K, to.K, 0) {
			r.clear()
			if err == nil {
				err = store.DecodeJSON(store.Key{Space: store.Event, K: p.K}, p.V, &r)
			}
			if err == nil && r.N != want {
				err = missing(ci.ID, want)
			}
			if err != nil {
				yield(Then{ID: ci.ID}, fmt.Errorf("read the history of CI %s: %w", ci.ID, err))
				return
			}
			if want++; r.Stamp > at || !yield(r.then(ci), nil) {
				return
			}
		}
		if want <= ci.Rev {
			yield(Then{ID: ci.ID}, missing(ci.ID, want))
		}
	}
}

func missing(ci string, n uint64) error {
	return fmt.Errorf("revision %d of CI %s: %w", n, ci, store.ErrCorrupt)
}

func (r *lightRevision) then(ci CI) Then {
	return Then{ci.ID, r.N, r.Name, r.Class, r.Site, Status(r.Declared), ci.Created, time.Unix(0, r.Stamp).UTC(), r.State}
}

// Was returns what a CI was after its n-th revision, or ErrNotFound.
func (v View) Was(ci CI, n uint64) (Then, error) {
	if err := v.inScope(ci.ID); err != nil {
		return Then{ID: ci.ID}, err
	}
	if n < ci.From() || n > ci.Rev {
		return Then{ID: ci.ID}, fmt.Errorf("revision %d of CI %s: %w", n, ci.ID, ErrNotFound)
	}
	var r lightRevision
	err := v.light(ci.ID, n, &r)
	return r.then(ci), err
}

// Came finds a revision since which something holds of a CI of which it holds as of
// a time: it did not hold after the revision before that, or there is none before.
// It halves what is in question: of n revisions some log2(n) are looked at, two or
// three more are read. What came and went several times may have come earlier than
// it says. It returns ErrNotFound if it does not hold then.
func (v View) Came(ci CI, until time.Time, holds func(Then) (bool, error)) (Then, error) {
	if err := v.inScope(ci.ID); err != nil {
		return Then{ID: ci.ID}, err
	}
	var room [2]lightRevision
	head := lightHead{ID: ci.ID, Rev: ci.Rev, First: ci.First, Created: ci.Created, Changed: ci.Changed}
	last, err := v.lastUntil(&head, nanos(until), &room)
	if err != nil {
		return Then{ID: ci.ID}, err
	}
	came := last.then(ci)
	if ok, err := holds(came); err != nil || !ok {
		if err == nil {
			err = fmt.Errorf("what was asked about CI %s: %w", ci.ID, ErrNotFound)
		}
		return Then{ID: ci.ID}, err
	}
	for lo := ci.From(); lo < came.Rev; { // it holds after came; before lo nothing is known or it does not
		mid := lo + (came.Rev-lo)/2
		then, err := v.Was(ci, mid)
		if err != nil {
			return Then{ID: ci.ID}, err
		}
		ok, err := holds(then)
		switch {
		case err != nil:
			return Then{ID: ci.ID}, err
		case ok:
			came = then
		default:
			lo = mid + 1
		}
	}
	return came, nil
}
