package spool

import (
	"os"
	"path/filepath"
	"testing"

	"rollcall/internal/fact"
)

func TestOnlyTheAcknowledgedStateIsUnchanged(t *testing.T) {
	for name, s := range map[string]*Spool{"disk": mustOpen(t, t.TempDir(), Options{}), "memory": InMemory(Options{})} {
		srv, k := newServer(t), newKey(t)
		unchanged := func(n int, want bool, when string) {
			t.Helper()
			used, started := s.nextSeq, s.started
			b, ok, err := s.StartUnchanged(stateOf(state(n)).Digest())
			must(t, err)
			if ok != want {
				t.Errorf("%s: state %d %s: unchanged = %v", name, n, when, ok)
			}
			if ok && (b.Seq != used+1 || string(b.Prev) != string(s.chain.Prev) || b.Full || s.started.Seq != 0) {
				t.Errorf("%s: %s: %+v", name, when, b)
			}
			if !ok && (s.nextSeq != used || s.started.Seq != started.Seq) {
				t.Errorf("%s: %s: a number was used up", name, when)
			}
		}
		unchanged(0, false, "before any report")
		for n := range 3 {
			_, err := add(t, s, k, n, start)
			must(t, err)
			unchanged(n, false, "while it waits")
			unchanged(n-1, false, "while a change of it waits")
			must(t, drain(t, s, srv))
			unchanged(n, true, "once acknowledged")
			unchanged(n+1, false, "before it is reported")
		}
		must(t, s.Reset("test"))
		unchanged(2, false, "when a full report is due")
		_, err := add(t, s, k, 2, start)
		must(t, err)
		must(t, drain(t, s, srv))
		unchanged(2, true, "after the full report")
	}
}

func TestDamageOfTheAcknowledgedStateIsSeenOnAnIdleMachine(t *testing.T) {
	for what, bend := range map[string]func(name string) error{
		"gone":  os.Remove,
		"short": func(name string) error { return os.Truncate(name, 50) },
		"empty": func(name string) error { return os.Truncate(name, 0) },
	} {
		dir := t.TempDir()
		s, srv, k := mustOpen(t, dir, Options{}), newServer(t), newKey(t)
		_, err := add(t, s, k, 0, start)
		must(t, err)
		must(t, drain(t, s, srv))
		must(t, s.Close())
		s = mustOpen(t, dir, Options{})
		digest := stateOf(state(0)).Digest()
		if _, ok, err := s.StartUnchanged(digest); err != nil || !ok {
			t.Fatalf("%s: after opening anew: %v, %v", what, ok, err)
		}
		must(t, bend(filepath.Join(dir, stateName(s.chain.Seq))))
		if _, ok, err := s.StartUnchanged(digest); err != nil || ok {
			t.Errorf("%s: unchanged = %v, %v", what, ok, err)
		}
		if b, err := s.Start(start); err != nil || !b.Full {
			t.Errorf("%s: full = %v, %v", what, b.Full, err)
		}
	}
}

func TestAChainWithoutItsStateIsComparedInFull(t *testing.T) {
	dir := t.TempDir()
	s, srv, k := mustOpen(t, dir, Options{}), newServer(t), newKey(t)
	_, err := add(t, s, k, 0, start)
	must(t, err)
	must(t, drain(t, s, srv))
	c := s.chain
	c.State = nil
	must(t, s.saveChain(c))
	if _, ok, err := s.StartUnchanged(fact.Digest{}); err != nil || ok {
		t.Errorf("unchanged = %v, %v", ok, err)
	}
	if b, err := s.Start(start); err != nil || b.Full || !equal(b.Sets, state(0)) {
		t.Errorf("full = %v, %v", b.Full, err)
	}
}
