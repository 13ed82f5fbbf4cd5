package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/server/store"
	"rollcall/server/store/storetest"
)

// moody is an engine whose Update is replaced.
type moody struct {
	store.Engine
	update func(ctx context.Context, fn func(store.Tx) error) error
}

func (m *moody) Update(ctx context.Context, fn func(store.Tx) error) error { return m.update(ctx, fn) }

func weak(t *testing.T) *storetest.WeakEngine {
	w := storetest.Weak(storetest.Seed(t))
	w.Unknown = 0
	return w
}

// batchOf runs operations in one batch of a writer over e and returns what they
// and Run returned.
func batchOf(t *testing.T, e store.Engine, ops ...store.Op) (errs []error, run error) {
	t.Helper()
	w := store.NewWriter(store.Config{Engine: e, Enough: len(ops), MaxBatch: len(ops), Linger: 1 << 40})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	errs = make([]error, len(ops))
	var wg sync.WaitGroup
	go func() { ended <- w.Run(ctx) }()
	for i, op := range ops {
		wg.Go(func() { _, errs[i] = w.Do(t.Context(), op) })
	}
	wg.Wait()
	cancel()
	return errs, <-ended
}

// Whoever waits for more than enough company keeps a processor idle: those who are
// still on their way come with the next batch.
func TestABatchOfEnoughOperationsWaitsForNoOthers(t *testing.T) {
	ops := 0
	w := store.NewWriter(store.Config{Engine: weak(t), Enough: 3, Linger: time.Hour, Hooks: store.Hooks{
		Commit: func(n, _, _ int, _ time.Duration) { ops = n },
	}})
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- w.Run(ctx) }()
	var wg sync.WaitGroup
	for _, ci := range []string{"a", "b", "c"} {
		wg.Go(func() {
			if _, err := w.Do(t.Context(), putting(ci)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-ended; err != nil || ops != 3 {
		t.Errorf("Run = %v, and a batch of %d, want one of 3", err, ops)
	}
}

func putting(ci string) store.Op {
	return store.Op{Touch: []string{ci}, Fn: func(tx store.Tx) error { return tx.Put(store.At(store.CI, "t/", ci), []byte("x")) }}
}

func present(t *testing.T, e store.Engine, ci string) (ok bool) {
	t.Helper()
	if err := e.View(t.Context(), func(r store.Reader) error {
		v, err := r.Get(store.At(store.CI, "t/", ci))
		ok = v != nil
		return err
	}); err != nil {
		t.Fatalf("View: %v", err)
	}
	return ok
}

func TestOneOperationThatSpoilsABatchIsFoundByRunningThemOneByOne(t *testing.T) {
	for _, spoil := range []error{store.ErrLimit, store.ErrCorrupt} {
		w := weak(t)
		e := &moody{Engine: w}
		e.update = func(ctx context.Context, fn func(store.Tx) error) error {
			return w.Update(ctx, func(tx store.Tx) error {
				if err := fn(tx); err != nil {
					return err
				}
				if v, err := tx.Get(store.At(store.CI, "t/bad")); v != nil || err != nil {
					return fmt.Errorf("spoiled: %w", spoil)
				}
				return nil
			})
		}
		errs, run := batchOf(t, e, putting("a"), putting("bad"), putting("c"))
		if errs[0] != nil || !errors.Is(errs[1], spoil) || errs[2] != nil || run != nil {
			t.Errorf("%v: Do = %v, Run = %v, want only the bad one refused", spoil, errs, run)
		}
		if !present(t, w, "a") || !present(t, w, "c") || present(t, w, "bad") {
			t.Errorf("%v: want a and c stored, and not bad", spoil)
		}
	}
}

func TestAnErrorOfTheEngineGoesToAllAndTheLaneGoesOn(t *testing.T) {
	w := weak(t)
	e := &moody{Engine: w}
	mine := errors.New("mine")
	e.update = func(context.Context, func(store.Tx) error) error { return mine }
	errs, run := batchOf(t, e, putting("a"), putting("b"))
	if !errors.Is(errs[0], mine) || !errors.Is(errs[1], mine) || run != nil {
		t.Errorf("Do = %v, Run = %v, want the engine's error twice, nil", errs, run)
	}
}

func TestABrokenEngineEndsTheWriter(t *testing.T) {
	w := weak(t)
	e := &moody{Engine: w}
	var tries atomic.Int64
	e.update = func(ctx context.Context, fn func(store.Tx) error) error {
		if tries.Add(1) > 1 {
			return store.ErrBroken
		}
		return fmt.Errorf("%w: %w", store.ErrUnknown, store.ErrBroken)
	}
	errs, run := batchOf(t, e, putting("a"), putting("b"))
	if !errors.Is(errs[0], store.ErrUnknown) || !errors.Is(errs[1], store.ErrUnknown) || !errors.Is(run, store.ErrBroken) {
		t.Errorf("Do = %v, Run = %v, want ErrUnknown twice, ErrBroken", errs, run)
	}
}

// TestALostAnswerIsFoundOut loses the answer of the first commit in each of the
// ways there are; each operation must be there once.
func TestALostAnswerIsFoundOut(t *testing.T) {
	for _, tt := range []struct {
		claim   string
		commit  bool // the lost commit took place
		retries int  // failures of the search before it succeeds
		late    bool // the lost commit is still under way, and fails against the void entry
	}{
		{"committed", true, 0, false},
		{"committed, and then the store is away for a while", true, 3, false},
		{"not committed", false, 0, false},
		{"not committed, and then the store is away for a while", false, 3, false},
		{"still under way", false, 0, true},
	} {
		w := weak(t)
		e := &moody{Engine: w}
		n := 0
		var first func(store.Tx) error
		var late error
		e.update = func(ctx context.Context, fn func(store.Tx) error) error {
			n++
			switch {
			case n == 1:
				if first = fn; tt.commit {
					if err := w.Update(ctx, fn); err != nil {
						return err
					}
				}
				return store.ErrUnknown
			case n <= 1+tt.retries:
				return errors.New("away")
			case n == 3 && tt.late:
				late = w.Update(ctx, first)
			}
			return w.Update(ctx, fn)
		}
		count := store.At(store.CI, "t/count")
		op := store.Op{Fn: func(tx store.Tx) error {
			v, err := tx.Get(count)
			if err != nil {
				return err
			}
			return tx.Put(count, append(v, 'x'))
		}}
		errs, run := batchOf(t, e, op, op, op)
		if errors.Join(errs...) != nil || run != nil {
			t.Errorf("%s: Do = %v, Run = %v, want nil", tt.claim, errs, run)
		}
		if tt.late && late == nil {
			t.Errorf("%s: the late commit went through, want it to fail against the void entry", tt.claim)
		}
		var got string
		_ = w.View(t.Context(), func(r store.Reader) error {
			v, err := r.Get(count)
			got = string(v)
			return err
		})
		if got != "xxx" {
			t.Errorf("%s: counted %q, want xxx", tt.claim, got)
		}
	}
}

func TestAWriterRunsOnce(t *testing.T) {
	w := store.NewWriter(store.Config{Engine: weak(t)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Run(ctx); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if err := w.Run(ctx); err == nil {
		t.Error("second Run = nil, want an error")
	}
}

func TestHooksTellWhatHappened(t *testing.T) {
	var ops, keys, bytes, panicked atomic.Int64
	w := store.NewWriter(store.Config{Engine: weak(t), Linger: -1, Hooks: store.Hooks{
		Commit:   func(o, k, b int, _ time.Duration) { ops.Add(int64(o)); keys.Add(int64(k)); bytes.Add(int64(b)) },
		Panicked: func(v any, stack []byte) { panicked.Add(1) },
	}})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.Run(ctx) })
	if _, err := w.Do(ctx, putting("a")); err != nil {
		t.Errorf("Do: %v", err)
	}
	if _, err := w.Do(ctx, store.Op{Fn: func(store.Tx) error { panic("oh") }}); err == nil {
		t.Error("Do of a panicking operation = nil, want an error")
	}
	cancel()
	wg.Wait()
	if ops.Load() != 2 || keys.Load() != 1 || bytes.Load() != int64(len("t/a")+1) || panicked.Load() == 0 {
		t.Errorf("ops %d, keys %d, bytes %d, panics %d; want 2, 1, 4, some", ops.Load(), keys.Load(), bytes.Load(), panicked.Load())
	}
}
