package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"rollcall/internal/faultfs"
	"rollcall/server/store"
)

// faulty mounts a file system of faults for a test.
func faulty(t *testing.T) (*faultfs.FS, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a file system")
	}
	from, to := t.TempDir(), t.TempDir()
	f, err := faultfs.Mount(from, to)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	t.Cleanup(func() {
		if err := f.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return f, to
}

func next(t *testing.T, f *faultfs.FS, n int, with syscall.Errno) {
	t.Helper()
	if err := f.Fail(n, with); err != nil {
		t.Fatal(err)
	}
}

func failed(t *testing.T, f *faultfs.FS) string {
	t.Helper()
	_, what, err := f.Count()
	if err != nil {
		t.Fatal(err)
	}
	return what
}

// faults lets one operation after the other fail in a database of its own, a few of
// them outside of the torture.
func faults(t *testing.T, few int, with syscall.Errno) {
	t.Helper()
	f, dir := faulty(t)
	at := func(n int) (operations int, failed bool) {
		path := filepath.Join(dir, fmt.Sprint("db", n))
		operations, failed = faultAt(t, f, path, n, with)
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return operations, failed
	}
	total, _ := at(0)
	places, why, err := faultfs.Places(total, few)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, n := range places {
		if _, failed := at(n); failed {
			tried++
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d operations failed with %v (%s)", tried, with, why)
	if tried < len(places)-1 { // the last one is not always reached
		t.Errorf("only %d of %d operations failed with %v", tried, len(places), with)
	}
}

// For all n: the n-th write, fsync or resize fails with EIO. The engine stops at
// once, reading goes on, and after it was opened again all that was acknowledged is
// there, and nothing of what was refused in words that promise so.
func TestAnyOneFailedOperationStopsTheStoreAndLosesNothing(t *testing.T) {
	faults(t, 24, syscall.EIO)
}

// A full disk, which writing finds, is survived; one that only an fsync finds is a
// failed fsync.
func TestAnyOneOperationWithoutRoomLosesNothing(t *testing.T) {
	faults(t, 16, syscall.ENOSPC)
}

// faultAt works on a database until the n-th operation fails, and opens it again.
// It returns how many operations there were and whether that one failed.
func faultAt(t *testing.T, f *faultfs.FS, path string, n int, with syscall.Errno) (operations int, failed bool) {
	t.Helper()
	next(t, f, n, with)
	acked := 0
	e, err := Open(path, Options{})
	if err == nil {
		acked = work(t, f, e, n)
		_ = e.Close() // what it could not do, the next Open says
	}
	operations, what, err := f.Count()
	if err != nil {
		t.Fatal(err)
	}
	next(t, f, 0, 0)
	again, err := Open(path, Options{})
	if err != nil {
		t.Errorf("operation %d (%s): cannot be opened again: %v", n, what, err)
		return operations, true
	}
	have, err := readAll(t.Context(), again)
	if err != nil || have < acked {
		t.Errorf("operation %d (%s): %d records, %v; %d were acknowledged", n, what, have, err, acked)
	}
	if faults, err := again.Check(t.Context(), func(err error) { t.Error(err) }); faults != 0 || err != nil {
		t.Errorf("operation %d (%s): Check = %d, %v", n, what, faults, err)
	}
	if err := again.Update(t.Context(), func(tx store.Tx) error { return tx.Put(record(acked), store.Frame(record(acked), 1, nil)) }); err != nil {
		t.Errorf("operation %d (%s): the next write: %v", n, what, err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	return operations, what != ""
}

// work writes records, of which some make the file grow, and tells how many were
// acknowledged.
func work(t *testing.T, f *faultfs.FS, e *Engine, n int) (acked int) {
	t.Helper()
	stopped := false
	for range 24 {
		k := record(acked)
		err := e.Update(t.Context(), func(tx store.Tx) error {
			return tx.Put(k, store.Frame(k, 1, make([]byte, 20<<10)))
		})
		switch what := failed(t, f); {
		case err == nil && stopped:
			t.Errorf("operation %d (%s): a write after it was acknowledged", n, what)
		case err == nil:
			acked++
		case errors.Is(err, store.ErrReadOnly): // undone: it may be tried again
		case !errors.Is(err, store.ErrBroken):
			t.Errorf("operation %d (%s): %v, want ErrBroken", n, what, err)
		default:
			stopped = true
		}
	}
	if got, err := readAll(t.Context(), e); got < acked || err != nil {
		t.Errorf("operation %d: reading after it gives %d records, %v, want %d", n, got, err, acked)
	}
	return acked
}
