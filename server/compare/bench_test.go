package compare_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"rollcall/server/compare"
)

// school makes machines as they are found: 2,500 packages of which each machine
// lags behind in its own way, 2,000 config files of which some thirty carry the
// machine's own values, extra packages, hand edits, hardware of a few models.
func school(broken, working int) *room {
	rng := rand.New(rand.NewPCG(1, uint64(broken+working)))
	r := newRoom(broken, working)
	for i := range r.names {
		lag := rng.IntN(8)
		r.sites[i] = fmt.Sprintf("elm/s%d", i%5)
		for k := range 2500 {
			name := fmt.Sprintf("pkg/lib%04d", k)
			newest := 3 + k%40 // most packages never change
			version := 0
			if newest > 38 {
				version = max(0, 8-lag-k%3)
			}
			r.facts[i][name+"/version"] = fmt.Sprintf("1.%d-2+deb12u%d", k%17, version)
			if k%5 != 0 {
				r.facts[i][name+"/source"] = fmt.Sprintf("src%04d", k/5)
			}
		}
		for k := range 1960 {
			r.file(i, fmt.Sprintf("etc/d%02d/f%04d.conf", k%50, k), fmt.Sprintf("key = %d\nmode = on\n", k))
		}
		for k := range 40 {
			var text strings.Builder
			for line := range 80 {
				fmt.Fprintf(&text, "option%d value%d\n", line, (line*k)%9)
			}
			fmt.Fprintf(&text, "# written for %s\nname %s\nuuid 28a2c235-070d-0177-c9ca-%012x\n", r.names[i], r.names[i], rng.Int64N(1<<40))
			r.file(i, fmt.Sprintf("etc/own/f%02d.conf", k), text.String())
		}
		for range rng.IntN(6) {
			r.facts[i][fmt.Sprintf("pkg/extra%02d/version", rng.IntN(60))] = "1.0"
			r.facts[i][fmt.Sprintf("module/m%02d", rng.IntN(40))] = "loaded"
			r.file(i, fmt.Sprintf("etc/d%02d/hand%d.conf", rng.IntN(50), rng.IntN(5)), fmt.Sprintf("a = %d\n", rng.IntN(4)))
		}
		r.facts[i]["hw/system/product"] = fmt.Sprintf("model %d", rng.IntN(6))
		if i < broken {
			r.file(i, "etc/d07/f0007.conf", "key = 7\nmode = off\n")
		}
	}
	return r
}

func BenchmarkCompare(b *testing.B) {
	for _, size := range []struct{ broken, working int }{{20, 40}, {76, 150}} {
		g := school(size.broken, size.working).groups()
		b.Run(fmt.Sprintf("machines=%d", size.broken+size.working), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				res, err := compare.Compare(b.Context(), g)
				if err != nil || res.Rows[0].IDs[0] != "file:etc/d07/f0007.conf" {
					b.Fatal(err, res.Rows)
				}
			}
		})
	}
}
