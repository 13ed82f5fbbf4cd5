package api

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/query"
)

// subject is one CI at one time, as a filter sees it.
type subject struct {
	s     *Service
	items cmdb.View
	head  cmdb.CI // as it is now
	ci    cmdb.CI // as it was at the time asked about
	at    time.Time

	fields map[string]string // declared as of then, once they were asked for
	err    error             // of reading them, also for those that came from this one
	from   *subject          // that this one came from by AsOf, or that gathers errors
}

// Field returns the values of a field of the filter language that is not a fact;
// those that are, the language finds in the facts itself.
func (u *subject) Field(name string) (values []string, known bool) {
	v, known := u.field(name)
	if v == "" {
		return nil, known
	}
	return []string{v}, known
}

func (u *subject) field(name string) (value string, known bool) {
	switch name {
	case "name":
		return u.ci.Name, true
	case "site":
		return u.ci.Site, true
	case "class":
		return u.ci.Class, true
	case "status":
		return string(u.ci.Status), true
	case "ci":
		return u.ci.ID, true
	case "presence":
		return u.presence(), true
	case "seen":
		return timeField(u.seen()), true
	case "changed":
		return timeField(u.ci.Changed), true
	case "created":
		return timeField(u.ci.Created), true
	case "trust":
		return u.ci.TrustClass(), true
	case "cloned":
		if u.ci.Cloned {
			return "yes", true
		}
		return "no", true
	}
	v, ok := u.declared()[name]
	return v, ok
}

// presence is how present the CI was at the time asked about. Only the newest sign
// of life is kept: who has been heard of since counts as live.
func (u *subject) presence() string {
	if u.at.IsZero() {
		return u.s.Presence.Of(u.ci.ID, u.s.Now())
	}
	return u.s.Presence.Of(u.ci.ID, u.at)
}

// seen is when the CI was last heard of, the zero time if that was after the time
// asked about: what was before is not kept.
func (u *subject) seen() time.Time {
	last := u.s.Presence.Last(u.ci.ID)
	if !u.at.IsZero() && last.After(u.at) {
		return time.Time{}
	}
	return last
}

// declared gives what people had declared at the time asked about. An error is
// kept for whoever asked for the match.
func (u *subject) declared() map[string]string {
	if u.ci.Rev == u.head.Rev {
		return u.ci.Fields
	}
	if u.fields == nil {
		var err error
		u.fields, err = u.items.FieldsAsOf(u.head, u.ci.Rev)
		for v := u; v != nil; v = v.from {
			v.err = cmp.Or(v.err, err)
		}
	}
	return u.fields
}

// AsOf returns the CI as it was at a time.
func (u *subject) AsOf(t time.Time) (query.Subject, bool, error) {
	then, err := u.s.asOf(u.items, u.head, t)
	if errors.Is(err, cmdb.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	then.from = u
	return then, true, nil
}

func timeField(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// first returns the first value of the first pattern that has one, "" if none has.
func (u *subject) first(section string, patterns ...string) (string, error) {
	set, err := u.Facts(section)
	if err != nil {
		return "", err
	}
	for _, pattern := range patterns {
		if values := matching(set, pattern); len(values) > 0 {
			return values[0], nil
		}
	}
	return "", nil
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

// compareNames is the order of all lists: names differ in more than case.
func compareNames(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }

func wordsOf(k enrol.Key) string { return identity.Words(k.Public) }
