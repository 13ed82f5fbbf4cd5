package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"rollcall/server/store"
	"rollcall/server/store/storetest"
)

// fill writes n framed records of some size.
func fill(t testing.TB, e *Engine, n int) {
	t.Helper()
	for i := 0; i < n; i += 100 {
		err := e.Update(t.Context(), func(tx store.Tx) error {
			for j := i; j < min(i+100, n); j++ {
				k := record(j)
				if err := tx.Put(k, store.Frame(k, 1, bytes.Repeat([]byte{byte(j)}, 100+j%1000))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatalf("Update: %v", err)
		}
	}
}

func record(i int) store.Key { return store.At(store.Event, "t/", fmt.Sprintf("%06d", i)) }

// readAll reads every record and returns how many are whole, and the errors.
func readAll(ctx context.Context, e *Engine) (whole int, errs error) {
	err := e.View(ctx, func(r store.Reader) error {
		for p, err := range r.Scan(store.Event, nil, nil, 0) {
			if err != nil {
				return err
			}
			if _, _, err := store.Unframe(store.Key{Space: store.Event, K: p.K}, p.V); err != nil {
				errs = errors.Join(errs, err)
				continue
			}
			whole++
		}
		return nil
	})
	return whole, errors.Join(errs, err)
}

func TestASecondServerIsTurnedAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	openAt(t, path, Options{})
	_, err := Open(path, Options{})
	if err == nil || !strings.Contains(err.Error(), "another rollcall-server uses it") {
		t.Errorf("second Open = %v, want to be told that another server uses it", err)
	}
}

func TestReadOnlyReadsAndDoesNotWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	if _, err := Open(path, Options{ReadOnly: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of nothing = %v, want fs.ErrNotExist", err)
	}
	e := openAt(t, path, Options{})
	fill(t, e, 10)
	if err := e.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // two readers at once
		r := openAt(t, path, Options{ReadOnly: true})
		if n, err := readAll(t.Context(), r); n != 10 || err != nil {
			t.Errorf("%d records, %v, want 10", n, err)
		}
		if err := r.Update(t.Context(), func(tx store.Tx) error { return tx.Put(record(1), nil) }); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("Update = %v, want fs.ErrPermission", err)
		}
		if faults, err := r.Check(t.Context(), func(err error) { t.Error(err) }); faults != 0 || err != nil {
			t.Errorf("Check = %d, %v", faults, err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("reading changed the file (%v)", err)
	}
}

func TestWhatIsNoDatabaseIsRefusedAndLeftAlone(t *testing.T) {
	for claim, content := range map[string][]byte{
		"a short file":  []byte("hello\n"),
		"text":          bytes.Repeat([]byte("hello\n"), 10_000),
		"zeros":         make([]byte, 64<<10),
		"a SQLite file": append([]byte("SQLite format 3\x00"), make([]byte, 32<<10)...),
	} {
		path := filepath.Join(t.TempDir(), "db")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, Options{}); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: Open = %v, want ErrCorrupt that names the file", claim, err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: Open changed the file (%v)", claim, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none", "db"), Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open in a folder that does not exist = %v, want fs.ErrNotExist", err)
	}
}

func TestBackupUnderWritesIsAWholeDatabase(t *testing.T) {
	dir := t.TempDir()
	e := openAt(t, filepath.Join(dir, "db"), Options{noSync: true})
	fill(t, e, 500)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 500; ctx.Err() == nil; i++ {
			_ = e.Update(ctx, func(tx store.Tx) error { // ends with ctx
				return tx.Put(record(i), store.Frame(record(i), 1, nil))
			})
		}
	})
	copied := filepath.Join(dir, "copy")
	for range 5 { // replaces the one before
		if err := e.CopyTo(t.Context(), copied); err != nil {
			t.Errorf("CopyTo: %v", err)
		}
	}
	cancel()
	wg.Wait()
	c := openAt(t, copied, Options{})
	if n, err := readAll(t.Context(), c); n < 500 || err != nil {
		t.Errorf("copy has %d records, %v, want at least 500", n, err)
	}
	if faults, err := c.Check(t.Context(), func(err error) { t.Error(err) }); faults != 0 || err != nil {
		t.Errorf("Check of the copy = %d, %v, want 0, nil", faults, err)
	}
	if err := e.CopyTo(ctx, copied+"2"); !errors.Is(err, context.Canceled) {
		t.Errorf("CopyTo with an ended context = %v, want context.Canceled", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("folder holds %v, %v, want db and copy only", entries, err)
	}
}

// TestDamageIsFoundAndNeverPanics flips bits, zeroes pages, puts pages into the
// place of others and cuts the file, and then does with it what a server does.
func TestDamageIsFoundAndNeverPanics(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	e := openAt(t, path, Options{noSync: true})
	const records = 400
	fill(t, e, records)
	if err := e.CopyTo(t.Context(), path+".copy"); err != nil { // without the empty space at the end
		t.Fatal(err)
	}
	good, err := os.ReadFile(path + ".copy")
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(storetest.Seed(t), 0))
	found, silent := 0, 0
	if whole, found := useDamaged(t, path+".copy", records); whole != records || found {
		t.Fatalf("undamaged: %d of %d records whole, damage found: %v", whole, records, found)
	}
	for round := range 300 {
		bad := bytes.Clone(good)
		switch page := rnd.IntN(len(bad) / 4096); {
		case round%4 == 3:
			copy(bad[page*4096:(page+1)*4096], good[rnd.IntN(len(bad)/4096)*4096:])
		case round%4 == 0:
			bad[rnd.IntN(len(bad))] ^= 1 << rnd.IntN(8)
		case round%4 == 1:
			clear(bad[page*4096 : (page+1)*4096])
		default:
			bad = bad[:rnd.IntN(len(bad))]
		}
		name := filepath.Join(dir, "bad")
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		whole, found1 := useDamaged(t, name, records)
		switch {
		case found1:
			found++
		case whole == records:
			silent++ // hit nothing that is in use
		default:
			t.Errorf("round %d: %d of %d records are whole and nobody says so", round, whole, records)
		}
	}
	t.Logf("damage found %d times, in unused places %d times", found, silent)
}

// useDamaged opens, reads, checks and writes a damaged file. It returns how many
// records were whole, and whether anything told of damage.
func useDamaged(t *testing.T, name string, records int) (whole int, found bool) {
	t.Helper()
	e, err := Open(name, Options{noSync: true})
	if err != nil {
		if !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("Open = %v, want ErrCorrupt", err)
		}
		return 0, true
	}
	lethal := false // see ErrTree
	faults, cerr := e.Check(t.Context(), func(err error) {
		said := err.Error()
		lethal = lethal || errors.Is(err, ErrTree) && (strings.Contains(said, "used twice") || strings.Contains(said, "beyond the page"))
	})
	if cerr != nil {
		t.Errorf("Check = %v", cerr)
	}
	if lethal {
		_ = e.Close() // may fail, must return
		return 0, true
	}
	whole, err = readAll(t.Context(), e)
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("read = %v, want ErrCorrupt", err)
	}
	for i := range records {
		if err := e.View(t.Context(), func(r store.Reader) error { _, err := r.Get(record(i)); return err }); err != nil && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("Get = %v, want ErrCorrupt", err)
		}
	}
	_ = e.Update(t.Context(), func(tx store.Tx) error { return tx.Put(record(records+1), nil) }) // may fail, must return
	_ = e.Close()                                                                                // the same
	return whole, err != nil || faults > 0 || whole < records && faults > 0
}

func TestAFullDiskIsToldAndSurvived(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	e := openAt(t, path, Options{maxSize: 1 << 20})
	fill(t, e, 100)
	var err error
	n := 100
	for ; err == nil && n < 10_000; n++ {
		err = e.Update(t.Context(), func(tx store.Tx) error {
			return tx.Put(record(n), store.Frame(record(n), 1, make([]byte, 50<<10)))
		})
	}
	if !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), "free some space") || errors.Is(err, store.ErrBroken) || errors.Is(err, store.ErrUnknown) {
		t.Fatalf("Update on a full disk = %v, want a plain error that says what to do", err)
	}
	whole, err := readAll(t.Context(), e)
	if whole != n-1 || err != nil {
		t.Errorf("%d records, %v after a full disk, want %d", whole, err, n-1)
	}
	if err := e.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.Delete(record(n-2)), tx.Delete(record(n-3)))
	}); err != nil {
		t.Errorf("Update that frees space = %v", err)
	}
	if faults, err := e.Check(t.Context(), func(err error) { t.Error(err) }); faults != 0 || err != nil {
		t.Errorf("Check = %d, %v", faults, err)
	}
}

// TestAFailedWriteStopsAllOthers opens the file so that writing to it fails in
// the way that a dying disk does: not for lack of space.
func TestAFailedWriteStopsAllOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	e := openAt(t, path, Options{})
	fill(t, e, 10)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openAt(t, path, Options{openFile: func(name string, _ int, _ fs.FileMode) (*os.File, error) {
		return os.OpenFile(name, os.O_RDONLY, 0)
	}})
	put := func() error {
		return e.Update(t.Context(), func(tx store.Tx) error { return tx.Put(record(1), nil) })
	}
	if err := put(); !errors.Is(err, store.ErrUnknown) || !errors.Is(err, store.ErrBroken) {
		t.Errorf("Update with a failing disk = %v, want ErrUnknown and ErrBroken", err)
	}
	if err := put(); !errors.Is(err, store.ErrBroken) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("Update after that = %v, want ErrBroken", err)
	}
	if n, err := readAll(t.Context(), e); n != 10 || err != nil {
		t.Errorf("reading after that gives %d records, %v, want 10", n, err)
	}
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	e := openAt(t, filepath.Join(dir, "db"), Options{noSync: true})
	fill(t, e, 400)
	if err := e.CopyTo(t.Context(), filepath.Join(dir, "copy")); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(dir, "copy"))
	if err != nil {
		t.Fatal(err)
	}
	page := func(record string) []byte { // where it lies; pages of former versions as well
		i := bytes.LastIndex(good, []byte(record)) / 4096 * 4096
		return good[i : i+4096]
	}
	for claim, tt := range map[string]struct {
		old, now []byte
		want     string
	}{
		"a key before its neighbour":     {[]byte("t/000201"), []byte("t/000101"), "out of order"},
		"a key beyond its page":          {[]byte("t/000200"), []byte("t/900200"), "out of order"},
		"a page in the place of another": {page("t/000100"), page("t/000300"), "says that it is page"},
		"a page of zeros":                {page("t/000100"), make([]byte, 4096), "says that it is page"},
		"a bucket by another name":       {[]byte("record"), []byte("recorl"), "is not the bucket of a space"},
	} {
		name := filepath.Join(dir, "bad")
		if err := os.WriteFile(name, bytes.ReplaceAll(good, tt.old, tt.now), 0o600); err != nil {
			t.Fatal(err)
		}
		bad, err := Open(name, Options{ReadOnly: true})
		if err != nil {
			t.Errorf("%s: Open: %v", claim, err)
			continue
		}
		var said []string
		n, err := bad.Check(t.Context(), func(err error) { said = append(said, err.Error()) })
		if n == 0 || n != len(said) || err != nil || !strings.Contains(strings.Join(said, "\n"), tt.want) {
			t.Errorf("%s: Check = %d, %v, and says %q, want %q", claim, n, err, said, tt.want)
		}
		if err := bad.Close(); err != nil {
			t.Errorf("%s: Close: %v", claim, err)
		}
	}
}

// Who scans a prefix cuts it off the keys that come.
func TestAScanOfADamagedPageYieldsNoKeyOutsideOfItsRangeOrOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	e := openAt(t, path, Options{})
	key := func(name string) store.Key { return store.At(store.Record, "main/", name) }
	err := e.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.Put(key("log/00000001"), nil), tx.Put(key("log/00000002"), nil), tx.Put(key("log/00000003"), nil))
	})
	if err := errors.Join(err, e.Close()); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	prefix := key("log/").K
	for claim, change := range map[string][2]string{
		"below the range":     {"log/00000003", "a"},
		"before another":      {"log/00000003", "log/00000000"},
		"the same as another": {"log/00000003", "log/00000002"},
	} {
		bad := bytes.ReplaceAll(good, key(change[0]).K, key(change[1]+strings.Repeat("-", len(change[0])-len(change[1]))).K)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		r := openAt(t, path, Options{ReadOnly: true})
		err := r.View(t.Context(), func(r store.Reader) error {
			for p, err := range r.Scan(store.Record, prefix, store.PrefixEnd(prefix), 0) {
				if err != nil {
					return err
				}
				if !bytes.HasPrefix(p.K, prefix) {
					t.Errorf("%s: got %q", claim, p.K)
				}
			}
			return nil
		})
		if !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: Scan = %v, want ErrCorrupt", claim, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
