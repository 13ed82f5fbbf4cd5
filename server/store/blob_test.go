package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"rollcall/internal/fact"
	"rollcall/server/store"
	"rollcall/server/store/storetest"
)

// noise returns bytes that do not compress.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	key[0] = byte(seed)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

func getBlob(t *testing.T, e store.Engine, d fact.Digest) (content []byte, err error) {
	t.Helper()
	if err := e.View(t.Context(), func(r store.Reader) error {
		content, err = store.GetBlob(r, "t", "content", d)
		return nil
	}); err != nil {
		t.Fatalf("View: %v", err)
	}
	return content, err
}

func TestContentsComeBackAsTheyWere(t *testing.T) {
	e := storetest.Weak(storetest.Seed(t))
	contents := map[string][]byte{
		"nothing":      nil,
		"one byte":     {7},
		"text":         bytes.Repeat([]byte("ServerName cups.elm.no\n"), 1000),
		"4 MiB":        bytes.Repeat([]byte("sixteen bytes..."), 1<<18),
		"16 MiB noise": noise(9, store.MaxBlob),
	}
	for _, n := range []int{60<<10 - 49 - 1, 60<<10 - 49, 60<<10 - 49 + 1, 120<<10 - 49, 120<<10 - 48, 13 * 60 << 10} {
		contents[fmt.Sprintf("%d bytes of noise", n)] = noise(uint64(n), n)
	}
	for claim, content := range contents {
		d := fact.Digest(sha256.Sum256(content))
		for range 2 { // putting twice does no harm
			if err := store.PutBlob(t.Context(), e, "t", "content", d, content); err != nil {
				t.Errorf("%s: PutBlob: %v", claim, err)
			}
		}
		got, err := getBlob(t, e, d)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: GetBlob = %d bytes, %v, want %d bytes as they were", claim, len(got), err, len(content))
		}
	}
}

func TestContentTooLargeIsRefused(t *testing.T) {
	e := storetest.Weak(storetest.Seed(t))
	if err := store.PutBlob(t.Context(), e, "t", "content", fact.Digest{1}, make([]byte, store.MaxBlob+1)); !errors.Is(err, store.ErrLimit) {
		t.Errorf("PutBlob above MaxBlob = %v, want ErrLimit", err)
	}
	large, err := store.Pack(noise(1, 2<<20))
	if err != nil {
		t.Fatal(err)
	}
	err = store.UpdateAgain(t.Context(), e, func(tx store.Tx) error {
		return large.PutTx(tx, "t", "content", fact.Digest{1})
	})
	if !errors.Is(err, store.ErrLimit) {
		t.Errorf("PutTx of 2 MiB = %v, want ErrLimit", err)
	}
	if _, err := getBlob(t, e, fact.Digest{1}); !errors.Is(err, store.ErrNoBlob) {
		t.Errorf("GetBlob = %v, want ErrNoBlob", err)
	}
}

func TestSmallContentGoesWithItsTransaction(t *testing.T) {
	e := storetest.Weak(storetest.Seed(t))
	d, mine := fact.Digest{2}, errors.New("mine")
	small, err := store.Pack([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	err = e.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(small.PutTx(tx, "t", "set", d), mine)
	})
	if !errors.Is(err, mine) {
		t.Fatalf("Update = %v, want mine", err)
	}
	if _, err := getBlob(t, e, d); !errors.Is(err, store.ErrNoBlob) {
		t.Errorf("after a rollback GetBlob = %v, want ErrNoBlob", err)
	}
}

// interrupted lets some transactions through and then fails.
type interrupted struct {
	store.Engine
	left int
}

var errCut = errors.New("cut")

func (i *interrupted) Update(ctx context.Context, fn func(store.Tx) error) error {
	if i.left == 0 {
		return errCut
	}
	i.left--
	return i.Engine.Update(ctx, fn)
}

func TestInterruptedContentIsNotThereAndIsCompletedLater(t *testing.T) {
	w := storetest.Weak(storetest.Seed(t))
	w.Unknown = 0
	content := noise(3, 2<<20) // 35 chunks: 3 transactions
	d := fact.Digest(sha256.Sum256(content))
	for left := range 3 {
		if err := store.PutBlob(t.Context(), &interrupted{w, left}, "t", "content", d, content); !errors.Is(err, errCut) {
			t.Fatalf("PutBlob cut after %d transactions = %v, want errCut", left, err)
		}
		if _, err := getBlob(t, w, d); !errors.Is(err, store.ErrNoBlob) {
			t.Errorf("GetBlob after %d of 3 transactions = %v, want ErrNoBlob", left, err)
		}
	}
	if err := store.PutBlob(t.Context(), w, "t", "content", d, content); err != nil {
		t.Fatalf("PutBlob: %v", err)
	}
	if got, err := getBlob(t, w, d); err != nil || !bytes.Equal(got, content) {
		t.Errorf("GetBlob = %d bytes, %v, want all", len(got), err)
	}
}

func TestDamagedContentIsFoundAndNamed(t *testing.T) {
	w := storetest.Weak(storetest.Seed(t))
	w.Unknown = 0
	content := noise(4, 150<<10) // 3 chunks
	d := fact.Digest(sha256.Sum256(content))
	if err := store.PutBlob(t.Context(), w, "t", "content", d, content); err != nil {
		t.Fatalf("PutBlob: %v", err)
	}
	var keys []store.Key
	var values [][]byte
	if err := w.View(t.Context(), func(r store.Reader) error {
		for p, err := range r.Scan(store.Blob, nil, nil, 0) {
			if err != nil {
				return err
			}
			keys = append(keys, store.Key{Space: store.Blob, K: bytes.Clone(p.K)})
			values = append(values, bytes.Clone(p.V))
		}
		return nil
	}); err != nil || len(keys) != 3 {
		t.Fatalf("View: %v, %d chunks, want 3", err, len(keys))
	}
	set := func(k store.Key, v []byte) {
		t.Helper()
		if err := w.Update(t.Context(), func(tx store.Tx) error {
			if v == nil {
				return tx.Delete(k)
			}
			return tx.Put(k, v)
		}); err != nil {
			t.Fatalf("Update: %v", err)
		}
	}
	for i, k := range keys {
		flipped := bytes.Clone(values[i])
		flipped[len(flipped)/2] ^= 4
		swapped := values[(i+1)%len(keys)]
		bad := [][]byte{flipped, swapped, values[i][:20], {}}
		if i > 0 {
			bad = append(bad, nil) // without chunk 0 the content is not there
		}
		for _, v := range bad {
			set(k, v)
			_, err := getBlob(t, w, d)
			var c *store.CorruptError
			if !errors.As(err, &c) || c.Key.String() != k.String() {
				t.Errorf("chunk %d is %d other bytes: GetBlob = %v, want a CorruptError that names it", i, len(v), err)
			}
		}
		set(k, values[i])
	}
	// A chunk that is a good record, but of something else.
	set(keys[0], store.Frame(keys[0], 1, []byte("not a head")))
	if _, err := getBlob(t, w, d); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("chunk 0 without head: GetBlob = %v, want ErrCorrupt", err)
	}
}
