package storetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"rollcall/server/store"
)

// Run tests the contract of an engine. open returns a new, empty engine that
// does not lose answers, and arranges for it to be closed at the test's end.
func Run(t *testing.T, open func(t *testing.T) store.Engine) {
	for _, tt := range []struct {
		claim string
		test  func(*testing.T, store.Engine)
	}{
		{"WhatIsPutIsThere", putGetDelete},
		{"AnEmptyValueIsNotAbsent", emptyValue},
		{"TheSameKeyInTwoSpacesIsTwoKeys", spaces},
		{"ATransactionSeesItsOwnWrites", ownWrites},
		{"AnErrorRollsBackAndComesOutAsItIs", rollback},
		{"APanicRollsBackAndPassesThrough", panics},
		{"TheValueMayBeChangedAfterPut", copied},
		{"AViewIsASnapshot", snapshots},
		{"AScanIsInOrderAndInBounds", scans},
		{"AScanCanBeLeft", leaveScan},
		{"ALongScanEndsWithItsContext", cancelledScan},
		{"NoUpdateIsLost", lostUpdate},
		{"NoWriteSkewOnOneKey", writeSkew},
		{"TheLimitsAreEnforced", limits},
		{"AKeyWithoutTenantIsRefused", badKeys},
		{"AFullTransactionIsCommitted", fullTransaction},
		{"AnEndedContextWritesNothing", cancelled},
		{"AClosedEngineSaysSo", closed},
		{"RandomOperationsAgreeWithAMap", differential},
	} {
		t.Run(tt.claim, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

func putGetDelete(t *testing.T, e store.Engine) {
	a, b := key(store.CI, "a"), key(store.CI, "b")
	wantGet(t, e, a, "<nil>")
	put(t, e, a, "1")
	put(t, e, b, "2")
	put(t, e, a, "3")
	wantGet(t, e, a, "3")
	view(t, e, func(r store.Reader) error {
		got, err := r.GetMany([]store.Key{b, key(store.CI, "none"), a, b})
		if err != nil {
			return err
		}
		if want := [][]byte{[]byte("2"), nil, []byte("3"), []byte("2")}; !slices.EqualFunc(got, want, sameValue) {
			t.Errorf("GetMany = %q, want %q", got, want)
		}
		none, err := r.GetMany(nil)
		if len(none) != 0 {
			t.Errorf("GetMany(nil) = %q, want nothing", none)
		}
		return err
	})
	update(t, e, func(tx store.Tx) error {
		return errors.Join(tx.Delete(a), tx.Delete(key(store.CI, "none")))
	})
	wantGet(t, e, a, "<nil>")
	wantGet(t, e, b, "2")
}

// sameValue also tells absent from empty.
func sameValue(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func emptyValue(t *testing.T, e store.Engine) {
	k := key(store.Unique, "empty")
	for _, v := range [][]byte{nil, {}} {
		update(t, e, func(tx store.Tx) error {
			if err := tx.Put(k, v); err != nil {
				return err
			}
			if got, err := tx.Get(k); got == nil || err != nil {
				t.Errorf("Get of an empty value in its transaction = %v, %v, want not nil", got, err)
			}
			return nil
		})
		wantGet(t, e, k, "")
		view(t, e, func(r store.Reader) error {
			got, err := r.GetMany([]store.Key{k})
			if len(got) != 1 || got[0] == nil {
				t.Errorf("GetMany of an empty value = %v, want not nil", got)
			}
			return err
		})
	}
}

func spaces(t *testing.T, e store.Engine) {
	for _, s := range store.Spaces {
		put(t, e, key(s, "k"), s.String())
	}
	for _, s := range store.Spaces {
		wantGet(t, e, key(s, "k"), s.String())
		view(t, e, func(r store.Reader) error {
			if got, want := scan(t, r, s, nil, nil, 0), "t/k="+s.String(); got != want {
				t.Errorf("Scan(%s) = %q, want %q", s, got, want)
			}
			return nil
		})
	}
}

func ownWrites(t *testing.T, e store.Engine) {
	a, b, c := key(store.CI, "a"), key(store.CI, "b"), key(store.CI, "c")
	put(t, e, a, "old")
	put(t, e, b, "old")
	update(t, e, func(tx store.Tx) error {
		if err := errors.Join(tx.Put(a, []byte("new")), tx.Delete(b), tx.Put(c, []byte("x")), tx.Delete(c), tx.Put(c, []byte("y"))); err != nil {
			return err
		}
		got, err := tx.GetMany([]store.Key{a, b, c})
		if want := [][]byte{[]byte("new"), nil, []byte("y")}; !slices.EqualFunc(got, want, sameValue) {
			t.Errorf("GetMany in the transaction = %q, want %q", got, want)
		}
		v, err2 := tx.Get(b)
		if v != nil {
			t.Errorf("Get of a deleted key in the transaction = %q, want nil", v)
		}
		return errors.Join(err, err2)
	})
	wantGet(t, e, a, "new")
	wantGet(t, e, b, "<nil>")
	wantGet(t, e, c, "y")
}

func rollback(t *testing.T, e store.Engine) {
	a, b := key(store.CI, "a"), key(store.CI, "b")
	put(t, e, a, "1")
	mine := errors.New("mine")
	err := e.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.Put(a, []byte("2")), tx.Put(b, []byte("2")), tx.Delete(a), mine)
	})
	if !errors.Is(err, mine) {
		t.Errorf("Update = %v, want what fn returned", err)
	}
	if err := e.Update(t.Context(), func(store.Tx) error { return mine }); err != mine { //nolint:errorlint // as it is
		t.Errorf("Update = %#v, want fn's error as it is", err)
	}
	if err := e.View(t.Context(), func(store.Reader) error { return mine }); err != mine { //nolint:errorlint // as it is
		t.Errorf("View = %#v, want fn's error as it is", err)
	}
	wantGet(t, e, a, "1")
	wantGet(t, e, b, "<nil>")
}

func panics(t *testing.T, e store.Engine) {
	a := key(store.CI, "a")
	for name, f := range map[string]func(){
		"Update": func() {
			_ = e.Update(t.Context(), func(tx store.Tx) error {
				_ = tx.Put(a, []byte("1"))
				panic("mine")
			})
		},
		"View": func() { _ = e.View(t.Context(), func(store.Reader) error { panic("mine") }) },
	} {
		got := func() (v any) {
			defer func() { v = recover() }()
			f()
			return nil
		}()
		if got != "mine" {
			t.Errorf("%s recovered %v, want the function's own panic", name, got)
		}
	}
	wantGet(t, e, a, "<nil>")
	put(t, e, a, "2") // no lock was left behind
	wantGet(t, e, a, "2")
}

func copied(t *testing.T, e store.Engine) {
	k := key(store.CI, "a")
	update(t, e, func(tx store.Tx) error {
		name, v := []byte("t/a"), []byte("right")
		if err := tx.Put(store.Key{Space: store.CI, K: name}, v); err != nil {
			return err
		}
		copy(v, "wrong")
		copy(name, "x/x")
		return nil
	})
	wantGet(t, e, k, "right")
}

func snapshots(t *testing.T, e store.Engine) {
	a, b := key(store.CI, "a"), key(store.CI, "b")
	put(t, e, a, "1")
	view(t, e, func(r store.Reader) error {
		before := scan(t, r, store.CI, nil, nil, 0)
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := e.Update(t.Context(), func(tx store.Tx) error {
				return errors.Join(tx.Put(a, []byte("2")), tx.Put(b, []byte("2")))
			}); err != nil {
				t.Errorf("Update during a View: %v", err)
			}
		})
		wg.Wait() // a writer does not wait for readers
		if after := scan(t, r, store.CI, nil, nil, 0); after != before {
			t.Errorf("Scan in one View = %q, then %q", before, after)
		}
		v, err := r.Get(b)
		if v != nil {
			t.Errorf("Get of what was written after the View began = %q, want nil", v)
		}
		return err
	})
	wantGet(t, e, b, "2")
}

func scans(t *testing.T, e store.Engine) {
	for _, k := range []string{"b", "a", "c", "a\x00", "aa", "\xff", "\xff\xff"} {
		put(t, e, key(store.Event, "%s", k), "v")
	}
	put(t, e, store.At(store.Event, "u/a"), "v")
	put(t, e, store.At(store.Event, "s/a"), "v")
	put(t, e, store.At(store.Record, "t/b"), "v") // another space
	at := func(s string) []byte { return []byte(s) }
	for _, tt := range []struct {
		claim    string
		from, to []byte
		limit    int
		want     string
	}{
		{"everything, in the order of bytes", nil, nil, 0, "s/a t/a t/a\x00 t/aa t/b t/c t/\xff t/\xff\xff u/a"},
		{"a prefix", at("t/"), store.PrefixEnd(at("t/")), 0, "t/a t/a\x00 t/aa t/b t/c t/\xff t/\xff\xff"},
		{"from is in, to is not", at("t/a"), at("t/b"), 0, "t/a t/a\x00 t/aa"},
		{"bounds that do not exist", at("t/a\x00\x00"), at("t/bb"), 0, "t/aa t/b"},
		{"a limit", at("t/"), nil, 2, "t/a t/a\x00"},
		{"a limit beyond the end", at("u/"), nil, 5, "u/a"},
		{"an empty range", at("t/b"), at("t/b"), 0, ""},
		{"a range the wrong way round", at("t/c"), at("t/a"), 0, ""},
		{"after the last", at("v"), nil, 0, ""},
	} {
		view(t, e, func(r store.Reader) error {
			got := strings.ReplaceAll(scan(t, r, store.Event, tt.from, tt.to, tt.limit), "=v", "")
			if got != tt.want {
				t.Errorf("%s: Scan(%q, %q, %d) = %q, want %q", tt.claim, tt.from, tt.to, tt.limit, got, tt.want)
			}
			return nil
		})
	}
}

func leaveScan(t *testing.T, e store.Engine) {
	for _, k := range "abc" {
		put(t, e, key(store.CI, "%c", k), "v")
	}
	view(t, e, func(r store.Reader) error {
		n := 0
		for range r.Scan(store.CI, nil, nil, 0) {
			if n++; n == 2 {
				break
			}
		}
		for range r.Scan(store.CI, nil, nil, 0) { // and again, nested
			for range r.Scan(store.CI, nil, nil, 0) {
				n++
			}
		}
		if n != 2+9 {
			t.Errorf("loops over Scan ran %d times, want 11", n)
		}
		return nil
	})
}

func cancelledScan(t *testing.T, e store.Engine) {
	for i := range 4 {
		update(t, e, func(tx store.Tx) error {
			for j := range 900 {
				if err := tx.Put(key(store.CI, "%d-%d", i, j), nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	_ = e.View(ctx, func(r store.Reader) error {
		for _, err := range r.Scan(store.CI, nil, nil, 0) {
			if last != nil {
				t.Error("Scan goes on after an error")
			}
			cancel()
			last = err
		}
		return nil
	})
	if !errors.Is(last, context.Canceled) {
		t.Errorf("Scan with an ended context ended with %v, want context.Canceled", last)
	}
}

func cancelled(t *testing.T, e store.Engine) {
	k := key(store.CI, "a")
	ctx, cancel := context.WithCancel(t.Context())
	err := e.Update(ctx, func(tx store.Tx) error {
		cancel()
		return tx.Put(k, []byte("1"))
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Update whose context ends in fn = %v, want context.Canceled", err)
	}
	ran := false
	for name, err := range map[string]error{
		"Update": e.Update(ctx, func(store.Tx) error { ran = true; return nil }),
		"View":   e.View(ctx, func(store.Reader) error { ran = true; return nil }),
	} {
		if !errors.Is(err, context.Canceled) || ran {
			t.Errorf("%s with an ended context = %v, ran %v, want context.Canceled, false", name, err, ran)
		}
	}
	wantGet(t, e, k, "<nil>")
}

func closed(t *testing.T, e store.Engine) {
	if err := e.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	for name, err := range map[string]error{
		"Update": e.Update(t.Context(), func(store.Tx) error { return nil }),
		"View":   e.View(t.Context(), func(store.Reader) error { return nil }),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s after Close = %v, want ErrClosed", name, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Errorf("second Close = %v, want nil", err)
	}
}
