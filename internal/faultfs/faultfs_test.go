package faultfs

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

func TestPlacesAreAllOrSomeOfEachPart(t *testing.T) {
	t.Setenv("ROLLCALL_TORTURE", "")
	for _, total := range []int{0, 1, 7, 8, 9, 100} {
		at, why, err := Places(total, 8)
		if err != nil || len(at) != min(total, 8) {
			t.Fatalf("%d operations: %v, %v", total, at, err)
		}
		for i, n := range at {
			if n <= i*total/len(at) || n > (i+1)*total/len(at) {
				t.Errorf("%d operations (%s): place %d is %d", total, why, i, n)
			}
		}
	}
	t.Setenv("ROLLCALL_TORTURE", "1")
	if at, _, err := Places(100, 8); err != nil || len(at) != 100 || at[99] != 100 {
		t.Errorf("in the torture: %v, %v", at, err)
	}
}

func TestTheOperationAskedForFailsAndNoOther(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a file system")
	}
	from, to := t.TempDir(), t.TempDir()
	f, err := Mount(from, to)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	defer func() {
		if err := f.Unmount(); err != nil {
			t.Error(err)
		}
	}()
	write := func() error { // create, write, fsync, rename, fsync of the folder
		file, err := os.CreateTemp(to, "x-*")
		if err != nil {
			return err
		}
		_, err = file.WriteString("hello")
		err = errors.Join(err, file.Sync(), file.Close())
		if err == nil {
			err = os.Rename(file.Name(), filepath.Join(to, "x"))
		}
		d, derr := os.Open(to)
		if derr != nil {
			return derr
		}
		return errors.Join(err, d.Sync(), d.Close())
	}
	for n := 1; n <= 5; n++ {
		if err := f.Fail(n, syscall.EIO); err != nil {
			t.Fatal(err)
		}
		if err := write(); !errors.Is(err, syscall.EIO) {
			t.Errorf("operation %d: %v, want EIO", n, err)
		}
		if _, what, err := f.Count(); what == "" || err != nil {
			t.Errorf("operation %d: nothing failed", n)
		}
		if err := write(); err != nil {
			t.Errorf("after operation %d: %v", n, err)
		}
	}
	if err := f.Fail(0, 0); err != nil {
		t.Fatal(err)
	}
	if err := write(); err != nil {
		t.Error(err)
	}
	if n, what, err := f.Count(); n != 5 || what != "" || err != nil {
		t.Errorf("%d operations, %q failed, want 5 and none", n, what)
	}
	if b, err := os.ReadFile(filepath.Join(from, "x")); string(b) != "hello" || err != nil {
		t.Errorf("below: %q, %v", b, err)
	}
}
