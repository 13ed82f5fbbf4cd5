package query

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"rollcall/internal/fact"
)

// ErrPast is wrapped where a filter asks what is not kept for every time.
var ErrPast = errors.New("cannot be asked of each moment of the past")

// lasting are the fields that every revision of a CI tells.
var lasting = []string{"ci", "name", "class", "site", "status"}

// Lasting returns the sections of facts that a filter looks at, and those of the
// fields ci, name, class, site and status, if nothing else decides it: then its answer
// for a CI is the same as long as these are. Otherwise it returns an error that wraps
// ErrPast and names what else it asks.
func Lasting(e Expr) (sections, fields []string, err error) {
	inSections, inFields := map[string]bool{}, map[string]bool{}
	if err := lastingIn(e, inSections, inFields); err != nil {
		return nil, nil, err
	}
	return slices.Sorted(maps.Keys(inSections)), slices.Sorted(maps.Keys(inFields)), nil
}

func lastingIn(e Expr, sections, named map[string]bool) error {
	var parts []Expr
	switch e := e.(type) {
	case And:
		parts = e.Parts
	case Or:
		parts = e.Parts
	case Not:
		parts = []Expr{e.Part}
	case Differs:
		for _, f := range e.Facts {
			sections[f.Section()] = true
		}
	case Term:
		if e.Target == OnField && slices.Contains(lasting, e.Name) {
			named[e.Name] = true
			return nil
		}
		for _, path := range e.Paths() {
			sections[fact.SectionOf(path)] = true
		}
		if len(e.Paths()) == 0 {
			return fmt.Errorf("%s: %w: ask about packages, files and facts, and fields that are observed or are name, class, site or status", e, ErrPast)
		}
	default:
		return fmt.Errorf("%s: %w: leave the time away", e, ErrPast)
	}
	for _, p := range parts {
		if err := lastingIn(p, sections, named); err != nil {
			return err
		}
	}
	return nil
}

// Showing returns the facts that make a condition true of s, as far as there are
// such: those that a single term looks at and that fit. An absence shows nothing.
func Showing(e Expr, s Subject, now time.Time) ([]fact.Fact, error) {
	t, ok := e.(Term)
	if _, negated := t.Turned(); !ok || negated || t.Target == OnCount {
		return nil, nil
	}
	v := &evaluation{subject: s, now: now, left: maxCost}
	var out []fact.Fact
	for _, pattern := range t.Paths() {
		set, err := v.under(pattern)
		if err != nil {
			return nil, err
		}
		for _, f := range set.Below(stem(pattern)) {
			if err := v.spend(len(pattern) * (1 + len(f.Path))); err != nil {
				return nil, err
			}
			if !Glob(pattern, f.Path) {
				continue
			}
			if err := v.spend(t.cost([]string{f.Value})); err != nil {
				return nil, err
			}
			if t.FactHolds(pattern, f, now) {
				out = append(out, f)
			}
		}
	}
	return out, nil
}
