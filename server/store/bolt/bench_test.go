package bolt

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/server/store"
)

// report is what one report costs the store: about 1 KiB over three keys, the
// head of its CI read and written.
func report(ci string, n int64) store.Op {
	head := store.At(store.CI, "t/", ci)
	return store.Op{
		Reads: []store.Key{head},
		Touch: []string{ci},
		Fn: func(tx store.Tx) error {
			if _, err := tx.Get(head); err != nil {
				return err
			}
			for _, p := range []struct {
				k    store.Key
				size int
			}{
				{head, 200},
				{store.At(store.Event, "t/", ci, "/", fmt.Sprintf("%016x", n)), 600},
				{store.At(store.Record, "t/out/mirror/", fmt.Sprintf("%016x", n), ci), 200},
			} {
				if err := tx.Put(p.k, bytes.Repeat([]byte{'x'}, p.size)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// clients64 runs b.N operations with 64 clients and reports operations a second.
func clients64(b *testing.B, do func(op store.Op) error) {
	var n atomic.Int64
	b.SetParallelism(64) // times GOMAXPROCS; the surplus is cut below
	sem := make(chan struct{}, 64)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			sem <- struct{}{}
			i := n.Add(1)
			if err := do(report(fmt.Sprintf("ci%06d", i*7919%20000), i)); err != nil {
				b.Errorf("write: %v", err)
			}
			<-sem
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reports/s")
}

// BenchmarkLane64 and BenchmarkOneTxPerReport64 belong together: with fsync, in
// one run, their ratio is what group commit is for.
func BenchmarkLane64(b *testing.B) {
	e := openAt(b, filepath.Join(b.TempDir(), "db"), Options{})
	var ops, batches atomic.Int64
	w := store.NewWriter(store.Config{Engine: e, Feed: store.NewFeed(store.FeedConfig{Engine: e}), Hooks: store.Hooks{
		Commit: func(n, _, _ int, _ time.Duration) { ops.Add(int64(n)); batches.Add(1) },
	}})
	run(b, w.Run)
	clients64(b, func(op store.Op) error { _, err := w.Do(b.Context(), op); return err })
	b.ReportMetric(float64(ops.Load())/float64(batches.Load()), "reports/batch")
}

func BenchmarkOneTxPerReport64(b *testing.B) {
	e := openAt(b, filepath.Join(b.TempDir(), "db"), Options{})
	clients64(b, func(op store.Op) error { return e.Update(b.Context(), op.Fn) })
}

// run runs f until the benchmark ends.
func run(tb testing.TB, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
}
