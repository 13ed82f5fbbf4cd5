package identity

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rollcall/internal/faultfs"
)

func TestMain(m *testing.M) {
	faultfs.Main()
	os.Exit(m.Run())
}

// For all n: the n-th operation of making a key, and of putting another one in its
// place, fails once. The file holds no key or a whole one at every moment; a key that
// anybody was given is the one that is there from then on.
func TestAnyOneFailedOperationLeavesNoHalfKey(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a file system")
	}
	from, to := t.TempDir(), t.TempDir()
	f, err := faultfs.Mount(from, to)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	defer func() {
		if err := f.Unmount(); err != nil {
			t.Error(err)
		}
	}()
	for _, with := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		n, failed := 1, true
		for ; failed; n++ {
			dir := filepath.Join(to, fmt.Sprint(int(with), "-", n))
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			failed = keysAt(t, f, dir, n, with)
		}
		t.Logf("%d operations failed with %v", n-2, with)
		if n < 11 {
			t.Errorf("only %d operations failed with %v", n-2, with)
		}
	}
}

func keysAt(t *testing.T, f *faultfs.FS, dir string, n int, with syscall.Errno) (failed bool) {
	t.Helper()
	name := filepath.Join(dir, "agent.key")
	if err := f.Fail(n, with); err != nil {
		t.Fatal(err)
	}
	var first Key
	for range 2 {
		k, _, err := LoadOrMakeKey(name)
		if err == nil {
			first = k
			break
		}
		if !errors.Is(err, with) {
			t.Errorf("operation %d: %v, want %v", n, err, with)
		}
		if k, err := LoadKey(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("operation %d: half a key: %v, %v", n, k, err)
		}
	}
	if again, made, err := LoadOrMakeKey(name); err != nil || made || !again.Equal(first) {
		t.Errorf("operation %d: the key that was made is not the one that is there: made %v, %v", n, made, err)
	}
	next, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := SaveKey(name, next); err != nil {
		if now, err := LoadKey(name); err != nil || !now.Equal(first) && !now.Equal(next) {
			t.Errorf("operation %d: neither the old key nor the new one: %v", n, err)
		}
		if err := SaveKey(name, next); err != nil {
			t.Errorf("operation %d, again: %v", n, err)
		}
	}
	_, what, err := f.Count()
	if err = errors.Join(err, f.Fail(0, 0)); err != nil {
		t.Fatal(err)
	}
	if now, err := LoadKey(name); err != nil || !now.Equal(next) {
		t.Errorf("operation %d (%s): %v, want the new key", n, what, err)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left { // where removing it failed a temporary file may stay
		if e.Name() != "agent.key" && !strings.HasPrefix(what, "unlink") {
			t.Errorf("operation %d (%s): %s is left", n, what, e.Name())
		}
	}
	return what != ""
}
