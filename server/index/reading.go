package index

import (
	"errors"
	"fmt"

	"rollcall/server/cmdb"
	"rollcall/server/query"
)

// byReading answers from the store, one CI after another.
func (s *selection) byReading(t query.Expr, among Bits) (Bits, error) {
	n := among.Count()
	if s.reads -= n; s.reads < 0 {
		return nil, fmt.Errorf("%w: %s reads the history of %d CIs, at most %d are read: add a condition that leaves fewer, such as site = … or changed < 7d",
			ErrCost, t, n, maxReads)
	}
	found := s.Group()
	for slot := range among.Slots() {
		ok, err := s.match(t, slot)
		if err != nil {
			return nil, err
		}
		if ok {
			found.set(slot)
		}
	}
	return found, nil
}

// match asks one CI in the store. One that cannot be read is noted; one that is
// gone is not selected.
func (s *selection) match(e query.Expr, slot uint32) (bool, error) {
	if err := s.ctx.Err(); err != nil {
		return false, err
	}
	id := s.ID(slot)
	sub, ok := s.memo[id]
	if !ok {
		var err error
		if sub, err = s.q.Read(id); errors.Is(err, cmdb.ErrNotFound) {
			return false, nil
		} else if err != nil {
			s.answer.Skipped[id] = err
			return false, nil
		}
		s.memo[id] = sub
	}
	ok, err := query.Match(e, sub, s.q.Now)
	if errors.Is(err, query.ErrCost) {
		return false, err
	}
	if err != nil {
		s.answer.Skipped[id] = err
		return false, nil
	}
	return ok, nil
}
