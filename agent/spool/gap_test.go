package spool

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/faultfs"
)

// A machine that is away for long, whose spool overflows again and again, says in its
// next full report from when on something is missing, and what was dropped last.
func TestGapsAddUpToAStatementThatIsSignedAndBounded(t *testing.T) {
	s, k := InMemory(Options{MaxBytes: 2500}), newKey(t)
	at, first, last := start, "", ""
	for n := range 400 {
		if _, err := add(t, s, k, n, at); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Hour)
		if gap := s.chain.Reason; gap != "" && first == "" {
			first = gap
		}
		last = s.chain.Reason
		if len(last) > maxGap {
			t.Fatalf("the statement has %d bytes: a server keeps 500 of a reason", len(last))
		}
	}
	if first == "" || !strings.HasPrefix(last, fact.Cut(first, 60)[:50]) || !strings.Contains(last, "; …; ") {
		t.Errorf("after many gaps %q, want it to begin with the first, %q", last, first)
	}
	b, err := s.Start(at)
	if err != nil {
		t.Fatal(err)
	}
	if s.fullNeeded() && (!b.Full || b.Gap != s.chain.Reason) {
		t.Errorf("the next report is full: %v, with %q", b.Full, b.Gap)
	}
}

// For all n: the n-th write, fsync, rename or unlink in the state folder fails once,
// with EIO or for lack of room. The agent goes on, as it does, by trying again; what
// was appended is neither lost nor sent twice, also after a restart.
func TestAnyOneFailedOperationLeavesAChainWithoutGapOrFork(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a file system")
	}
	from, to := memoryDir(t), t.TempDir()
	f, err := faultfs.Mount(from, to)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	defer func() { must(t, f.Unmount()) }()
	total, _ := faultAt(t, f, to+"/whole", 0, 0)
	for i, with := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		at, why, err := faultfs.Places(total, 6)
		must(t, err)
		tried := 0
		for _, n := range at {
			if _, failed := faultAt(t, f, fmt.Sprintf("%s/%d-%d", to, i, n), n, with); failed {
				tried++
			}
			if t.Failed() {
				break
			}
		}
		t.Logf("%d operations failed with %v (%s)", tried, with, why)
		if tried < len(at)-1 { // the last one is not always reached
			t.Errorf("only %d of %d operations failed with %v", tried, len(at), with)
		}
	}
}

func faultAt(t *testing.T, f *faultfs.FS, dir string, n int, with syscall.Errno) (operations int, failed bool) {
	t.Helper()
	must(t, f.Fail(n, with))
	srv, k := newServer(t), newKey(t)
	at := start
	var s *Spool
	var err error
	for range 3 { // systemd starts it again
		if s, err = Open(dir, Options{}); err == nil {
			break
		}
	}
	must(t, err)
	errs := 0
	for i := range 10 {
		at = at.Add(time.Hour)
		for range 3 { // a look that failed is made again
			_, err := add(t, s, k, i, at)
			if err == nil {
				break
			}
			errs++
		}
		if i%3 == 2 {
			for range 3 {
				if err := drain(t, s, srv); err == nil {
					break
				}
				errs++
			}
		}
		if i == 5 { // a restart in between
			must(t, s.Close())
			for range 3 {
				if s, err = Open(dir, Options{}); err == nil {
					break
				}
				errs++
			}
			must(t, err)
		}
	}
	operations, what, err := f.Count()
	must(t, err)
	must(t, f.Fail(0, 0))
	must(t, s.Close())
	s, err = Open(dir, Options{})
	must(t, err)
	must(t, drain(t, s, srv))
	if !equal(srv.have, state(9)) {
		t.Errorf("operation %d (%s, %d errors): the server has another state than the machine", n, what, errs)
	}
	if p := s.Problems(); len(p) > 0 {
		t.Errorf("operation %d (%s): %v", n, what, errors.Join(p...))
	}
	must(t, s.Close())
	return operations, what != ""
}
