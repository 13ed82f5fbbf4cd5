package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"rollcall/server/store"
	"rollcall/server/store/bolt"
	"rollcall/server/store/storetest"
)

// exported gives the export of an engine.
func exported(t testing.TB, e store.Engine) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := e.View(t.Context(), func(r store.Reader) error {
		b.Reset()
		_, err := Export(r, &b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openBolt(t testing.TB) *bolt.Engine {
	t.Helper()
	e, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// filled is an engine with records of all spaces and sizes.
func filled(t testing.TB, records int) *bolt.Engine {
	t.Helper()
	e := openBolt(t)
	if err := store.Schema(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range records {
		space := store.Spaces[rnd.IntN(len(store.Spaces))]
		k := store.At(space, "main/", fmt.Sprint(rnd.Uint64()), string(rune(rnd.IntN(300))))
		size := rnd.IntN(300)
		if n%100 == 50 {
			size = store.MaxValue - 100
		}
		value := bytes.Repeat([]byte{byte(n)}, size)
		if err := e.Update(t.Context(), func(tx store.Tx) error { return store.PutFramed(tx, k, value) }); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func TestAStoreThatGoesFromEngineToEngineStaysByteIdentical(t *testing.T) {
	want := exported(t, filled(t, 500))
	for i, e := range []store.Engine{storetest.Weak(storetest.Seed(t)), openBolt(t)} {
		if n, err := Import(t.Context(), e, bytes.NewReader(want)); err != nil || n != 501 {
			t.Fatalf("engine %d: %d pairs, %v", i, n, err)
		}
		if err := store.Schema(t.Context(), e); err != nil {
			t.Errorf("engine %d: %v", i, err)
		}
		if got := exported(t, e); !bytes.Equal(got, want) {
			t.Errorf("engine %d: the export differs, %d and %d bytes", i, len(got), len(want))
		}
		if _, err := Import(t.Context(), e, bytes.NewReader(want)); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("engine %d: a second import: %v, want ErrNotEmpty", i, err)
		}
	}
}

// However much of an export is missing, and whatever bit of it has flipped: it is
// not taken for one, and half of it is no store.
func TestADamagedExportIsNoStore(t *testing.T) {
	good := exported(t, filled(t, 40))
	rnd := rand.New(rand.NewPCG(storetest.Seed(t), 7))
	for n := range 200 {
		bad := bytes.Clone(good)
		if n%2 == 0 {
			bad = bad[:rnd.IntN(len(bad))]
		} else {
			bad[rnd.IntN(len(bad))] ^= 1 << rnd.IntN(8)
		}
		e := storetest.Weak(storetest.Seed(t))
		if _, err := Import(t.Context(), e, bytes.NewReader(bad)); !errors.Is(err, ErrFormat) {
			t.Fatalf("damage %d: %v, want ErrFormat", n, err)
		}
		if got := exported(t, e); len(got) > len(exportMagic)+1+8+32 {
			if err := store.Schema(t.Context(), e); !errors.Is(err, store.ErrSchema) {
				t.Errorf("damage %d: half an import opens: %v", n, err)
			}
		}
	}
}

func TestAnExportWithAHugeLengthTakesNoMemory(t *testing.T) {
	for name, tail := range map[string][]byte{
		"key":   binary.AppendUvarint([]byte{byte(store.CI)}, 1<<60),
		"value": binary.AppendUvarint(append([]byte{byte(store.CI), 4}, "main"...), 1<<60),
		"space": {200, 1, 'x'},
		"empty": {byte(store.CI), 0, 0},
	} {
		if _, err := Pairs(bytes.NewReader(append([]byte(exportMagic), tail...)), nil); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", name, err)
		}
	}
}

// Whatever the bytes are: no panic, and what is accepted is written again as the
// same bytes.
func FuzzPairs(f *testing.F) {
	good := exported(f, filled(f, 5))
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte(exportMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := storetest.Weak(1)
		if _, err := Import(t.Context(), e, bytes.NewReader(b)); err != nil {
			return
		}
		if got := exported(t, e); !bytes.Equal(got, b) {
			t.Errorf("%d bytes were accepted, %d come out", len(b), len(got))
		}
	})
}
