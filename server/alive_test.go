package server

import (
	"slices"
	"strings"
	"testing"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/evidence"
	"rollcall/server/proof"
)

// tick lets a machine say that nothing has changed.
func (r *running) tick(m *machine) {
	r.t.Helper()
	env, err := m.Tick()
	if err != nil {
		r.t.Fatal(err)
	}
	if reply, err := m.Submit(r.t.Context(), &rollcallv1.SubmitRequest{Envelope: env}); err != nil || reply.GetOutcome() != rollcallv1.SubmitReply_SEEN {
		r.t.Fatalf("a tick: %v, %v", reply.GetOutcome(), err)
	}
}

func TestAMachineWithoutAReportWasAliveThatDay(t *testing.T) {
	r := start(t)
	quiet, off := r.machine(1), r.machine(2)
	for _, m := range []*machine{quiet, off} {
		m.keep(t, map[string]string{"motd": "hello"})
	}
	if f := r.prove(quiet.ci, time.Now()); f.Alive != nil || !proof.Verify(f, r.trust()).Alive.IsZero() {
		t.Error("a machine that has not ticked is proved to be alive")
	}
	before := time.Now().Add(-time.Second)
	size := len(r.leaves())
	r.tick(quiet)
	r.tick(quiet) // the last one of a day counts
	r.srv.logTicks(t.Context(), false)
	if n := len(r.leaves()); n != size {
		t.Errorf("%d leaves about a day that goes on", n-size)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, r.cfg, Known{Acknowledged: append(quiet.acked, off.acked...)})

	r = startOn(t, r.cfg)
	if n := len(slices.DeleteFunc(r.leaves(), func(l evidence.Leaf) bool { return l.Kind != evidence.Ticks })); n != 1 {
		t.Errorf("%d leaves about two ticks, want 1", n)
	}
	f := r.prove(quiet.ci, time.Now())
	res := proof.Verify(f, r.trust())
	if err := res.Err(); err != nil || res.Alive.Before(before) || res.Alive.After(time.Now()) {
		t.Fatalf("alive at %s: %v", res.Alive, err)
	}
	if res := proof.Verify(r.prove(off.ci, time.Now()), r.trust()); !res.OK() || !res.Alive.IsZero() {
		t.Errorf("a machine that was off: %v, alive at %s", res.Err(), res.Alive)
	}
	other := f
	other.At += (24 * time.Hour).Milliseconds()
	if err := proof.Verify(other, r.trust()).Err(); err == nil || !strings.Contains(err.Error(), "alive that day") {
		t.Errorf("as of another day: %v", err)
	}
}

// A tick that does not show that the machine was alive is refused, though it is
// under the same tree: one of another machine, one from before the report, one that
// came when the key had ended.
func TestATickThatDoesNotShowItIsRefused(t *testing.T) {
	r := start(t)
	quiet, other, ends := r.machine(1), r.machine(2), r.machine(3)
	for _, m := range []*machine{quiet, other, ends} {
		m.keep(t, map[string]string{"motd": "hello"})
		r.tick(m)
	}
	r.srv.logTicks(t.Context(), true)
	old, its := r.prove(quiet.ci, time.Now()), r.prove(other.ci, time.Now())
	if err := proof.Verify(old, r.trust()).Err(); err != nil || old.Alive == nil {
		t.Fatalf("a tick that does show it: %v", err)
	}
	last := r.prove(ends.ci, time.Now()).Alive
	real := r.srv.service.Now
	r.srv.service.Now = func() time.Time { return time.Now().Add(-time.Minute) } // so that the leaf is older than the tick
	if _, err := r.kari.Revoke(t.Context(), &rollcallv1.DecideRequest{Key: ends.ci}); err != nil {
		t.Fatal(err)
	}
	r.srv.service.Now = real
	quiet.Upgrade(1, 1)
	quiet.report(t, false)
	newer, its2 := r.prove(quiet.ci, time.Now()), r.prove(other.ci, time.Now())
	ended := r.prove(ends.ci, time.Now())
	for name, tt := range map[string]struct {
		of   proof.File
		tick *proof.Alive // what is said of the tick
		leaf *proof.Alive // the leaf under the tree of the file
		why  string
	}{
		"another machine's":        {old, its.Alive, its.Alive, "is of key"},
		"from before the report":   {newer, old.Alive, its2.Alive, "before the report"},
		"from after the key's end": {ended, last, its2.Alive, "ended before the tick"},
	} {
		f := tt.of
		f.Alive = &proof.Alive{Leaf: tt.leaf.Leaf, Tick: tt.tick.Tick, Pos: tt.tick.Pos, Count: tt.tick.Count, Proof: tt.tick.Proof}
		if err := proof.Verify(f, r.trust()).Err(); err == nil || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("a tick %s: %v, want an error with %q", name, err, tt.why)
		}
	}
}
