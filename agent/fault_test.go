package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"rollcall/internal/faultfs"
	"rollcall/internal/identity"
)

// For all n: the n-th operation in the state folder fails once, while a machine is
// enrolled, reports, takes policies, waits for a server that is away, is started again and
// replaces its key. It goes on by trying again: one identity, its key files whole at every moment,
// the chain without gap or fork (the server complains otherwise), and in the end the
// server has what the machine has.
func TestAnyOneFailedOperationInTheStateFolderLosesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a file system")
	}
	from, err := os.MkdirTemp("/dev/shm", "state") // there are thousands of fsyncs
	if err != nil {
		from = t.TempDir()
	}
	defer os.RemoveAll(from)
	to := t.TempDir()
	f, err := faultfs.Mount(from, to)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	defer func() { must(t, f.Unmount()) }()
	l := faultyLife{t: t, f: f, n: 0}
	l.live(to + "/whole")
	for _, with := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		at, why, err := faultfs.Places(l.operations, 12)
		must(t, err)
		tried := 0
		for _, n := range at {
			life := faultyLife{t: t, f: f, n: n, with: with}
			if life.live(fmt.Sprintf("%s/%d-%d", to, with, n)); life.failed != "" {
				tried++
			}
			if t.Failed() {
				return
			}
		}
		t.Logf("%d operations failed with %v (%s)", tried, with, why)
		if tried < len(at)-2 { // their number is not always the same
			t.Errorf("only %d of %d operations failed", tried, len(at))
		}
	}
}

// faultyLife is the life of a machine whose n-th operation fails.
type faultyLife struct {
	t    *testing.T
	f    *faultfs.FS
	n    int
	with syscall.Errno

	m          *machine
	signs      signer // policies
	errs       int
	operations int
	failed     string
}

// try does something until it succeeds, as a service does or a person.
func (l *faultyLife) try(what string, do func() error) {
	l.t.Helper()
	var err error
	for range 4 {
		if err = do(); err == nil {
			return
		}
		l.errs++
		l.keysAreWhole(what)
	}
	l.t.Fatalf("operation %d: %s: %v", l.n, what, err)
}

func (l *faultyLife) keysAreWhole(what string) {
	l.t.Helper()
	for _, name := range []string{keyFile, nextKeyFile, beforeKeyFile} {
		if _, err := identity.LoadKey(filepath.Join(l.m.cfg.State, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.t.Errorf("operation %d: %s: %v", l.n, what, err)
		}
	}
}

// look is one look of an agent that goes on running.
func (l *faultyLife) look(a *Agent, want Outcome) {
	l.t.Helper()
	l.try("a look", func() error {
		sum, err := a.Once(l.t.Context(), "test")
		if err == nil && want == Recorded && sum.Problem != "" {
			err = errors.New(sum.Problem)
		}
		return err
	})
}

func (l *faultyLife) start() (a *Agent) {
	l.t.Helper()
	l.try("start", func() (err error) { a, err = Open(l.m.cfg, l.m.deps); return err })
	return a
}

func (l *faultyLife) live(state string) {
	t := l.t
	t.Helper()
	l.m = installed(t, state)
	m := l.m
	l.signs = newSigner(t, m.srv.realm)
	m.under(l.signs, "2026-07-01")
	m.cfg.PolicyFile = filepath.Join(t.TempDir(), "none")
	m.srv.policy = l.signs.sign(1, "2026-06-01", "exclude = none\n")
	must(t, l.f.Fail(l.n, l.with))
	l.try("enrol", func() error {
		_, err := Enrol(t.Context(), m.cfg, "test", m.srv.token(t), m.deps.Dial)
		return err
	})
	if len(m.srv.asked) != 1 {
		t.Errorf("operation %d: the machine asked for admission with %d keys", l.n, len(m.srv.asked))
	}
	for id := range m.srv.asked {
		m.srv.speaks = id
	}
	a := l.start()
	l.look(a, Recorded)
	m.write("etc/motd", "changed\n")
	l.look(a, Recorded)
	l.look(a, Recorded) // nothing has changed
	m.srv.setAway(true)
	m.write("etc/motd", "waits\n")
	l.look(a, Spooled)
	m.write("etc/issue", "waits as well\n")
	l.look(a, Spooled)
	_ = a.Close() // the end of a process frees what it could not close
	m.srv.setAway(false)
	a = l.start()
	l.look(a, Recorded)
	l.try("rotate", func() error { _, err := a.Rotate(t.Context()); return err })
	m.srv.policy = l.signs.sign(2, "2026-06-01", "exclude = none\n")
	m.write("etc/motd", "with the next key\n")
	l.look(a, Recorded)
	_ = a.Close()
	a = l.start()
	m.write("etc/motd", "the end\n")
	l.look(a, Recorded)
	var err error
	l.operations, l.failed, err = l.f.Count()
	must(t, errors.Join(err, l.f.Fail(0, 0), a.Close()))
	m.once() // tells of a policy that it could not keep before
	l.wantSame(state)
	l.wantPolicy()
}

// wantSame wants that the server has what the machine has, under the one key.
func (l *faultyLife) wantSame(state string) {
	l.t.Helper()
	what := fmt.Sprintf("operation %d (%s, %d errors)", l.n, l.failed, l.errs)
	l.m.wantSpeaks(what, Unchanged)
	key, err := identity.LoadKey(filepath.Join(state, keyFile))
	must(l.t, err)
	if id := identity.IDOf(identity.Public(key)); id != l.m.srv.speaks || len(l.m.srv.knows) == 0 || len(l.m.srv.knows) > 1+l.errs {
		l.t.Errorf("%s: the machine has key %s, the server knows %s after %d rotations", what, id, l.m.srv.speaks, len(l.m.srv.knows))
	}
	if l.failed == "" && l.errs > 0 {
		l.t.Errorf("%s: errors without a fault", what)
	}
}

// wantPolicy wants that the machine has the newest policy, and takes no older one.
func (l *faultyLife) wantPolicy() {
	l.t.Helper()
	b := bundlesOf(l.m.cfg, Enrolment{Realm: l.m.srv.realm}, true)
	must(l.t, b.load())
	if err := b.offer(l.signs.sign(1, "2026-06-01", ""), fromServer, day(l.t, "2026-07-01")); b.held.Version != 2 || !errors.Is(err, errRollback) {
		l.t.Errorf("operation %d (%s): it has policy %d, and of an older one it says %v", l.n, l.failed, b.held.Version, err)
	}
}
