// Package storetest holds the store's contract as tests, and an engine in memory
// that keeps the contract and nothing beyond it. What passes Run and RunLanes is
// an engine.
//
// Tests of the domain run on Weak through a store.Writer, which resolves lost
// answers; what they write to the engine directly must bear repetition
// (store.UpdateAgain).
package storetest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"rollcall/server/store"
)

// SeedEnv is the environment variable that makes tests with random content
// repeat a run: the seed that the failed one printed.
const SeedEnv = "ROLLCALL_SEED"

// Seed returns the seed of SeedEnv, or a new one, and writes it to the test's
// log, which is shown if the test fails.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv(SeedEnv); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("%s=%q is not a number: %v", SeedEnv, s, err)
		}
		seed = n
	}
	t.Logf("seed: %s=%d", SeedEnv, seed)
	return seed
}

// NewWriter returns a writer without linger over an engine, which runs until the
// test ends.
func NewWriter(t testing.TB, e store.Engine, feed *store.ChangeFeed) *store.Writer {
	t.Helper()
	w := store.NewWriter(store.Config{Engine: e, Feed: feed, Linger: -1})
	run(t, w.Run)
	return w
}

// run runs f until the test ends and waits for it. It must end without error.
func run(t testing.TB, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// key makes a key for tests.
func key(s store.Space, format string, args ...any) store.Key {
	return store.At(s, "t/", fmt.Sprintf(format, args...))
}

// put writes one pair in a transaction of its own.
func put(t *testing.T, e store.Engine, k store.Key, v string) {
	t.Helper()
	update(t, e, func(tx store.Tx) error { return tx.Put(k, []byte(v)) })
}

func update(t *testing.T, e store.Engine, fn func(store.Tx) error) {
	t.Helper()
	if err := store.UpdateAgain(t.Context(), e, fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func view(t *testing.T, e store.Engine, fn func(store.Reader) error) {
	t.Helper()
	if err := e.View(t.Context(), fn); err != nil {
		t.Fatalf("View: %v", err)
	}
}

// get reads one value; "<nil>" stands for absent.
func get(t *testing.T, e store.Engine, k store.Key) (got string) {
	t.Helper()
	view(t, e, func(r store.Reader) error {
		v, err := r.Get(k)
		if got = string(v); v == nil {
			got = "<nil>"
		}
		return err
	})
	return got
}

func wantGet(t *testing.T, e store.Engine, k store.Key, want string) {
	t.Helper()
	if got := get(t, e, k); got != want {
		t.Errorf("%s = %.100q, want %.100q", k, got, want)
	}
}

// scan joins the keys and values of a range: "a=1 b=2".
func scan(t *testing.T, r store.Reader, s store.Space, from, to []byte, limit int) string {
	t.Helper()
	var b bytes.Buffer
	for p, err := range r.Scan(s, from, to, limit) {
		if err != nil {
			t.Fatalf("Scan: %v", err)
		}
		fmt.Fprintf(&b, "%s=%s ", p.K, p.V)
	}
	return string(bytes.TrimSpace(b.Bytes()))
}
