package server

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"rollcall/internal/faultfs"
	"rollcall/internal/identity"
)

// For all n: the n-th operation of making a server fails once. Done again it is made,
// its keys are whole at every moment, and a key that was there is not replaced.
func TestAnyOneFailedOperationOfInitLeavesOneServer(t *testing.T) {
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
	total, _ := initAt(t, f, filepath.Join(to, "whole"), 0, 0)
	for _, with := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		at, why, err := faultfs.Places(total, 12)
		if err != nil {
			t.Fatal(err)
		}
		tried := 0
		for _, n := range at {
			if _, what := initAt(t, f, filepath.Join(to, strconv.Itoa(int(with))+"-"+strconv.Itoa(n)), n, with); what != "" {
				tried++
			}
		}
		t.Logf("%d operations failed with %v (%s)", tried, with, why)
		if tried < len(at)-1 {
			t.Errorf("only %d of %d operations failed", tried, len(at))
		}
	}
}

func initAt(t *testing.T, f *faultfs.FS, dir string, n int, with syscall.Errno) (operations int, failed string) {
	t.Helper()
	cfg := Defaults()
	cfg.Data, cfg.Listen, cfg.Metrics = dir, "127.0.0.1:0", ""
	if err := f.Fail(n, with); err != nil {
		t.Fatal(err)
	}
	_, err := Init(t.Context(), cfg)
	operations, failed, cerr := f.Count()
	if cerr != nil {
		t.Fatal(cerr)
	}
	if failed == "" && err != nil {
		t.Errorf("Init without a fault: %v", err)
	}
	files := []string{cfg.KeyFile(), cfg.LogKeyFile()}
	before := keysOf(t, files)
	if err := f.Fail(0, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(t.Context(), cfg); err != nil {
		t.Errorf("operation %d (%s): Init again: %v", n, failed, err)
		return operations, failed
	}
	for i, now := range keysOf(t, files) {
		if now == nil || before[i] != nil && !bytes.Equal(before[i], now) {
			t.Errorf("operation %d (%s): %s is missing, or another key than before", n, failed, files[i])
		}
	}
	s, err := New(t.Context(), cfg, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("operation %d (%s): %v", n, failed, err)
	}
	if err := s.engine.Close(); err != nil {
		t.Error(err)
	}
	return operations, failed
}

// keysOf gives the public keys of files, nil for one that is not there; half a file is
// an error of the test.
func keysOf(t *testing.T, files []string) (all [][]byte) {
	t.Helper()
	for _, name := range files {
		k, err := identity.LoadKey(name)
		switch {
		case err == nil:
			all = append(all, identity.Public(k))
		case errors.Is(err, os.ErrNotExist):
			all = append(all, nil)
		default:
			t.Errorf("%s: %v", name, err)
			all = append(all, nil)
		}
	}
	return all
}
