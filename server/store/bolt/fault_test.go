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

// stride is how many faults a run in CI leaves out between two; the torture none.
func stride(n int) int {
	if os.Getenv("ROLLCALL_TORTURE") != "" {
		return 1
	}
	return n
}

// For all n: the n-th write, fsync or resize fails with EIO. The engine stops at
// once, reading goes on, and after it was opened again all that was acknowledged is
// there, and nothing of what was refused in words that promise so.
func TestAnyOneFailedOperationStopsTheStoreAndLosesNothing(t *testing.T) {
	f, dir := faulty(t)
	tried := 0
	for n := 1; ; n += stride(7) {
		path := filepath.Join(dir, fmt.Sprint("db", n))
		whole := faultAt(t, f, path, n, syscall.EIO)
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if whole || t.Failed() {
			break
		}
		tried++
	}
	t.Logf("%d faults", tried)
	if tried < 10 {
		t.Errorf("only %d operations failed", tried)
	}
}

// A full disk, which writing finds, is survived; one that only an fsync finds is a
// failed fsync.
func TestAnyOneOperationWithoutRoomLosesNothing(t *testing.T) {
	f, dir := faulty(t)
	for n := 1; ; n += stride(11) {
		path := filepath.Join(dir, fmt.Sprint("db", n))
		whole := faultAt(t, f, path, n, syscall.ENOSPC)
		if whole || t.Failed() {
			return
		}
	}
}

// faultAt works on a database until the n-th operation fails, and opens it again.
// whole tells that nothing failed.
func faultAt(t *testing.T, f *faultfs.FS, path string, n int, with syscall.Errno) (whole bool) {
	t.Helper()
	next(t, f, n, with)
	acked := 0
	e, err := Open(path, Options{})
	if err == nil {
		acked = work(t, f, e, n)
		_ = e.Close() // what it could not do, the next Open says
	}
	what := failed(t, f)
	next(t, f, 0, 0)
	again, err := Open(path, Options{})
	if err != nil {
		t.Errorf("operation %d (%s): cannot be opened again: %v", n, what, err)
		return false
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
	return what == ""
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
