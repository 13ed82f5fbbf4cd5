package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"rollcall/server/store"
)

// number reads a decimal value; absent is 0.
func number(b []byte) int {
	n, _ := strconv.Atoi(string(b)) // "" is absent
	return n
}

func add(tx store.Tx, k store.Key, n int) error {
	v, err := tx.Get(k)
	if err != nil {
		return err
	}
	return tx.Put(k, strconv.AppendInt(nil, int64(number(v)+n), 10))
}

func lostUpdate(t *testing.T, e store.Engine) {
	const writers, each = 8, 25
	k := key(store.CI, "counter")
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if err := e.Update(t.Context(), func(tx store.Tx) error { return add(tx, k, 1) }); err != nil {
					t.Errorf("Update: %v", err)
				}
			}
		})
	}
	wg.Wait()
	wantGet(t, e, k, strconv.Itoa(writers*each))
}

// writeSkew lets many withdraw from two accounts as long as the first holds
// enough; each reads the first and writes both.
func writeSkew(t *testing.T, e store.Engine) {
	a, b := key(store.CI, "a"), key(store.CI, "b")
	put(t, e, a, "10")
	var wg sync.WaitGroup
	refused := errors.New("refused")
	for range 8 {
		wg.Go(func() {
			for range 5 {
				err := e.Update(t.Context(), func(tx store.Tx) error {
					v, err := tx.Get(a)
					if err != nil {
						return err
					}
					if number(v) == 0 {
						return refused
					}
					return errors.Join(add(tx, a, -1), add(tx, b, 1))
				})
				if err != nil && !errors.Is(err, refused) {
					t.Errorf("Update: %v", err)
				}
			}
		})
	}
	wg.Wait()
	wantGet(t, e, a, "0")
	wantGet(t, e, b, "10")
}

func limits(t *testing.T, e store.Engine) {
	longest := store.Key{Space: store.CI, K: append([]byte("t/"), bytes.Repeat([]byte("k"), store.MaxKey-2)...)}
	tooLong := store.Key{Space: store.CI, K: append(bytes.Clone(longest.K), 'k')}
	largest := make([]byte, store.MaxValue)
	for _, tt := range []struct {
		claim string
		ok    bool
		fn    func(store.Tx) error
	}{
		{"the longest key", true, func(tx store.Tx) error { return tx.Put(longest, nil) }},
		{"a longer key", false, func(tx store.Tx) error { return tx.Put(tooLong, nil) }},
		{"delete of a longer key", false, func(tx store.Tx) error { return tx.Delete(tooLong) }},
		{"the largest value", true, func(tx store.Tx) error { return tx.Put(key(store.CI, "v"), largest) }},
		{"a larger value", false, func(tx store.Tx) error { return tx.Put(key(store.CI, "v"), append(largest, 0)) }},
		{"the most keys", true, func(tx store.Tx) error { return putKeys(tx, store.MaxTxKeys, nil) }},
		{"one key more", false, func(tx store.Tx) error { return putKeys(tx, store.MaxTxKeys+1, nil) }},
		{"the same key again", true, func(tx store.Tx) error {
			return errors.Join(putKeys(tx, store.MaxTxKeys, nil), putKeys(tx, store.MaxTxKeys, nil), tx.Delete(key(store.CI, "n0")))
		}},
		{"too many bytes", false, func(tx store.Tx) error { return putKeys(tx, store.MaxTxBytes/store.MaxValue, largest) }},
	} {
		err := e.Update(t.Context(), tt.fn)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, store.ErrLimit) {
			t.Errorf("%s: Update = %v, want ok %v or ErrLimit", tt.claim, err, tt.ok)
		}
	}
	wantGet(t, e, tooLong, "<nil>")
}

func putKeys(tx store.Tx, n int, v []byte) error {
	for i := range n {
		if err := tx.Put(key(store.CI, "n%d", i), v); err != nil {
			return err
		}
	}
	return nil
}

func badKeys(t *testing.T, e store.Engine) {
	for _, k := range []store.Key{
		{Space: store.CI},
		store.At(store.CI, "/x"),
		store.At(store.CI, "notenant"),
		store.At(store.CI, strings.Repeat("t", 100), "/x"),
		store.At(0, "t/x"),
		store.At(99, "t/x"),
	} {
		for name, fn := range map[string]func(store.Tx) error{
			"Put":    func(tx store.Tx) error { return tx.Put(k, nil) },
			"Delete": func(tx store.Tx) error { return tx.Delete(k) },
		} {
			if err := e.Update(t.Context(), fn); err == nil {
				t.Errorf("%s(%s) = nil, want an error", name, k)
			}
		}
	}
}

// fullTransaction writes as much as a transaction may hold, in few large and in
// many small values, and reads it back.
func fullTransaction(t *testing.T, e store.Engine) {
	for _, n := range []int{20, store.MaxTxKeys} {
		v := bytes.Repeat([]byte{'x'}, store.MaxTxBytes/n-10)
		update(t, e, func(tx store.Tx) error { return putKeys(tx, n, v) })
		view(t, e, func(r store.Reader) error {
			count := 0
			for p, err := range r.Scan(store.CI, nil, nil, 0) {
				if err != nil {
					return err
				}
				if bytes.Equal(p.V, v) {
					count++
				}
			}
			if count != n {
				t.Errorf("%d values of %d bytes read back, want %d", count, len(v), n)
			}
			return nil
		})
	}
}

// differential runs random transactions on the engine and on a map, and compares
// all that can be read.
func differential(t *testing.T, e store.Engine) {
	rnd := rand.New(rand.NewPCG(Seed(t), 1))
	model := map[string]string{}
	name := func() store.Key { return key(store.Spaces[rnd.IntN(2)], "%d", rnd.IntN(40)) }
	for step := range 300 {
		next := map[string]string{}
		fail := rnd.IntN(5) == 0
		plan := rnd.Uint64() // the function may run twice and must do the same then
		err := e.Update(t.Context(), func(tx store.Tx) error {
			clear(next)
			maps.Copy(next, model)
			return randomTx(tx, rand.New(rand.NewPCG(plan, 2)), next, fail)
		})
		if (err != nil) != fail {
			t.Fatalf("step %d: Update = %v, want failure %v", step, err, fail)
		}
		if !fail {
			model = next
		}
		if k := name(); get(t, e, k) != valueOr(model, k) {
			t.Fatalf("step %d: %s = %q, want %q", step, k, get(t, e, k), valueOr(model, k))
		}
		if step%20 == 0 {
			compareScan(t, e, model, rnd)
		}
	}
}

var errPlanned = errors.New("planned")

func randomTx(tx store.Tx, rnd *rand.Rand, model map[string]string, fail bool) error {
	for range rnd.IntN(12) {
		k := key(store.Spaces[rnd.IntN(2)], "%d", rnd.IntN(40))
		switch rnd.IntN(4) {
		case 0:
			v, err := tx.Get(k)
			if err != nil {
				return err
			}
			if want := valueOr(model, k); (v == nil) != (want == "<nil>") || v != nil && string(v) != want {
				return fmt.Errorf("%s = %q in the transaction, want %q", k, v, want)
			}
		case 1:
			delete(model, k.String())
			if err := tx.Delete(k); err != nil {
				return err
			}
		default:
			v := strings.Repeat("v", rnd.IntN(3000)) + strconv.Itoa(rnd.IntN(100))
			model[k.String()] = v
			if err := tx.Put(k, []byte(v)); err != nil {
				return err
			}
		}
	}
	if fail {
		return errPlanned
	}
	return nil
}

func valueOr(model map[string]string, k store.Key) string {
	if v, ok := model[k.String()]; ok {
		return v
	}
	return "<nil>"
}

func compareScan(t *testing.T, e store.Engine, model map[string]string, rnd *rand.Rand) {
	t.Helper()
	s := store.Spaces[rnd.IntN(2)]
	from, to := key(s, "%d", rnd.IntN(40)), key(s, "%d", rnd.IntN(40))
	var want []string
	for i := range 40 {
		k := key(s, "%d", i)
		if _, ok := model[k.String()]; ok && bytes.Compare(k.K, from.K) >= 0 && bytes.Compare(k.K, to.K) < 0 {
			want = append(want, string(k.K)+"="+model[k.String()])
		}
	}
	slices.SortFunc(want, func(a, b string) int {
		ka, _, _ := strings.Cut(a, "=")
		kb, _, _ := strings.Cut(b, "=")
		return strings.Compare(ka, kb)
	})
	view(t, e, func(r store.Reader) error {
		if got := scan(t, r, s, from.K, to.K, 0); got != strings.Join(want, " ") {
			t.Fatalf("Scan(%s, %s) = %.300q, want %.300q", from, to, got, want)
		}
		return nil
	})
}
