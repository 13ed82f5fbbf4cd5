package api

import (
	"context"
	"errors"
	"slices"
	"strings"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/index"
	"rollcall/server/query"
)

// likeness finds the CI that a machine without a known key most resembles, for
// the approver of a reinstalled machine. All of it can be forged: it is a hint.
// What the machine claims is looked up in the index; only while there is none is
// every CI read, once.
type likeness struct {
	s     *Service
	ctx   context.Context // of the call that it is made for
	items cmdb.View
	by    map[string][]string // pattern and value → CI names; nil: nothing was read
}

// identifying facts, the most telling first.
var identifying = []struct{ section, pattern, words string }{
	{"id", "id/serial/*", "serial number"},
	{"id", "id/uuid", "SMBIOS UUID"},
	{"net", "net/*/permanent", "permanent MAC"},
	{"net", "net/*/mac", "MAC"},
	{"id", "id/machine-id", "machine-id"},
	{"id", "id/hostname", "host name"},
}

// best returns the name of the CI that shares most with the facts, and why. A
// value that more than one CI has tells nothing.
func (l *likeness) best(facts fact.Set) (name, why string, err error) {
	score, reasons := map[string]int{}, map[string][]string{}
	for i, id := range identifying {
		for _, v := range matching(facts, id.pattern) {
			names, err := l.having(id.pattern, v)
			if err != nil {
				return "", "", err
			}
			if len(names) == 1 {
				score[names[0]] += len(identifying) - i
				reasons[names[0]] = append(reasons[names[0]], id.words)
			}
		}
	}
	best := 0
	for n, points := range score {
		if points > best || points == best && n < name {
			best, name, why = points, n, "same "+strings.Join(slices.Compact(reasons[n]), ", ")
		}
	}
	return name, why, nil
}

// having names the CIs with a value, two at most.
func (l *likeness) having(pattern, value string) ([]string, error) {
	if value == "" || query.IsGlob(value) { // it would fit what it is not
		return nil, nil
	}
	if l.by == nil {
		names, err := l.indexed(pattern, value)
		if !errors.Is(err, index.ErrLoading) {
			return names, err
		}
		if err := l.readAll(); err != nil {
			return nil, err
		}
	}
	return l.by[evidenceOf(pattern, value)], nil
}

func (l *likeness) indexed(pattern, value string) (names []string, err error) {
	if l.s.Index == nil {
		return nil, index.ErrLoading
	}
	err = l.s.Index.Look(l.items.Scope(), func(v index.View) error {
		term := query.Term{Target: query.OnFact, Name: pattern, Op: query.Equal, Values: []string{value}}
		a, err := l.s.indexed(l.ctx, v, l.items, term, l.s.Now())
		if err != nil {
			return err
		}
		for slot := range a.Slots.Slots() {
			if names = append(names, v.Name(slot)); len(names) > 1 {
				break
			}
		}
		return nil
	})
	return names, err
}

// evidenceOf is a key of by. Letters count as the index counts them.
func evidenceOf(pattern, value string) string { return pattern + "\x00" + strings.ToLower(value) }

func (l *likeness) readAll() error {
	l.by = map[string][]string{}
	for ci, err := range l.items.All() {
		if err != nil {
			return err
		}
		for _, id := range identifying {
			set, err := l.items.Set(ci.State, id.section)
			if err != nil {
				return err
			}
			for _, v := range matching(set, id.pattern) {
				key := evidenceOf(id.pattern, v)
				if have := l.by[key]; len(have) < 2 && !slices.Contains(have, ci.Name) {
					l.by[key] = append(have, ci.Name)
				}
			}
		}
	}
	return nil
}
