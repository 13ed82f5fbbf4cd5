package index

import (
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
	"rollcall/server/cmdb"
	"rollcall/server/query"
)

// fleetsEnv names a folder with the stores of simulated fleets in folders named by
// their size. They are made by
//
//	rollcall-bench questions --machines 100000 --data FOLDER/100000 --fill-only
const fleetsEnv = "ROLLCALL_FLEETS"

// sizes are the sizes of the fleets that there are.
func sizes(b *testing.B) (all []int) {
	for _, n := range []int{1000, 10_000, 100_000} {
		if _, err := os.Stat(filepath.Join(os.Getenv(fleetsEnv), fmt.Sprint(n), "data")); err == nil && os.Getenv(fleetsEnv) != "" {
			all = append(all, n)
		}
	}
	if len(all) == 0 {
		b.Skip("no fleet in the folder that " + fleetsEnv + " names: rollcall-bench questions --data makes one")
	}
	return all
}

// big opens a fleet of a size once for all benches.
func big(b *testing.B, n int) *world {
	bigMu.Lock()
	defer bigMu.Unlock()
	if w := bigs[n]; w != nil {
		w.t = b
		return w
	}
	w := openWorld(b, 1, filepath.Join(os.Getenv(fleetsEnv), fmt.Sprint(n), "data", "rollcall.db"))
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
	alone, own, bases, baseFacts := 0, 0, 0, 0
	for i := range uint32(f.dict.facts.n) {
		if h := f.dict.facts.at(i).has; h != 0 && h&slimList == 0 && h&1 == 1 {
			alone++
		}
	}
	for set := range uint32(f.sets.n) {
		own += len(f.listOwn(f.formOf(set).own))
	}
	for _, b := range f.bases[1:] {
		if b != nil {
			bases++
			baseFacts += len(b.facts)
		}
	}
	return fmt.Sprintf("%d numbered facts (%d in one set), %d own ones, %d paths, %d sets, %d bases with %d facts, %d lacks; text %.1f MB, lists %.1f of %.1f MB, tables %.1f MB",
		f.dict.facts.n, alone, own, f.paths.n, f.sets.n, bases, baseFacts, len(f.lacks), float64(f.texts.bytes)/1e6, float64(f.lists.words)*4/1e6,
		float64(len(f.lists.chunks)*listChunk*4)/1e6, float64(len(f.owners.slots)+4*(len(f.byFact.slots)+len(f.byPath.slots)+len(f.byKey.slots)+len(f.byID.slots)))/1e6)
}

// BenchmarkFilter asks what people ask, and how cost grows.
func BenchmarkFilter(b *testing.B) {
	for _, n := range sizes(b) {
		w := big(b, n)
		w.ix.fleet = w.loaded(b)
		old := func(pkg, v string) string { return "pkg(" + pkg + ") < " + v }
		for name, src := range map[string]string{
			"has":        "pkg(cups)",
			"three":      "class = workstation and site = kommune-001/* and pkg(cups) < 99",
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
				read := newReader(cmdb.View{})
				read.sets = delta
				if err := f.put(f.head(ci), read); err != nil {
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
	var set fact.Set
	if err := w.ix.view(b.Context(), func(v cmdb.View) (err error) {
		if ci, err = v.CI(textID(f.cis.at(slot).id)); err == nil {
			set, err = v.Set(ci.State, "pkg")
		}
		return err
	}); err != nil {
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
	return ci, map[fact.Digest]stored{d.Result: f.stored(d)}
}
