package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"rollcall/server/store"
)

// deleted makes a file in which half of the values were deleted.
func deleted(t *testing.T) (path string, want map[string]string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "db")
	e, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	k := func(n int) store.Key { return store.At(store.Record, "main/", fmt.Sprintf("%04d", n)) }
	value := func(n int) []byte {
		return bytes.Repeat(fmt.Appendf(nil, "%s-%04d ", []string{"kept", "canary"}[n%2], n), 300)
	}
	want = map[string]string{}
	for from := 0; from < 300; from += 50 {
		err = errors.Join(err, e.Update(t.Context(), func(tx store.Tx) (err error) {
			for n := from; n < from+50; n++ {
				err = errors.Join(err, tx.Put(k(n), value(n)))
			}
			return err
		}))
	}
	for n := range 300 {
		if n%2 == 0 {
			want[k(n).String()] = string(value(n))
		}
	}
	for from := 0; from < 300; from += 100 {
		err = errors.Join(err, e.Update(t.Context(), func(tx store.Tx) (err error) {
			for n := from + 1; n < from+100; n += 2 {
				err = errors.Join(err, tx.Delete(k(n)))
			}
			return err
		}))
	}
	if err := errors.Join(err, e.Close()); err != nil {
		t.Fatal(err)
	}
	if !holds(t, path) {
		t.Fatal("nothing of what was deleted is in the file: this test proves nothing")
	}
	return path, want
}

func holds(t *testing.T, path string) bool {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(b, []byte("canary-"))
}

func same(t *testing.T, path string, want map[string]string) {
	t.Helper()
	e, err := Open(path, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	err = e.View(t.Context(), func(r store.Reader) error {
		for p, err := range r.Scan(store.Record, nil, nil, 0) {
			if err != nil {
				return err
			}
			if want[store.Key{Space: store.Record, K: p.K}.String()] != string(p.V) {
				t.Errorf("%q differs", p.K)
			}
			got++
		}
		return nil
	})
	if err != nil || got != len(want) {
		t.Errorf("%d records, %v; want %d", got, err, len(want))
	}
	if n, err := e.Check(t.Context(), func(err error) { t.Error(err) }); n > 0 || err != nil {
		t.Errorf("check: %d faults, %v", n, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestScrubRemovesWhatWasDeletedAndNothingElse(t *testing.T) {
	path, want := deleted(t)
	n, err := Scrub(t.Context(), path)
	if err != nil || n == 0 {
		t.Fatalf("Scrub: %d pages, %v", n, err)
	}
	if holds(t, path) {
		t.Error("what was deleted is in the file still")
	}
	same(t, path, want)
	e, err := Open(path, Options{}) // and it can be written
	if err == nil {
		err = e.Update(t.Context(), func(tx store.Tx) error { return tx.Put(store.At(store.Meta, "main/x"), []byte("y")) })
	}
	if err := errors.Join(err, e.Close()); err != nil {
		t.Error(err)
	}
	same(t, path, want)
}

func TestCompactLeavesWhatWasDeletedBehind(t *testing.T) {
	path, want := deleted(t)
	to := filepath.Join(t.TempDir(), "compact")
	if err := Compact(t.Context(), path, to); err != nil {
		t.Fatal(err)
	}
	if holds(t, to) {
		t.Error("what was deleted is in the copy")
	}
	same(t, to, want)
	was, err := os.Stat(path)
	is, err2 := os.Stat(to)
	if err := errors.Join(err, err2); err != nil || is.Size() >= was.Size() || is.Mode().Perm() != 0o600 {
		t.Errorf("from %d to %d bytes, mode %v, %v", was.Size(), is.Size(), is.Mode(), err)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Compact(done, path, to+"2"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
