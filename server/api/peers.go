package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
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

// peers returns the CIs most like one: of its class, near by site, of its model,
// with nearly its packages. The words say what they have in common.
func (q *question) peers(ctx context.Context, items cmdb.View, me cmdb.CI) (found []*subject, chosen string, err error) {
	var all []kin
	for ci, err := range items.All() {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return nil, "", err
		}
		if ci.ID != me.ID && ci.Class == me.Class && len(ci.State) > 0 {
			all = append(all, kin{subject: &subject{items: items, head: ci, ci: ci}, near: common(ci.Site, me.Site)})
		}
	}
	slices.SortFunc(all, func(a, b kin) int { return cmp.Or(cmp.Compare(b.near, a.near), cmp.Compare(a.ci.Name, b.ci.Name)) })
	all = all[:min(len(all), nearby)]
	mine, err := q.portrait(&subject{items: items, head: me, ci: me})
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

// common counts the leading components that two sites share.
func common(a, b string) int {
	n := 0
	x, y := strings.Split(a, "/"), strings.Split(b, "/")
	for n < min(len(x), len(y)) && x[n] == y[n] {
		n++
	}
	return n
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
