package observer

import (
	"context"
	"errors"
	"maps"
	"slices"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/likeness"
)

// match merges the observed CIs whose cards are built into a machine with an agent.
func (s *Service) match(ctx context.Context, id string) error {
	if len(s.open) == 0 {
		return nil
	}
	same := map[string]string{} // observed CI → card
	err := s.view(ctx, func(v cmdb.View) error {
		clear(same)
		ci, err := v.CI(id)
		if errors.Is(err, cmdb.ErrNotFound) {
			return nil
		}
		if err != nil || ci.TrustClass() != enrol.T1 || ci.Site == "" || !mayBeAnother(ci) {
			return err
		}
		cards, err := builtIn(v, ci.State)
		if err != nil {
			return err
		}
		for _, mac := range cards {
			of := idOf(cmdb.RepoOf(ci.Site), mac)
			if s.open[of] {
				mine, err := s.mergeable(v, of)
				if err != nil {
					return err
				}
				if mine {
					same[of] = mac
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, of := range slices.Sorted(maps.Keys(same)) {
		if err := s.Merge(ctx, of, id, "its card "+same[of]+" is built into it"); err != nil {
			return err
		}
		delete(s.open, of)
	}
	return nil
}

// mergeable tells whether an observed CI may be merged without being asked: once. What
// people have split stays apart.
func (s *Service) mergeable(v cmdb.View, id string) (bool, error) {
	ci, err := v.CI(id)
	if err != nil || ci.TrustClass() != cmdb.Observed || !mayBeAnother(ci) {
		delete(s.open, id)
		if errors.Is(err, cmdb.ErrNotFound) {
			err = nil
		}
		return false, err
	}
	for r, err := range v.History(ci) {
		if err != nil {
			return false, err
		}
		if _, was := r.Fields[cmdb.IntoField]; was {
			delete(s.open, id)
			return false, nil
		}
	}
	return true, nil
}

// builtIn gives the permanent addresses that identify a machine: those of docks and of
// what is made by software do not.
func builtIn(v cmdb.View, state fact.State) (macs []string, err error) {
	var all []fact.Fact
	for _, section := range []string{"id", "net"} {
		set, err := v.Set(state, section)
		if err != nil {
			return nil, err
		}
		all = append(all, set...)
	}
	for _, t := range likeness.Of(fact.NewSet(all)) {
		if t.Kind == likeness.Permanent && t.Void == "" {
			macs = append(macs, t.Value)
		}
	}
	return macs, nil
}

// matchOpen looks for those who have the cards of observed CIs.
func (s *Service) matchOpen(ctx context.Context) error {
	for _, of := range slices.Sorted(maps.Keys(s.open)) {
		mac := ""
		err := s.view(ctx, func(v cmdb.View) error {
			mac = ""
			ci, err := v.CI(of)
			if errors.Is(err, cmdb.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			set, err := v.Set(ci.State, "net")
			mac, _ = set.Get(seenMAC)
			return err
		})
		if err != nil {
			return err
		}
		if mac == "" {
			delete(s.open, of)
			continue
		}
		ids, err := s.Index.WithMAC(ctx, s.Now(), mac)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if id != of {
				if err := s.match(ctx, id); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
