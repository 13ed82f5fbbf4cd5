package spool

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/faultfs"
	"rollcall/internal/identity"
)

var errCrash = errors.New("crash")

// failing stops after a number of steps, as a machine whose power goes: the
// last step is done, or not, or (write) has left its temporary file.
type failing struct {
	*disk
	left  int
	after bool // the step at which it stops is still done
}

func (f *failing) step(do func() error) error {
	f.left--
	if f.left > 0 {
		return do()
	}
	if f.left == 0 && f.after {
		_ = do()
	}
	return errCrash
}

func (f *failing) write(name string, b []byte) error {
	return f.step(func() error { return f.disk.write(name, b) })
}

func (f *failing) add(name string, b []byte) error {
	if f.left == 1 && f.after {
		b = b[:len(b)/2] // a file that is not synced may be cut
	}
	return f.step(func() error { return f.disk.add(name, b) })
}
func (f *failing) sync() error { return f.step(f.disk.sync) }

func (f *failing) remove(name string) error {
	return f.step(func() error { return f.disk.remove(name) })
}

func (f *failing) quarantine(name string) error {
	return f.step(func() error { return f.disk.quarantine(name) })
}

// life is what an agent does over some days; every step may be its last. It
// returns the sequence numbers that it got.
func life(t *testing.T, s *Spool, srv *server, k identity.Key, from int) (used []uint64, err error) {
	at := start
	for n := from; n < from+12; n++ {
		b, err := add(t, s, k, n, at)
		if b.Seq != 0 {
			used = append(used, b.Seq)
		}
		if err != nil {
			return used, err
		}
		at = at.Add(time.Hour)
		switch n % 12 {
		case 1, 6: // the server loses what it has recorded since; then it asks
			if err = drain(t, s, srv); err == nil {
				err = lose(t, s, srv, k, n, at)
			}
		case 2, 3:
			err = drain(t, s, srv)
		case 5: // the server records it, the receipt is lost
			if w, ok, nerr := s.Next(); ok && nerr == nil {
				srv.accept(w)
			}
		case 7: // it comes to the server in a file, the receipts do not come back
			err = s.Carry(func(c Carried) error { srv.accept(c.Waiting); return nil })
		case 9:
			// What a server says that was restored; only then may what it
			// recorded be dropped, so here it has not recorded anything.
			if err = drain(t, s, srv); err == nil {
				_, err = add(t, s, k, 100+n, at)
			}
			if err == nil {
				err = s.Reset("asked for")
			}
		}
		if err != nil {
			return used, err
		}
	}
	return used, drain(t, s, srv)
}

// lose lets the server record more, restores it from the backup of before, and
// sends again what it lacks.
func lose(t *testing.T, s *Spool, srv *server, k identity.Key, n int, at time.Time) error {
	backup := *srv
	backup.receipts = maps.Clone(srv.receipts)
	for more := range 2 {
		if _, err := add(t, s, k, 200+n+more, at); err != nil {
			return err
		}
	}
	if err := drain(t, s, srv); err != nil {
		return err
	}
	was, wasSets := srv.last, srv.have
	*srv = backup
	seqs, ok := s.Since(srv.last[:])
	if ok {
		for _, seq := range seqs {
			w, err := s.Kept(seq)
			must(t, err)
			srv.accept(w)
			if _, err := s.Content(fact.Digest(hashOf(content(200 + n)))); err != nil {
				t.Errorf("a content that the server has lost is gone: %v", err)
			}
		}
	} else if s.opt.MaxBytes == DefaultMaxBytes {
		t.Errorf("what the server has lost is not kept: %d are", len(s.kept))
	} else { // there was no room: a server takes a full report then
		srv.last, srv.have, srv.seq = was, wasSets, max(srv.seq, s.chain.Seq)
	}
	if srv.last != was || !equal(srv.have, wasSets) {
		t.Error("the restored server has another state than the one that it was")
	}
	raw := srv.receipts[was]
	if raw == nil {
		return nil
	}
	r, err := identity.OpenReceipt(identity.Public(srv.key), raw)
	must(t, err)
	return s.Renew(r, raw)
}

// At whatever step the machine dies: no number is used twice, the chain goes on
// without a fork or a gap, and the server ends with the machine's state.
func TestACrashAtAnyStepLeavesAChainWithoutGapOrFork(t *testing.T) {
	for _, opt := range []Options{{}, {MaxBytes: 2500}} {
		total := crashAt(t, opt, 0, false)
		if total < 100 {
			t.Errorf("options %+v: a life has %d steps only", opt, total)
		}
		for _, after := range []bool{false, true} {
			at, why, err := faultfs.Places(total, 6)
			must(t, err)
			t.Logf("options %+v, the step is done %v: %s", opt, after, why)
			for _, step := range at {
				if crashAt(t, opt, step, after); t.Failed() {
					t.Fatalf("options %+v, step %d, done %v", opt, step, after)
				}
			}
		}
	}
}

// memoryDir is a folder where fsync costs nothing, if there is one: what the
// test checks is the order of steps, and there are thousands.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "spool")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// crashAt lets a machine die at a step, 0: at none, and returns how many steps it
// took before that.
func crashAt(t *testing.T, opt Options, step int, after bool) (steps int) {
	dir := memoryDir(t)
	const never = 1 << 30
	mortal := &failing{left: cmp.Or(step, never), after: after}
	srv, k := newServer(t), newKey(t)
	var used []uint64
	d, err := openDisk(dir)
	must(t, err)
	mortal.disk = d
	s, err := open(mortal, opt)
	if err == nil {
		used, err = life(t, s, srv, k, 0)
	}
	if died := err != nil; died != (step > 0) {
		t.Errorf("step %d: it ends with %v", step, err)
	}
	must(t, d.close())

	// The first thing after the crash may crash as well.
	if d, err = openDisk(dir); err == nil {
		_, _ = open(&failing{disk: d, left: 1 + step%3, after: after}, opt)
		must(t, d.close())
	}

	s = mustOpen(t, dir, opt)
	again, err := life(t, s, srv, k, 20)
	must(t, err)
	seen := map[uint64]bool{}
	for _, seq := range append(used, again...) {
		if seen[seq] {
			t.Errorf("sequence number %d was given out twice", seq)
		}
		seen[seq] = true
	}
	if !equal(srv.have, state(31)) {
		t.Error("the server has another state")
	}
	if p := s.Problems(); len(p) > 0 {
		t.Error(fmt.Errorf("a crash looks like damage: %w", errors.Join(p...)))
	}
	must(t, s.Close())
	return cmp.Or(step, never) - mortal.left
}
