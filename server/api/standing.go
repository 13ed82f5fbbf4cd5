package api

import (
	"errors"

	"rollcall/server/cmdb"
	"rollcall/server/index"
	"rollcall/server/store"
)

// counted is how many CIs of a scope there are, and how they are.
type counted struct {
	items    uint64
	presence map[string]uint64
	cloned   int
}

// standing counts the CIs by the index or, while there is none, by reading every
// head. One whose head is damaged is not counted where the index names it.
func (s *Service) standing(items cmdb.View) (counted, error) {
	c := counted{presence: map[string]uint64{}}
	if s.Index != nil {
		err := s.Index.Look(items.Scope(), func(v index.View) error {
			for slot := range v.Machines().Slots() {
				c.items++
				c.presence[s.Presence.Of(v.ID(slot), s.Now())]++
			}
			c.cloned = v.Cloned().Count()
			return nil
		})
		if !errors.Is(err, index.ErrLoading) {
			return c, err
		}
	}
	for ci, err := range items.All() {
		if errors.Is(err, store.ErrCorrupt) && s.Index != nil {
			continue // the index names it
		}
		if err != nil {
			return c, err
		}
		if ci.Into() != "" {
			continue
		}
		c.items++
		c.presence[s.Presence.Of(ci.ID, s.Now())]++
		if ci.Cloned {
			c.cloned++
		}
	}
	return c, nil
}
