package bolt

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"rollcall/server/store"
)

// Whatever was changed in a file, anywhere: opening, checking and reading it
// never panics, and what is read is what was written or an error of the frame.
func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "db")
	e, err := Open(path, Options{})
	if err != nil {
		f.Fatal(err)
	}
	for n := range 40 {
		k := store.At(store.Spaces[n%len(store.Spaces)], "main/", string(rune('a'+n)))
		if err := e.Update(f.Context(), func(tx store.Tx) error { return store.PutFramed(tx, k, make([]byte, 50*n)) }); err != nil {
			f.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{0, 0, 0, 0, 1})
	f.Add([]byte{0, 0, 0x10, 8, 255, 0, 0, 0x20, 12, 255})
	f.Fuzz(func(t *testing.T, changes []byte) { // each: where (4 bytes), what
		if len(changes) > 500 {
			return
		}
		bad := append([]byte(nil), good...)
		for ; len(changes) >= 5; changes = changes[5:] {
			bad[int(binary.BigEndian.Uint32(changes))%len(bad)] ^= changes[4]
		}
		bad = bad[:len(bad)-len(changes)*1000%len(bad)] // and cut
		name := filepath.Join(t.TempDir(), "db")
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, o := range []Options{{ReadOnly: true}, {}} {
			examine(t, name, o)
		}
	})
}

func examine(t *testing.T, name string, o Options) {
	e, err := Open(name, o)
	if err != nil {
		return
	}
	_, _ = e.Check(t.Context(), func(error) {})
	_ = e.View(t.Context(), func(r store.Reader) error {
		for _, s := range store.Spaces {
			for p, err := range r.Scan(s, nil, nil, 1000) {
				if err != nil {
					break
				}
				_, _, _ = store.Unframe(store.Key{Space: s, K: p.K}, p.V)
			}
		}
		return nil
	})
	if !o.ReadOnly {
		_ = e.Update(context.Background(), func(tx store.Tx) error { return tx.Put(store.At(store.Meta, "main/new"), []byte("x")) })
	}
	_ = e.Close()
}
