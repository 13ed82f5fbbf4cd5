package evidence

import (
	"path/filepath"
	"testing"
	"time"

	"rollcall/server/store"
	"rollcall/server/store/bolt"
	"rollcall/server/store/storetest"
)

const tenant = "t"

var day = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// base is a store with its lanes.
type base struct {
	t      testing.TB
	engine store.Engine
	writer *store.Writer
}

// onEngines runs a test of the domain on bbolt and on the weak engine.
func onEngines(t *testing.T, test func(t *testing.T, b *base)) {
	t.Run("bolt", func(t *testing.T) { test(t, newBase(t, openBolt(t))) })
	t.Run("weak", func(t *testing.T) { test(t, newBase(t, storetest.Weak(storetest.Seed(t)))) })
}

func openBolt(t testing.TB) store.Engine {
	t.Helper()
	e, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func newBase(t testing.TB, e store.Engine) *base {
	return &base{t: t, engine: e, writer: storetest.NewWriter(t, e, nil)}
}

func (b *base) append(e Entry) uint64 {
	b.t.Helper()
	var n uint64
	err := b.writer.Update(b.t.Context(), func(tx store.Tx) (err error) {
		n, err = In(tx, tenant).Append(day, e)
		return err
	})
	if err != nil {
		b.t.Fatalf("append: %v", err)
	}
	return n
}

func (b *base) see(fn func(v View) error) {
	b.t.Helper()
	if err := b.engine.View(b.t.Context(), func(r store.Reader) error { return fn(At(r, tenant)) }); err != nil {
		b.t.Fatalf("read: %v", err)
	}
}

// fill appends n leaves of several kinds.
func (b *base) fill(n int) {
	b.t.Helper()
	for i := range n {
		switch {
		case i%3 == 0:
			b.append(Entry{Kind: Report, CI: "ci1", Seq: uint64(i), Subject: envelope(i)})
		default:
			b.append(Entry{Kind: Declare, By: "operator kari", CI: "ci1", Detail: map[string]string{"fields": "room"}})
		}
	}
}

// envelope is the hash of an envelope.
func envelope(i int) []byte {
	b := make([]byte, sumSize)
	b[0], b[1] = byte(i), byte(i>>8)
	return b
}
