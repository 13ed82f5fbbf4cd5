package index

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/sim"
	"rollcall/server/cmdb"
	"rollcall/server/query"
	"rollcall/server/store"
)

// sizes of the fleets that benches run on: what -short leaves out takes minutes
// to be written first.
func sizes(b *testing.B) []int {
	if testing.Short() {
		return []int{1000}
	}
	return []int{1000, 10_000, 100_000}
}

// populate writes a simulated fleet to the store as ingest would have left it:
// each section as a delta from the base that it shares with others.
func (w *world) populate(n int) {
	f, err := sim.New(sim.Options{Machines: n, Seed: 7, Day: sim.LastDay - 40})
	if err != nil {
		w.t.Fatal(err)
	}
	w.sim = f
	var rooms []string
	for i := range n {
		rooms = append(rooms, f.Member(i).Site)
	}
	w.sites(rooms)
	var heads []cmdb.CI
	for i := range n {
		state := fact.State{}
		for s := range f.Sections(i) {
			if len(s.Put) > 0 || s.Base != nil && len(s.Base.Facts) > 0 {
				state[s.Name] = w.putSection(s)
			}
		}
		m := f.Member(i)
		heads = append(heads, cmdb.CI{ID: ciID(i), Name: m.Name, Class: m.Profile.Class(), Site: m.Site, Status: cmdb.InProduction, State: state})
		if len(heads) == 100 || i == n-1 {
			w.founding(heads)
			heads = heads[:0]
		}
	}
}

func (w *world) sites(rooms []string) {
	all := map[string]bool{}
	for _, room := range rooms {
		for i := range len(room) {
			if room[i] == '/' {
				all[room[:i]] = true
			}
		}
		all[room] = true
	}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(all)), 500) {
		w.do(func(c cmdb.Writer, _ store.Tx) error {
			for _, path := range chunk {
				if err := c.SetSite(cmdb.Site{Path: path}); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// putSection stores a section and returns its digest.
func (w *world) putSection(s sim.Section) fact.Digest {
	if s.Base == nil || len(s.Base.Facts) == 0 {
		d := s.Digest()
		w.putSet(s.Set(), fact.Delta{Put: s.Put, Result: d})
		return d
	}
	base := s.Base.Digest()
	w.putSet(s.Base.Facts, fact.Delta{Put: s.Base.Facts, Result: base})
	if len(s.Put) == 0 && len(s.Drop) == 0 {
		return base
	}
	set := s.Set()
	d := fact.Delta{Base: base, Result: set.Digest(), Put: s.Put}
	for _, p := range s.Drop {
		if _, ok := s.Base.Facts.Get(p); ok {
			d.Drop = append(d.Drop, p)
		}
	}
	w.putSet(set, d)
	return d.Result
}

var putOnce = map[fact.Digest]bool{}

func (w *world) putSet(set fact.Set, d fact.Delta) {
	if len(set) == 0 || putOnce[d.Result] || d.Empty() {
		return
	}
	putOnce[d.Result] = true
	if err := w.engine.View(context.Background(), func(r store.Reader) error {
		p, err := w.sets.Derive(r, tenant, d.Encode())
		if err != nil {
			return err
		}
		w.pending = append(w.pending, p)
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	if d.Base.IsZero() || len(w.pending) > 500 {
		w.flush()
	}
}

func (w *world) flush() {
	all := w.pending
	w.pending = nil
	for len(all) > 0 {
		n, size := 0, 0
		for n < len(all) && n < 200 && size+all[n].Size() < 800<<10 {
			size += all[n].Size()
			n++
		}
		w.do(func(_ cmdb.Writer, tx store.Tx) error {
			for _, p := range all[:n] {
				if _, err := w.sets.Put(tx, tenant, p); err != nil {
					return err
				}
			}
			return nil
		})
		all = all[n:]
	}
}

func (w *world) founding(heads []cmdb.CI) {
	w.flush()
	w.do(func(c cmdb.Writer, _ store.Tx) error {
		for _, ci := range heads {
			if _, _, err := c.Record(w.now, cmdb.CI{}, ci, cmdb.Revision{By: "agent 00"}); err != nil {
				return err
			}
		}
		return nil
	})
}

// fleetsEnv names a folder where the stores of simulated fleets are kept, so that
// they need not be written for every run.
const fleetsEnv = "ROLLCALL_INDEX_FLEETS"

// big makes a fleet of a size once for all benches.
func big(b *testing.B, n int) *world {
	bigMu.Lock()
	defer bigMu.Unlock()
	if w := bigs[n]; w != nil {
		w.t = b
		return w
	}
	dir, kept := benchDir(b, n)
	w := newWorldIn(b, 1, dir)
	if !kept {
		clear(putOnce)
		start := time.Now()
		w.populate(n)
		clear(putOnce)
		b.Logf("%d machines written in %s", n, time.Since(start).Round(time.Second))
		if err := os.WriteFile(filepath.Join(dir, "complete"), nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for i := range n {
		w.presence.Heard(ciID(i), w.now)
	}
	bigs[n] = w
	return w
}

var (
	bigMu sync.Mutex
	bigs  = map[int]*world{}
)

// BenchmarkBuild reads the fleet from the store and tells what the index takes.
func BenchmarkBuild(b *testing.B) {
	for _, n := range sizes(b) {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := big(b, n)
			var last *fleet
			for b.Loop() {
				last = nil
				runtime.GC()
				before := heap()
				f := newFleet()
				start := time.Now()
				if err := w.newIndex().fill(b.Context(), f); err != nil {
					b.Fatal(err)
				}
				took := time.Since(start)
				b.ReportMetric(float64(heap()-before)/1e6, "MB")
				b.ReportMetric(took.Seconds(), "s/build")
				last = f
			}
			if got := last.used.Count(); got != n {
				b.Fatalf("%d CIs, want %d", got, n)
			}
			b.Log(last.figures())
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// figures tells what takes room.
func (f *fleet) figures() string {
	alone, bases, baseFacts := 0, 0, 0
	for i := range uint32(f.dict.facts.n) {
		if h := f.dict.facts.at(i).has; h != 0 && h&slimList == 0 && h&1 == 1 {
			alone++
		}
	}
	for _, b := range f.bases[1:] {
		if b != nil {
			bases++
			baseFacts += len(b.facts)
		}
	}
	return fmt.Sprintf("%d facts (%d in one set), %d paths, %d sets, %d bases with %d facts, %d lacks; text %.1f MB, lists %.1f of %.1f MB, tables %.1f MB",
		f.dict.facts.n, alone, f.paths.n, f.sets.n, bases, baseFacts, len(f.lacks), float64(f.texts.bytes)/1e6, float64(f.lists.words)*4/1e6,
		float64(len(f.lists.chunks)*listChunk*4)/1e6, float64(4*(len(f.byFact.slots)+len(f.byPath.slots)+len(f.byKey.slots)+len(f.byID.slots)))/1e6)
}

// benchDir is a folder for the store of a fleet, which stays until the process
// ends or, in the folder of fleetsEnv, for good; kept tells that it is complete.
func benchDir(b *testing.B, n int) (dir string, kept bool) {
	if fleets := os.Getenv(fleetsEnv); fleets != "" {
		dir = filepath.Join(fleets, fmt.Sprint(n))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			b.Fatal(err)
		}
		_, err := os.Stat(filepath.Join(dir, "complete"))
		return dir, err == nil
	}
	dir, err := os.MkdirTemp("", "rollcall-index-")
	if err != nil {
		b.Fatal(err)
	}
	removals = append(removals, dir)
	return dir, false
}

var removals []string

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range removals {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// BenchmarkFilter asks what people ask, and how cost grows.
func BenchmarkFilter(b *testing.B) {
	for _, n := range sizes(b) {
		w := big(b, n)
		w.ix.fleet = w.loaded(b)
		old := func(pkg, v string) string { return "pkg(" + pkg + ") < " + v }
		for name, src := range map[string]string{
			"has":        "pkg(cups)",
			"three":      "class = workstation and site = kommune-01/* and pkg(cups) < 99",
			"three-mac":  "class = workstation and presence = live and mac = 52:54:00:12:34:56",
			"name":       "name = skole0001-ws*",
			"silent":     "presence = silent",
			"tenversion": strings.Join([]string{old("cups", "2.4.2-3+deb12u8"), old("openssl", "3.0.16"), old("linux-image-amd64", "6.1.140"), old("curl", "7.88.1-10+deb12u12"), old("firefox-esr", "128"), old("libc6", "2.36-9+deb12u10"), old("sudo", "1.9.13p3-1+deb12u2"), old("bash", "5.2.15-2+b8"), old("systemd", "252.38"), old("openssh-client", "1:9.2p1-2+deb12u6")}, " or "),
		} {
			e, err := query.Parse(src, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				var a Answer
				for b.Loop() {
					if err := w.ix.Look(cmdb.Everywhere, func(v View) (err error) {
						a, err = v.Select(b.Context(), Question{Expr: e, Now: w.now.Add(time.Hour)})
						return err
					}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(a.Slots.Count()), "CIs")
			})
		}
	}
}

// loaded gives the index of a fleet, made once.
func (w *world) loaded(b *testing.B) *fleet {
	if w.ix.fleet != nil {
		return w.ix.fleet
	}
	f := newFleet()
	if err := w.ix.fill(b.Context(), f); err != nil {
		b.Fatal(err)
	}
	return f
}

// BenchmarkUpdate takes in one machine's night of updates: a package set that some
// others have got before, or nobody.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range sizes(b) {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := big(b, n)
			f := w.loaded(b)
			w.ix.fleet = f
			i := 0
			for b.Loop() {
				i++
				b.StopTimer()
				slot := uint32(i * 37 % n)
				ci, delta := w.upgraded(b, f, slot, 90)
				b.StartTimer()
				read := &reader{sets: delta, forms: map[fact.Digest]*parent{}}
				if err := f.put(ci, read); err != nil {
					b.Fatal(err)
				}
				read.close(f.core)
			}
		})
	}
}

// upgraded gives the head of a CI of which some packages have new versions, and
// the delta that the store would keep.
func (w *world) upgraded(b *testing.B, f *fleet, slot uint32, packages int) (ci cmdb.CI, sets map[fact.Digest]stored) {
	if err := w.ix.view(b.Context(), func(v cmdb.View) (err error) {
		ci, err = v.CI(textID(f.cis.at(slot).id))
		return err
	}); err != nil {
		b.Fatal(err)
	}
	var set fact.Set
	if err := w.ix.Look(cmdb.Everywhere, func(v View) error { set = v.Facts(slot, "pkg"); return nil }); err != nil {
		b.Fatal(err)
	}
	d := fact.Delta{Base: set.Digest()}
	next := slices.Clone(set)
	for i := 0; i < len(next) && len(d.Put) < packages; i += 1 + len(next)/packages {
		next[i].Value += "+u1"
		d.Put = append(d.Put, next[i])
	}
	d.Result = next.Digest()
	ci.State = maps.Clone(ci.State)
	ci.State["pkg"] = d.Result
	return ci, map[fact.Digest]stored{d.Result: {base: d.Base, delta: d}}
}
