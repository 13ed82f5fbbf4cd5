package index

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

// sizes of the fleets that benches run on.
var benchSizes = []int{1000, 10_000, 100_000}

// fleetOf is a made-up fleet: forty profiles of packages in five states of
// upgrade, and some packages more or less on every third machine; eighty models;
// 1,200 files of /etc of which twelve are each machine's own; addresses, serial
// numbers and keys that nobody shares.
type fleetOf struct {
	rnd      *rand.Rand
	packages map[[2]int]fact.Set // by profile and upgrade
	etc      []fact.Set
	shared   []map[string]fact.Set // other sections by model
}

func value(seed, i int) string {
	d := fact.Digest{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(i), byte(i >> 8), 7}
	return fact.File{Kind: fact.KindPlain, Digest: d, Mode: 0o644, Owner: "root", Group: "root"}.String()
}

func newFleetOf() *fleetOf {
	f := &fleetOf{rnd: rand.New(rand.NewPCG(1, 2)), packages: map[[2]int]fact.Set{}}
	for profile := range 40 {
		for upgrade := range 5 {
			var facts []fact.Fact
			for i := range 4000 {
				if i%4 == profile%4 || i < 1400 || (i*31+profile)%37 == 0 {
					v := fmt.Sprintf("2.%d.1-3+deb12u%d", i%90, max(0, upgrade-i%40))
					facts = append(facts, fact.Fact{Path: fmt.Sprintf("pkg/package-%04d/version", i), Value: v})
				}
			}
			f.packages[[2]int{profile, upgrade}] = fact.NewSet(facts)
		}
		var etc []fact.Fact
		for i := range 1200 {
			etc = append(etc, fact.Fact{Path: fmt.Sprintf("etc/d%02d/file-%04d.conf", i%40, i), Value: value(0, i*8+(profile*i)%3)})
		}
		f.etc = append(f.etc, fact.NewSet(etc))
	}
	for model := range 80 {
		sections := map[string]fact.Set{}
		for section, n := range map[string]int{"svc": 180, "module": 110, "os": 14, "user": 40, "conffile": 30} {
			var facts []fact.Fact
			for i := range n {
				facts = append(facts, fact.Fact{Path: fmt.Sprintf("%s/%s-%03d", section, section, i), Value: fmt.Sprintf("enabled %d", (i*model)%4)})
			}
			sections[section] = fact.NewSet(facts)
		}
		f.shared = append(f.shared, sections)
	}
	return f
}

// machine gives the facts of the n-th machine, and the sets that they are close
// to, which the store keeps as their bases.
func (f *fleetOf) machine(n int) (facts, bases map[string]fact.Set) {
	profile, model := n%40, (n/30)%80
	pkg := f.packages[[2]int{profile, f.rnd.IntN(5)}]
	bases = map[string]fact.Set{"pkg": pkg, "etc": f.etc[profile]}
	facts = map[string]fact.Set{"pkg": pkg}
	if n%3 == 0 {
		own := slices.Clone(pkg)
		for range 8 {
			own[f.rnd.IntN(len(own))].Value = fmt.Sprintf("3.%d", f.rnd.IntN(40))
		}
		for i := range 4 {
			own = append(own, fact.Fact{Path: fmt.Sprintf("pkg/extra-%03d/version", f.rnd.IntN(900)*4+i), Value: "1.0"})
		}
		facts["pkg"] = fact.NewSet(own)
	}
	etc := slices.Clone(f.etc[profile])
	for i := range 12 {
		etc[i*90].Value = value(n, i)
	}
	facts["etc"] = etc
	for section, set := range f.shared[model] {
		facts[section] = set
	}
	hw := []fact.Fact{}
	for i := range 60 {
		hw = append(hw, fact.Fact{Path: fmt.Sprintf("hw/part-%02d/name", i), Value: fmt.Sprintf("Maker %d model %d", i, model)})
	}
	for i := range 3 {
		hw = append(hw, fact.Fact{Path: fmt.Sprintf("hw/part-%02d/serial", i), Value: fmt.Sprintf("S%dX%07d", i, n)})
	}
	facts["hw"] = fact.NewSet(hw)
	mac := fmt.Sprintf("52:54:%02x:%02x:%02x:0f", n>>16, n>>8&255, n&255)
	facts["net"] = fact.NewSet([]fact.Fact{
		{Path: "net/enp3s0/mac", Value: mac},
		{Path: "net/enp3s0/permanent", Value: mac},
		{Path: "net/enp3s0/driver", Value: "r8169"},
		{Path: fmt.Sprintf("net/enp3s0/addr/10.%d.%d.%d%%2F16", n>>16, n>>8&255, n&255), Value: "global"},
		{Path: "net/enp3s0/speed", Value: "1000"},
	})
	facts["id"] = fact.NewSet([]fact.Fact{
		{Path: "id/hostname", Value: fmt.Sprintf("pc-%06d", n)},
		{Path: "id/serial/product", Value: fmt.Sprintf("CZC%07d", n)},
		{Path: "id/uuid", Value: fmt.Sprintf("4c4c4544-0042-%04x-8033-%012x", n&65535, n)},
		{Path: "id/class", Value: "workstation"},
	})
	return facts, bases
}

// populate writes a fleet to the store, with the bases first.
func (w *world) populate(n int) {
	f := newFleetOf()
	var heads []cmdb.CI
	for i := range n {
		facts, bases := f.machine(i)
		state := fact.State{}
		for section, set := range facts {
			digest := digestOf(section, set)
			if state[section] = digest; putOnce[digest] {
				continue
			}
			base := bases[section]
			if baseDigest := digestOf(section, base); len(base) > 0 && baseDigest != digest {
				w.putSet(base, fact.Delta{Put: base, Result: baseDigest})
				w.putSet(set, diff(base, set, baseDigest, digest))
				continue
			}
			w.putSet(set, fact.Delta{Put: set, Result: digest})
		}
		heads = append(heads, cmdb.CI{
			ID: ciID(i), Name: fmt.Sprintf("pc-%06d", i), Class: []string{"workstation", "laptop", "server"}[i%20/9], Site: sites[1+i%4], Status: cmdb.InProduction, State: state,
		})
		if len(heads) == 100 || i == n-1 {
			w.founding(heads)
			heads = heads[:0]
		}
	}
}

// diff is fact.Diff for digests that are known.
func diff(base, set fact.Set, from, to fact.Digest) fact.Delta {
	d := fact.Delta{Base: from, Result: to}
	for len(base) > 0 || len(set) > 0 {
		switch {
		case len(set) == 0 || len(base) > 0 && base[0].Path < set[0].Path:
			d.Drop, base = append(d.Drop, base[0].Path), base[1:]
		case len(base) == 0 || base[0].Path > set[0].Path:
			d.Put, set = append(d.Put, set[0]), set[1:]
		default:
			if base[0] != set[0] {
				d.Put = append(d.Put, set[0])
			}
			base, set = base[1:], set[1:]
		}
	}
	return d
}

// digests of shared sets by where they lie.
var digests = map[*fact.Fact]fact.Digest{}

func digestOf(section string, set fact.Set) fact.Digest {
	if len(set) == 0 {
		return fact.Digest{}
	}
	shared := section != "etc" && section != "hw" && section != "net" && section != "id"
	if d, ok := digests[&set[0]]; ok && shared {
		return d
	}
	d := set.Digest()
	if shared {
		digests[&set[0]] = d
	}
	return d
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

// big makes a fleet of a size once for all benches.
func big(b *testing.B, n int) *world {
	bigMu.Lock()
	defer bigMu.Unlock()
	if w := bigs[n]; w != nil {
		w.t = b
		return w
	}
	w := newWorldIn(b, 1, benchDir(b))
	clear(putOnce)
	start := time.Now()
	w.populate(n)
	clear(putOnce)
	b.Logf("%d machines written in %s", n, time.Since(start).Round(time.Second))
	bigs[n] = w
	return w
}

var (
	bigMu sync.Mutex
	bigs  = map[int]*world{}
)

// BenchmarkBuild reads the fleet from the store and tells what the index takes.
func BenchmarkBuild(b *testing.B) {
	for _, n := range benchSizes {
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

// benchDir is a folder that stays until the process ends: the fleet is used by
// several benches.
func benchDir(b *testing.B) string {
	dir, err := os.MkdirTemp("", "rollcall-index-")
	if err != nil {
		b.Fatal(err)
	}
	removals = append(removals, dir)
	return dir
}

var removals []string

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range removals {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}
