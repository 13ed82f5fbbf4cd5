package api

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/index"
	"rollcall/server/likeness"
	"rollcall/server/query"
)

// resembling finds the CIs that a machine resembles, for the approver of one that was
// installed anew, and for who asks which CIs are one. All evidence can be forged: it is
// a hint. What identifies is looked up in the index; only while there is none is every
// CI read, once.
type resembling struct {
	s     *Service
	ctx   context.Context // of the call that it is made for
	items cmdb.View
	by    map[string][]string // pattern and value → ids of CIs; nil: nothing was read
}

// mostAlike is how many CIs one is compared with.
const mostAlike = 30

// patterns says where each kind of identifier stands.
var patterns = map[likeness.Kind][]string{
	likeness.Board: {"id/serial/board"}, likeness.Product: {"id/serial/product"}, likeness.Chassis: {"id/serial/chassis"}, likeness.UUID: {"id/uuid"},
	likeness.Permanent: {"net/*/permanent", "net/*/mac"}, likeness.MAC: {"net/*/mac", "net/*/permanent"}, likeness.Disk: {"hw/disk/*/serial"},
	likeness.MachineID: {"id/machine-id"}, likeness.HostKey: {"ssh/hostkey/*"}, likeness.Name: {"id/hostname"},
}

// counterpart is a CI and what the evidence says about it.
type counterpart struct {
	ci cmdb.CI
	likeness.Judgement
}

// best returns the name of the CI that is most like what the facts tell, and why. Where
// two are equally like it, none is.
func (l *resembling) best(facts fact.Set) (name, why string, err error) {
	all, err := l.candidates("", facts)
	all = slices.DeleteFunc(all, func(a counterpart) bool { return a.Points <= 0 })
	if err != nil || len(all) == 0 || len(all) > 1 && all[0].Points == all[1].Points {
		return "", "", err
	}
	return all[0].ci.Name, all[0].Sentence(), nil
}

// candidates judges every CI but except that shows an identifier which these facts tell
// and which few have, the most likely one first.
func (l *resembling) candidates(except string, facts fact.Set) (all []counterpart, err error) {
	traits := likeness.Of(facts)
	var ids []string
	for _, t := range traits {
		if t.Void != "" || len(ids) >= mostAlike {
			continue
		}
		found, err := l.holding(t)
		if err != nil {
			return nil, err
		}
		for _, id := range found {
			if id != except && len(found) <= likeness.Promiscuous && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	for _, id := range ids {
		ci, err := l.items.CI(id)
		if errors.Is(err, cmdb.ErrNotFound) { // the index is some moments behind
			continue
		}
		if err != nil {
			return nil, err
		}
		theirs, err := l.traits(ci)
		if err != nil {
			return nil, err
		}
		j, err := likeness.Judge(traits, theirs, l.count)
		if err != nil {
			return nil, err
		}
		all = append(all, counterpart{ci, j})
	}
	slices.SortFunc(all, func(a, b counterpart) int {
		return cmp.Or(cmp.Compare(b.Points, a.Points), compareNames(a.ci.Name, b.ci.Name))
	})
	return all, nil
}

// traits gives what identifies a CI.
func (l *resembling) traits(ci cmdb.CI) ([]likeness.Trait, error) {
	facts, err := identifying(l.items, ci.State)
	return likeness.Of(facts), err
}

// identifying gives the facts of a state that tell which machine it is.
func identifying(items cmdb.View, state fact.State) (fact.Set, error) {
	var all []fact.Fact
	for _, section := range likeness.Sections {
		set, err := items.Set(state, section)
		if err != nil {
			return nil, err
		}
		all = append(all, set...)
	}
	return fact.NewSet(all), nil
}

// count implements likeness.Holders.
func (l *resembling) count(t likeness.Trait) (int, error) {
	ids, err := l.holding(t)
	return len(ids), err
}

// holding gives the ids of the CIs that show an identifier, as many as it takes to know
// that it is nobody's.
func (l *resembling) holding(t likeness.Trait) (ids []string, err error) {
	for _, pattern := range patterns[t.Kind] {
		found, err := l.having(pattern, t.Value)
		if err != nil {
			return nil, err
		}
		for _, id := range found {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

func (l *resembling) having(pattern, value string) ([]string, error) {
	if value == "" || query.IsGlob(value) { // it would fit what it is not
		return nil, nil
	}
	if l.by == nil {
		ids, err := l.indexed(pattern, value)
		if !errors.Is(err, index.ErrLoading) {
			return ids, err
		}
		if err := l.readAll(); err != nil {
			return nil, err
		}
	}
	return l.by[evidenceOf(pattern, value)], nil
}

func (l *resembling) indexed(pattern, value string) (ids []string, err error) {
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
			if ids = append(ids, v.ID(slot)); len(ids) > likeness.Promiscuous {
				break
			}
		}
		return nil
	})
	return ids, err
}

// evidenceOf is a key of by. Letters count as the index counts them.
func evidenceOf(pattern, value string) string { return pattern + "\x00" + strings.ToLower(value) }

func (l *resembling) readAll() error {
	l.by = map[string][]string{}
	for ci, err := range l.items.All() {
		if err != nil {
			return err
		}
		facts, err := identifying(l.items, ci.State)
		if err != nil {
			return err
		}
		for _, places := range patterns {
			for _, pattern := range places {
				for _, v := range matching(facts, pattern) {
					key := evidenceOf(pattern, v)
					if have := l.by[key]; len(have) <= likeness.Promiscuous && !slices.Contains(have, ci.ID) {
						l.by[key] = append(have, ci.ID)
					}
				}
			}
		}
	}
	return nil
}
