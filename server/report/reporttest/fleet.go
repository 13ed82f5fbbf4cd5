// Package reporttest is a small recorded fleet, the same in every run, on which
// reports are tested: with its history, with keys that wait, and with a log. It is
// for tests alone.
package reporttest

import (
	"bufio"
	"context"
	_ "embed" // for the fleet
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/query"
	"rollcall/server/report"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

const tenant = "t"

// Now is when all questions are asked: the end of the fleet's story.
var Now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

//go:embed fleet.txt
var story string

// Fleet is a store that holds the recorded fleet.
type Fleet struct {
	engine   store.Engine
	sets     *cmdb.Sets
	presence *cmdb.Presence

	now   time.Time
	facts map[string]map[string]string // by machine, then path
	found int
}

// New tells the story of the fleet to a new store.
func New(t testing.TB) *Fleet {
	t.Helper()
	e, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	f := &Fleet{engine: e, facts: map[string]map[string]string{}}
	if f.sets, err = cmdb.NewSets(); err != nil {
		t.Fatal(err)
	}
	if f.presence, err = cmdb.LoadPresence(t.Context(), e, tenant, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.tell(t.Context(), story); err != nil {
		t.Fatal(err)
	}
	return f
}

// tell reads a story line by line. "facts NAME [like OTHER]" is followed by lines
// that are indented: "PATH = VALUE", or "PATH" alone, which is gone then.
func (f *Fleet) tell(ctx context.Context, story string) error {
	lines := bufio.NewScanner(strings.NewReader(story))
	reporting := ""
	for n := 1; lines.Scan(); n++ {
		text := lines.Text()
		if strings.HasPrefix(text, "  ") {
			path, value, _ := strings.Cut(strings.TrimSpace(text), " = ")
			if f.facts[reporting][path] = value; value == "" {
				delete(f.facts[reporting], path)
			}
			continue
		}
		err := f.report(ctx, reporting)
		reporting = ""
		if err == nil && text != "" && text[0] != '#' {
			reporting, err = f.event(ctx, strings.Fields(text))
		}
		if err != nil {
			return fmt.Errorf("fleet.txt, before or in line %d: %w", n, err)
		}
	}
	return errors.Join(lines.Err(), f.report(ctx, reporting))
}

func (f *Fleet) event(ctx context.Context, w []string) (reporting string, err error) {
	f.now = f.now.Add(time.Minute)
	switch w[0] {
	case "time":
		f.now, err = time.Parse(time.RFC3339, w[1])
	case "site":
		err = f.write(ctx, func(_ store.Tx, c cmdb.Writer) error { return c.SetSite(cmdb.Site{Path: w[1], Title: w[1]}) })
	case "new":
		f.found++
		err = f.write(ctx, func(tx store.Tx, c cmdb.Writer) error {
			_, err := evidence.In(tx, tenant).Append(f.now, evidence.Entry{Kind: evidence.Declare, By: "operator kari", CI: w[1], Detail: map[string]string{"fields": "name"}})
			return errors.Join(err, c.Found(f.now, fmt.Sprintf("ci%020x", f.found), w[1], w[2], w[3], "operator kari", "enrolled"))
		})
	case "facts":
		if len(w) == 4 {
			f.facts[w[1]] = map[string]string{}
			maps.Copy(f.facts[w[1]], f.facts[w[3]])
		}
		if f.facts[w[1]] == nil {
			f.facts[w[1]] = map[string]string{}
		}
		return w[1], nil
	case "seen":
		for _, name := range w[1:] {
			err = errors.Join(err, f.seen(ctx, name))
		}
	case "declare":
		err = f.declare(ctx, w[1], w[2:])
	case "trust", "cloned":
		err = f.mark(ctx, w)
	case "checkpoint":
		err = f.write(ctx, func(tx store.Tx, _ cmdb.Writer) error {
			return evidence.In(tx, tenant).PutCheckpoint(f.now, []byte("rollcall/test\n"+w[1]+"\nAAAA\n\n— x\n"))
		})
	default:
		err = fmt.Errorf("%q is no event", w[0])
	}
	return "", err
}

// seen tells that nothing is new about a machine, as a tick does.
func (f *Fleet) seen(ctx context.Context, name string) error {
	return f.engine.View(ctx, func(r store.Reader) error {
		ci, err := cmdb.At(r, tenant, f.sets, cmdb.Everywhere).CI(name)
		f.presence.Heard(ci.ID, f.now)
		return err
	})
}

func (f *Fleet) mark(ctx context.Context, w []string) error {
	return f.write(ctx, func(_ store.Tx, c cmdb.Writer) error {
		ci, err := c.Resolve(w[1])
		if err != nil {
			return err
		}
		if w[0] == "cloned" {
			return c.SetCloned(ci.ID, true)
		}
		return c.SetTrust(ci.ID, w[2])
	})
}

func (f *Fleet) declare(ctx context.Context, name string, pairs []string) error {
	fields := map[string]string{}
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		fields[k] = v
	}
	return f.write(ctx, func(_ store.Tx, c cmdb.Writer) error {
		old, err := c.Resolve(name)
		if err != nil {
			return err
		}
		next, err := c.Declare(old, fields)
		if err == nil {
			_, _, err = c.Record(f.now, old, next, cmdb.Revision{By: "operator kari", Reason: "stocktaking"})
		}
		return err
	})
}

func (f *Fleet) write(ctx context.Context, fn func(store.Tx, cmdb.Writer) error) error {
	return store.UpdateAgain(ctx, f.engine, func(tx store.Tx) error { return fn(tx, cmdb.In(tx, tenant, cmdb.Everywhere)) })
}

// report records that a machine has other facts now.
func (f *Fleet) report(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	var all []fact.Fact
	for path, value := range f.facts[name] {
		all = append(all, fact.Fact{Path: path, Value: value})
	}
	state := fact.State{}
	var sets []cmdb.Prepared
	err := f.engine.View(ctx, func(r store.Reader) error {
		for section, set := range fact.Split(all) {
			if err := set.Check(section); err != nil {
				return err
			}
			p, err := f.sets.Derive(r, tenant, fact.Diff(nil, set).Encode())
			if err != nil {
				return err
			}
			state[section] = p.Digest
			sets = append(sets, p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return f.write(ctx, func(tx store.Tx, c cmdb.Writer) error {
		for _, p := range sets {
			if _, err := f.sets.Put(tx, tenant, p); err != nil {
				return err
			}
		}
		old, err := c.Resolve(name)
		if err != nil {
			return err
		}
		next := old
		next.State = state
		_, _, err = c.Record(f.now, old, next, cmdb.Revision{By: "agent 00", Reason: "interval"})
		f.presence.Heard(old.ID, f.now)
		return err
	})
}

// Ask answers a report as somebody with that scope sees the fleet.
func (f *Fleet) Ask(ctx context.Context, scope cmdb.Scope, req *rollcallv1.RunReportRequest) (a *report.Answer, err error) {
	return a, f.See(ctx, scope, func(s report.Source) error {
		a, err = report.Run(ctx, s, req)
		return err
	})
}

// See gives the fleet as somebody with that scope sees it.
func (f *Fleet) See(ctx context.Context, scope cmdb.Scope, fn func(report.Source) error) error {
	return f.engine.View(ctx, func(r store.Reader) error {
		items := cmdb.At(r, tenant, f.sets, scope)
		return fn(report.Source{
			Items: items, Keys: waiting, Log: evidence.At(r, tenant), Now: Now,
			Census: func(_ context.Context, filter string, at time.Time) ([]report.Machine, error) {
				return f.choose(items, filter, at)
			},
			Select: func(_ context.Context, filter string, at time.Time) ([]report.Machine, error) {
				return f.choose(items, filter, at)
			},
		})
	})
}

func waiting() ([]enrol.Key, error) {
	return []enrol.Key{
		{ID: "1a2b3c4d5e6f7081", State: enrol.Pending, Hostname: "=cmd|' /C calc'!A0", Source: "10.20.12.7:40312", TokenTag: "room 12", Kind: enrol.Batch, Site: "elm/north/b1/room12", Class: "workstation", Asked: Now.Add(-time.Hour)},
		{ID: "99ff3c4d5e6f7081", State: enrol.Pending, Hostname: "ltsp7", Source: "10.20.12.8:40312", Trust: enrol.T0, Kind: enrol.Netboot, Site: "elm/north", Class: "diskless", Asked: Now.Add(-26 * time.Hour), Reason: "its seat may be taken"},
	}, nil
}

// choose gives the CIs that a filter selects, by name: ids are given in the order
// of names.
func (f *Fleet) choose(items cmdb.View, filter string, at time.Time) (out []report.Machine, err error) {
	var expr query.Expr
	if filter != "" {
		if expr, err = query.Parse(filter, nil); err != nil {
			return nil, err
		}
	}
	now := Now
	if !at.IsZero() {
		now = at
	}
	for ci, err := range items.All() {
		if err != nil {
			return nil, err
		}
		m, existed, err := f.at(items, ci, now)
		if err != nil {
			return nil, err
		}
		if !existed {
			continue
		}
		ok := true
		if expr != nil {
			if ok, err = query.Match(expr, m, now); err != nil {
				return nil, err
			}
		}
		if ok {
			out = append(out, m)
		}
	}
	return out, nil
}

// machine is one CI of the fleet, as a filter and a report see it.
type machine struct {
	f         *Fleet
	items     cmdb.View
	now, then cmdb.CI
	at        time.Time
}

// at gives a CI as it was at a time, false if it did not exist then.
func (f *Fleet) at(items cmdb.View, ci cmdb.CI, at time.Time) (*machine, bool, error) {
	m := &machine{f: f, items: items, now: ci, then: ci, at: at}
	if at.Before(ci.Changed) {
		rev, err := items.AsOf(ci, at)
		if errors.Is(err, cmdb.ErrNotFound) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		m.then = rev.As(ci)
	}
	return m, true, nil
}

func (m *machine) AsOf(t time.Time) (query.Subject, bool, error) {
	then, existed, err := m.f.at(m.items, m.now, t)
	return then, existed, err
}

func (m *machine) Heads() (now, then cmdb.CI) { return m.now, m.then }

func (m *machine) Facts(section string) (fact.Set, error) { return m.items.Set(m.then.State, section) }

func (m *machine) FactsUnder(prefix string) (fact.Set, error) {
	set, err := m.Facts(fact.SectionOf(prefix))
	return set.Below(prefix), err
}

func (m *machine) Changed(prefix string) (time.Time, bool, error) {
	r, ok, err := m.items.LastChange(m.now, m.then.Rev, prefix)
	return r.At(), ok, err
}

func (m *machine) Field(name string) ([]string, bool) {
	v, known := m.field(name)
	if v == "" {
		return nil, known
	}
	return []string{v}, known
}

func (m *machine) field(name string) (string, bool) {
	switch name {
	case "name":
		return m.then.Name, true
	case "site":
		return m.then.Site, true
	case "class":
		return m.then.Class, true
	case "status":
		return string(m.then.Status), true
	case "trust":
		return m.then.TrustClass(), true
	case "presence":
		return m.f.presence.Of(m.now.ID, m.at), true
	case "seen":
		return rfc3339(m.f.presence.Last(m.now.ID)), true
	case "created":
		return rfc3339(m.now.Created), true
	case "cloned":
		return map[bool]string{true: "yes", false: "no"}[m.now.Cloned], true
	}
	v, ok := m.now.Fields[name]
	return v, ok
}

func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
