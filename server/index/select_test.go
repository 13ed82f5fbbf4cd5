package index

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/query"
	"rollcall/server/store"
	"rollcall/server/store/storetest"
)

// subject is a CI as the store has it: what the index must agree with.
type subject struct {
	w  *world
	v  cmdb.View
	ci cmdb.CI
}

func (s subject) Field(name string) ([]string, bool) {
	text := func(v string) ([]string, bool) {
		if v == "" {
			return nil, true
		}
		return []string{v}, true
	}
	switch name {
	case "name":
		return text(s.ci.Name)
	case "ci":
		return text(s.ci.ID)
	case "class":
		return text(s.ci.Class)
	case "site":
		return text(s.ci.Site)
	case "status":
		return text(string(s.ci.Status))
	case "trust":
		return text(s.ci.TrustClass())
	case "cloned":
		return []string{map[bool]string{true: "yes", false: "no"}[s.ci.Cloned]}, true
	case "presence":
		return text(s.w.presence.Of(s.ci.ID, s.w.now))
	case "seen":
		return text(timeText(s.w.presence.Last(s.ci.ID)))
	case "changed":
		return text(timeText(s.ci.Changed))
	case "created":
		return text(timeText(s.ci.Created))
	}
	v, ok := s.ci.Fields[name]
	if !ok {
		return nil, false
	}
	return []string{v}, true
}

func (s subject) AsOf(t time.Time) (query.Subject, bool, error) {
	r, err := s.v.AsOf(s.ci, t)
	if errors.Is(err, cmdb.ErrNotFound) {
		return nil, false, nil
	}
	return subject{s.w, s.v, r.As(s.ci)}, err == nil, err
}

func (s subject) Facts(section string) (fact.Set, error) { return s.v.Set(s.ci.State, section) }

func (s subject) Changed(prefix string) (time.Time, bool, error) {
	r, ok, err := s.v.LastChange(s.ci, s.ci.Rev, prefix)
	return r.At(), ok, err
}

// terms are conditions; %d stands for a number, of a machine for one.
var terms = []string{
	"name = room1-*", "name = ROOM2-pc%03d", "name in (room3-pc003, room1-pc%03d)", "class = workstation", "class != laptop", "class = \"\"", "class in (server, laptop)",
	"site = elm/*", "site = elm", "site = *", "site != oak", "status = in-production", "status not in (disposed)", "trust = T1", "trust != t1", "cloned = no",
	"presence = live", "presence = silent", "seen > 1h", "seen < 2026-03-02", "changed < 3h", "created > 2026-03-01T09:00Z", "ci = ci00*",
	"owner = kari", "owner != kari", "location = \"room 1*\"", "field(rack) = b%d", "field(rack)", "not field(rack)", "field(class) = server", "field(memory)", "field(changed) = 2026*",
	"mac = 52-54-00-00-%02x-0f", "mac = 5254.0000.*", "mac = 52:54:00:00:05:0F", "ip = 10.0.0.%d", "ip = 10.0.0.%d/16", "ip = 10.0.*", "hostname = room-%d", "hostname = R*1",
	"serial = czc%06x", "serial = CZC*", "uuid = 4C4C*", "vendor = dell", "vendor = hp", "memory < 8G", "memory >= 16G", "memory = 4G", "driver = e1000e", "driver = r8*",
	"pkg(p%d)", "pkg(p%d) < 2.0", "pkg(p%d) = 1.%d-0", "pkg(p%d) != 2.0-1", "pkg(p1*) >= 2.0-1", "pkg(p*) = 1.5-0", "not pkg(p%d) >= 2.0", "pkg(none)",
	"file(/etc/f7.conf)", "file(/etc/f%d.conf) = 0644", "file(/etc/f*.conf) = 0600", "file(/etc/f3.conf) = sha256:0300*", "file(/etc/f8.conf) = root:root",
	"fact(net/*/mac)", "fact(net/eth0/mac) = \"52:54:00:00:0%d:0f\"", "fact(id/*) = CZC*", "fact(hw/memory/total) = 4294967296", "fact(net/eth0/addr/*) = global", "fact(pkg/p%d/version) in (2.0-1, 1.3-0)",
	"count(pkg/*/version) > 2%d", "count(net/*/mac) = 1", "count(etc/*) != 30", "count(hw/*) in (0, 2)", "count(none/*) < 1", "count(pkg/p%d/version) = 1..3",
	"memory = 4G..8G", "memory != 8G..16G", "pkg(p%d) = 1.0..1.9", "pkg(p*) in (2.0-1..3, 1.5-0)", "changed = 1h..3h", "created = 2026-03-01..2026-03-02",
	"pkg(p%d) < 2.0 as of 2h", "memory = 4G as of 2026-03-01T10:00Z", "site = elm/* as of 1h", "differs from p", "differs from p in (pkg/p%d, hw)",
	"changed(pkg) < 1h", "changed(etc/f7.conf) > 30m", "changed(hw) < 10d",
}

func (w *world) filter(depth int) string {
	if depth == 0 || w.rnd.IntN(3) == 0 {
		t := terms[w.rnd.IntN(len(terms))]
		for strings.Contains(t, "%") {
			i := strings.IndexByte(t, '%')
			end := i + strings.IndexAny(t[i:], "dx") + 1
			t = t[:i] + fmt.Sprintf(t[i:end], w.rnd.IntN(80)) + t[end:]
		}
		if w.rnd.IntN(5) == 0 {
			return "not " + t
		}
		return t
	}
	a, b := w.filter(depth-1), w.filter(depth-1)
	return "(" + a + ")" + []string{" and ", " or ", " and not "}[w.rnd.IntN(3)] + "(" + b + ")"
}

// baselines are one: what the first CI that has both has of hardware and packages.
type baselines struct{ w *world }

func (baselines) Filter(string) (string, bool, error) { return "", false, nil }

func (b baselines) Baseline(string) (facts fact.Set, ok bool, err error) {
	err = b.w.engine.View(b.w.t.Context(), func(r store.Reader) error {
		items := cmdb.At(r, tenant, b.w.sets, cmdb.Everywhere)
		for ci, err := range items.All() {
			if err != nil {
				return err
			}
			if ci.State["hw"].IsZero() || ci.State["pkg"].IsZero() {
				continue
			}
			for _, section := range []string{"hw", "pkg"} {
				set, err := items.Set(ci.State, section)
				if err != nil {
					return err
				}
				facts = append(facts, set[:min(len(set), 8)]...)
			}
			break
		}
		return nil
	})
	return facts, true, err
}

// answers compares what the index says to a filter with what reading every CI
// says.
func (w *world) answers(src string) {
	w.t.Helper()
	e, err := query.Parse(src, baselines{w})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.engine.View(w.t.Context(), func(r store.Reader) error {
		items := cmdb.At(r, tenant, w.sets, cmdb.Everywhere)
		want := map[string]bool{}
		for ci, err := range items.All() {
			if err != nil {
				return err
			}
			ok, err := query.Match(e, subject{w, items, ci}, w.now)
			if err != nil {
				return err
			}
			if ok {
				want[ci.ID] = true
			}
		}
		return w.ix.Look(cmdb.Everywhere, func(v View) error {
			got, err := v.Select(w.t.Context(), Question{Expr: e, Now: w.now, Read: func(id string) (query.Subject, error) {
				ci, err := items.CI(id)
				return subject{w, items, ci}, err
			}})
			if err != nil {
				return err
			}
			for slot := range got.Slots.Slots() {
				if !want[v.ID(slot)] {
					w.t.Errorf("%s\nselects %s by %v, which does not fit", src, v.Name(slot), got.Steps)
				}
				delete(want, v.ID(slot))
			}
			for id := range want {
				w.t.Errorf("%s\ndoes not select %s by %v, which fits", src, id, got.Steps)
			}
			return nil
		})
	}); err != nil {
		w.t.Fatalf("%s: %v", src, err)
	}
	if w.t.Failed() {
		w.t.FailNow()
	}
}

func TestTheIndexAnswersEveryFilterAsReadingDoes(t *testing.T) {
	w := newWorld(t, storetest.Seed(t))
	for range 60 {
		w.add()
	}
	w.follow()
	for i, m := range w.machines {
		if i%3 == 0 {
			w.declare(m, map[string]string{"owner": "Kari", "rack": fmt.Sprintf("B%d", i%4), "memory": "16G", "hostname": "Declared-1"})
		}
	}
	for _, src := range terms {
		if !strings.Contains(src, "%") {
			w.answers(src)
		}
	}
	for range 6 * (1 + rounds()) {
		for range 40 {
			w.answers(w.filter(3))
		}
		for range 8 {
			w.change(w.machines[w.rnd.IntN(len(w.machines))])
		}
		w.erase(w.rnd.IntN(len(w.machines)))
		w.add()
	}
}

func TestAConditionIsAnsweredByTheCheapestWay(t *testing.T) {
	w := newWorld(t, 8)
	for range 60 {
		w.add()
	}
	w.follow()
	for src, want := range map[string]string{
		"class = laptop":       "posting",
		"mac = 52:54:00:00:01": "posting",
		"pkg(p1) < 2":          "dictionary",
		"changed(pkg) < 1h and presence = live and name = room* and class = laptop": "posting candidates candidates reading",
	} {
		e, err := query.Parse(src, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.look(cmdb.Everywhere, func(v View) {
			a, err := v.Select(t.Context(), Question{Expr: e, Now: w.now, Read: func(string) (query.Subject, error) { return nil, errors.New("not now") }})
			if err != nil {
				t.Fatal(err)
			}
			var how []string
			for _, s := range a.Steps {
				how = append(how, string(s.How))
			}
			if got := strings.Join(how, " "); got != want {
				t.Errorf("%s: by %s, want %s: %v", src, got, want, a.Steps)
			}
		})
	}
}

func TestAMachineThatMakesSectionsUpHarmsItselfAlone(t *testing.T) {
	w := newWorld(t, 41)
	for range 12 {
		w.add()
	}
	w.follow()
	w.agrees()
	name := func(n int) string {
		return "x" + strings.Map(func(r rune) rune { return r - '0' + 'a' }, fmt.Sprint(n))
	}
	for n := 0; w.ix.fleet.admits(name(n)); n++ { // as 1,024 reports with 64 sections each would
		w.ix.fleet.section(name(n))
	}
	bad := w.machines[3]
	facts := maps.Clone(bad.facts)
	facts["onemore"] = fact.NewSet([]fact.Fact{{Path: "onemore/x", Value: "y"}})
	w.report(bad, facts)
	w.change(w.machines[4])
	w.look(cmdb.Everywhere, func(v View) {
		if all := v.Damaged(); len(all) != 1 || !errors.Is(all[bad.id], errSections) {
			t.Errorf("damaged are %v, want %s alone", all, bad.id)
		}
	})
	w.sound()
	facts = maps.Clone(facts)
	delete(facts, "onemore")
	w.report(bad, facts)
	w.agrees()
}
