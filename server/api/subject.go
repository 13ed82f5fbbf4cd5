package api

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/query"
	"rollcall/server/store"
)

// subject is one CI at one time, as a filter sees it.
type subject struct {
	s     *Service
	items cmdb.View
	head  cmdb.CI // as it is now
	ci    cmdb.CI // as it was at the time asked about
	at    time.Time
}

// factFields are the filter's fields that stand for facts: section and path. A
// "*" is any one component.
var factFields = map[string]struct{ section, pattern string }{
	"mac":      {"net", "net/*/mac"},
	"ip":       {"net", "net/*/addr/*"},
	"os":       {"os", "os/version"},
	"kernel":   {"os", "os/kernel"},
	"vendor":   {"hw", "hw/system/vendor"},
	"model":    {"hw", "hw/system/product"},
	"serial":   {"id", "id/serial/*"},
	"uuid":     {"id", "id/uuid"},
	"hostname": {"id", "id/hostname"},
}

// Field returns the values of a field of the filter language.
func (u *subject) Field(name string) (values []string, known bool) {
	values, known, _ = u.field(name)
	return values, known
}

func (u *subject) field(name string) (values []string, known bool, err error) {
	one := func(v string) ([]string, bool, error) {
		if v == "" {
			return nil, true, nil
		}
		return []string{v}, true, nil
	}
	switch name {
	case "name":
		return one(u.ci.Name)
	case "site":
		return one(u.ci.Site)
	case "class":
		return one(u.ci.Class)
	case "status":
		return one(string(u.ci.Status))
	case "ci", "id":
		return one(u.ci.ID)
	case "presence":
		return one(u.s.Presence.Of(u.ci.ID, u.s.Now()))
	case "changed":
		return one(u.ci.Changed.Format(time.RFC3339))
	case "created":
		return one(u.ci.Created.Format(time.RFC3339))
	case "cloned":
		if u.ci.Cloned {
			return one("yes")
		}
		return one("no")
	}
	if f, ok := factFields[name]; ok {
		set, err := u.Facts(f.section)
		if err != nil {
			return nil, true, err
		}
		return matching(set, f.pattern), true, nil
	}
	v, ok := u.ci.Fields[name]
	if !ok {
		return nil, false, nil
	}
	return []string{v}, true, nil
}

// matching gives what stands where "*" is at the end of the pattern, or else the
// values of the matching facts.
func matching(set fact.Set, pattern string) []string {
	want := strings.Split(pattern, "/")
	var out []string
	for _, f := range set.Below(strings.SplitN(pattern, "*", 2)[0]) {
		have := strings.Split(f.Path, "/")
		if !samePath(have, want) {
			continue
		}
		v := f.Value
		if strings.HasSuffix(pattern, "/addr/*") {
			v = have[len(have)-1]
		}
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func samePath(have, want []string) bool {
	if len(have) != len(want) {
		return false
	}
	for i := range want {
		if want[i] != "*" && want[i] != have[i] {
			return false
		}
	}
	return true
}

// Facts returns one section's facts.
func (u *subject) Facts(section string) (fact.Set, error) { return u.items.Set(u.ci.State, section) }

// Changed returns when a fact at or below prefix last changed.
func (u *subject) Changed(prefix string) (time.Time, bool, error) {
	r, ok, err := u.items.LastChange(u.head, u.ci.Rev, prefix)
	return r.At(), ok, err
}

// selectCIs returns the CIs that a filter selects, by name.
func (s *Service) selectCIs(ctx context.Context, r store.Reader, items cmdb.View, filter string, at time.Time) ([]*subject, error) {
	now := s.Now()
	if !at.IsZero() {
		now = at
	}
	expr, err := query.Parse(filter)
	if err != nil {
		return nil, err
	}
	var found []*subject
	for ci, err := range items.All() {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		sub, err := s.asOf(items, ci, at)
		if errors.Is(err, cmdb.ErrNotFound) {
			continue // it did not exist then
		}
		if err != nil {
			return nil, err
		}
		ok, err := query.Match(expr, sub, now)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, sub)
		}
	}
	slices.SortFunc(found, func(a, b *subject) int {
		return strings.Compare(strings.ToLower(a.ci.Name), strings.ToLower(b.ci.Name))
	})
	return found, nil
}

func wordsOf(k enrol.Key) string { return identity.Words(k.Public) }
