package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/index"
)

// How peers are chosen. Those nearest by site are looked at closely; the others
// are not loaded.
const (
	nearby   = 60
	maxPeers = 15
	fewPeers = 3
)

// kin is a CI like the one that is asked about.
type kin struct {
	*subject
	near  int     // site components in common
	model bool    // the same
	like  float64 // share of packages in common
}

// near returns the CIs of the class of one that are nearest to it by site, then by
// name: from the index or, while there is none, by reading every head.
func (s *Service) near(ctx context.Context, items cmdb.View, me cmdb.CI) (all []kin, err error) {
	add := func(ci cmdb.CI) {
		if ci.ID != me.ID && ci.Class == me.Class && len(ci.State) > 0 {
			all = append(all, kin{subject: &subject{items: items, head: ci, ci: ci}, near: index.Common(ci.Site, me.Site)})
		}
	}
	var ids []string
	err = index.ErrLoading
	if s.Index != nil {
		err = s.Index.Look(items.Scope(), func(v index.View) error {
			for _, slot := range v.Near(me.Class, me.Site, nearby+1) {
				ids = append(ids, v.ID(slot))
			}
			return nil
		})
	}
	if errors.Is(err, index.ErrLoading) {
		for ci, err := range items.All() {
			if err = cmp.Or(err, ctx.Err()); err != nil {
				return nil, err
			}
			add(ci)
		}
	} else if err != nil {
		return nil, err
	}
	for _, id := range ids {
		ci, err := items.CI(id)
		if errors.Is(err, cmdb.ErrNotFound) {
			continue // gone since
		}
		if err != nil {
			return nil, err
		}
		add(ci)
	}
	slices.SortFunc(all, func(a, b kin) int { return cmp.Or(cmp.Compare(b.near, a.near), cmp.Compare(a.ci.Name, b.ci.Name)) })
	return all[:min(len(all), nearby)], nil
}

// peers returns the CIs most like one: of its class, near by site, of its model,
// with nearly its packages. The words say what they have in common.
func (q *question) peers(ctx context.Context, s *Service, me cmdb.CI) (found []*subject, chosen string, err error) {
	all, err := s.near(ctx, q.items, me)
	if err != nil {
		return nil, "", err
	}
	mine, err := q.portrait(&subject{items: q.items, head: me, ci: me})
	if err != nil {
		return nil, "", err
	}
	for i := range all {
		theirs, err := q.portrait(all[i].subject)
		if err != nil {
			return nil, "", err
		}
		all[i].model, all[i].like = mine.model != "" && mine.model == theirs.model, alike(mine.packages, theirs.packages)
	}
	depth := len(strings.Split(me.Site, "/"))
	closeness := func(p kin) float64 {
		c := 3*float64(p.near)/float64(depth) + 4*p.like
		if p.model {
			c += 2
		}
		return c
	}
	slices.SortStableFunc(all, func(a, b kin) int { return cmp.Compare(closeness(b), closeness(a)) })
	all = all[:min(len(all), maxPeers)]
	here, model := 0, 0
	for _, p := range all {
		found = append(found, p.subject)
		if p.ci.Site == me.Site {
			here++
		}
		if p.model {
			model++
		}
	}
	return found, fmt.Sprintf("%d of class %s, the nearest by site, model and packages: %d at the same site, %d of the same model", len(all), me.Class, here, model), nil
}

// portrait is by what machines are found to be alike.
type portrait struct {
	model    string
	packages fact.Set
}

func (q *question) portrait(u *subject) (p portrait, err error) {
	hw, err := u.Facts("hw")
	if err != nil {
		return p, err
	}
	p.model, _ = hw.Get("hw/system/product")
	p.packages, err = u.Facts("pkg")
	return p, err
}

// alike is the share of paths in which two sets agree, whatever the values:
// versions move by the day, what is installed does not.
func alike(a, b fact.Set) float64 {
	if len(a) == 0 && len(b) == 0 || len(a) == len(b) && len(a) > 0 && &a[0] == &b[0] {
		return 1
	}
	both, i, j := 0, 0, 0
	for i < len(a) && j < len(b) {
		switch c := strings.Compare(a[i].Path, b[j].Path); {
		case c == 0:
			both, i, j = both+1, i+1, j+1
		case c < 0:
			i++
		default:
			j++
		}
	}
	return float64(both) / float64(len(a)+len(b)-both)
}
