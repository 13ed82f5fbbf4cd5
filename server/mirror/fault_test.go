package mirror

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"rollcall/internal/faultfs"
)

// tries is how often the mirror tries again after an error.
const tries = 4

// For all n: the n-th write, fsync, rename or unlink of the mirror fails once. At no
// moment a branch names what is not there, or the outbox forgets what is in no
// branch; trying again, in the same process or a new one, gives the commit ids that a
// mirror without faults has, and so does a rebuild that is hit itself.
func TestAnyOneFailedOperationLeavesAMirrorThatGoesOn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a file system")
	}
	from, to := tempDir(t), t.TempDir()
	f, err := faultfs.Mount(from, to)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	defer func() {
		if err := f.Unmount(); err != nil {
			t.Error(err)
		}
	}()
	twin := filepath.Join(tempDir(t), "twin")
	drain(t, smallWorld().mirror(twin))
	faulty := &faultyMirror{t: t, f: f, dir: to, want: refs(t, twin)}
	for _, life := range []struct {
		name string
		few  int
		of   func(dir string, n int, with syscall.Errno) (operations int, failed string)
	}{
		{"following, the same process goes on", 8, func(dir string, n int, with syscall.Errno) (int, string) { return faulty.follow(dir, n, with, false) }},
		{"following, a new process goes on", 8, func(dir string, n int, with syscall.Errno) (int, string) { return faulty.follow(dir, n, with, true) }},
		{"rebuilding", 8, faulty.rebuild},
	} {
		total, _ := life.of(to+"/whole", 0, 0)
		for _, with := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
			at, why, err := faultfs.Places(total, life.few)
			if err != nil {
				t.Fatal(err)
			}
			tried := 0
			for _, n := range at {
				if _, what := life.of(fmt.Sprintf("%s/%d", to, n), n, with); what != "" {
					tried++
				}
				if t.Failed() {
					return
				}
			}
			t.Logf("%s: %d operations failed with %v (%s)", life.name, tried, with, why)
			if tried < len(at)-1 { // the last one is not always reached
				t.Errorf("%s: only %d of %d operations failed", life.name, tried, len(at))
			}
		}
	}
}

type faultyMirror struct {
	t    *testing.T
	f    *faultfs.FS
	dir  string
	want map[string]string
}

func (m *faultyMirror) fail(n int, with syscall.Errno) {
	m.t.Helper()
	if err := m.f.Fail(n, with); err != nil {
		m.t.Fatal(err)
	}
}

// follow lets a mirror follow its outbox while the n-th operation fails.
func (m *faultyMirror) follow(dir string, n int, with syscall.Errno, restart bool) (operations int, failed string) {
	t := m.t
	t.Helper()
	defer m.remove(dir)
	m.fail(n, with)
	w := smallWorld()
	mir := w.mirror(dir)
	mir.page, mir.most = 2, 2
	errs := 0
	for range tries {
		_, err := mir.Drain(t.Context())
		if err == nil {
			err = mir.Tidy(t.Context())
		}
		if err == nil {
			break
		}
		if errs++; !errors.Is(err, with) {
			t.Errorf("operation %d: %v, want an error that wraps %v", n, err, with)
		}
		m.whole(w, dir, n)
		if restart {
			_ = mir.closeRepos() // what it could not close the end of the process does
			mir = w.mirror(dir)
			mir.page, mir.most = 2, 2
		}
	}
	operations, failed, err := m.f.Count()
	if err != nil {
		t.Fatal(err)
	}
	m.fail(0, 0)
	if failed == "" && errs > 0 {
		t.Errorf("operation %d: %d errors without a fault", n, errs)
	}
	m.whole(w, dir, n)
	drain(t, mir) // nothing to do, if the tries were enough
	if err := mir.closeRepos(); err != nil {
		t.Error(err)
	}
	m.same(w, dir, fmt.Sprintf("operation %d (%s, %d errors)", n, failed, errs))
	return operations, failed
}

// rebuild lets a rebuild be hit by a fault.
func (m *faultyMirror) rebuild(dir string, n int, with syscall.Errno) (operations int, failed string) {
	t := m.t
	t.Helper()
	defer m.remove(dir)
	m.fail(0, 0)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w, at, out := smallWorld(), filepath.Join(dir, "m"), filepath.Join(dir, "m.new")
	drain(t, w.mirror(at))
	m.fail(n, with)
	errs := 0
	for range tries {
		err := w.mirror(at).Rebuild(t.Context(), out)
		if err == nil {
			break
		}
		if errs++; !errors.Is(err, with) {
			t.Errorf("rebuild, operation %d: %v, want an error that wraps %v", n, err, with)
		}
		m.whole(w, at, n)
		if err := os.RemoveAll(out); err != nil { // as the operator is told; it may fail too
			errs++
		}
	}
	operations, failed, err := m.f.Count()
	if err != nil {
		t.Fatal(err)
	}
	m.fail(0, 0)
	m.same(w, at, fmt.Sprintf("rebuild, operation %d (%s, %d errors)", n, failed, errs))
	return operations, failed
}

// whole wants what is there to be what it says it is: every object of every branch is
// there, and every revision that the outbox has let go is in its branch.
func (m *faultyMirror) whole(w *world, dir string, n int) {
	m.t.Helper()
	look := w.mirror(dir)
	if _, err := look.Verify(context.Background()); err != nil {
		m.t.Errorf("after operation %d: %v", n, err)
	}
	if err := look.closeRepos(); err != nil {
		m.t.Error(err)
	}
}

// same wants the commit ids of a mirror without faults, now and after a rebuild.
func (m *faultyMirror) same(w *world, dir, what string) {
	m.t.Helper()
	if got := refs(m.t, dir); !maps.Equal(got, m.want) {
		m.t.Errorf("%s: %v, want %v", what, got, m.want)
	}
	m.whole(w, dir, 0)
	again := w.mirror(dir)
	if err := again.Rebuild(m.t.Context(), dir+".again"); err != nil {
		m.t.Errorf("%s: %v", what, err)
	}
	if got := refs(m.t, dir); !maps.Equal(got, m.want) {
		m.t.Errorf("%s, and rebuilt: %v, want %v", what, got, m.want)
	}
}

func (m *faultyMirror) remove(dir string) {
	m.t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		m.t.Error(err)
	}
}
