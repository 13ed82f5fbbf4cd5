package ingest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store"
	"rollcall/server/store/storetest"
)

// clone copies a machine's disk.
func (a *agent) clone() *agent {
	c := *a
	c.sent = maps.Clone(a.sent)
	return &c
}

func TestAForkIsKeptApart(t *testing.T) {
	start := map[string]fact.Set{"pkg": packages(30)}
	tests := []struct {
		name string
		fork func(a *agent) []byte // an envelope of the other place
	}{
		{"a sequence number that was used", func(a *agent) []byte {
			d := a.draft(map[string]fact.Set{"pkg": packages(30, 2)}, false)
			d.body.Seq = a.seq
			return a.seal(d)
		}},
		{"an older sequence number", func(a *agent) []byte {
			d := a.draft(map[string]fact.Set{"pkg": packages(30, 2)}, true)
			d.body.Seq = 1
			return a.seal(d)
		}},
		{"another envelope before it", func(a *agent) []byte {
			d := a.draft(map[string]fact.Set{"pkg": packages(30, 2)}, false)
			d.body.Prev = bytes.Repeat([]byte{7}, 32)
			return a.seal(d)
		}},
		{"no envelope before it", func(a *agent) []byte {
			d := a.draft(map[string]fact.Set{"pkg": packages(30, 2)}, true)
			d.body.Prev = nil
			return a.seal(d)
		}},
		{"another envelope before it and another base", func(a *agent) []byte {
			a.sent = map[string]fact.Set{"pkg": packages(30, 9)}
			d := a.draft(map[string]fact.Set{"pkg": packages(30, 2)}, false)
			d.body.Prev = bytes.Repeat([]byte{7}, 32)
			return a.seal(d)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onEngines(t, func(t *testing.T, h *house) {
				a := h.machine("pc07")
				a.report(start, true)
				first, receipt := a.report(map[string]fact.Set{"pkg": packages(30, 1)}, false)
				other := a.clone()
				head := h.head(a)
				raw := tt.fork(other)
				for range 2 {
					if res, err := other.submit(raw); err != nil || res.Outcome != Quarantined || res.Receipt != nil {
						t.Fatalf("%v, %v, want quarantined", res.Outcome, err)
					}
				}
				now := h.head(a)
				if !now.Cloned || now.Rev != head.Rev+1 || now.State.Digest() != head.State.Digest() {
					t.Errorf("CI: cloned %v, revision %d, want true, and %d, which says so", now.Cloned, now.Rev, head.Rev+1)
				}
				// Neither branch wins, also after a restart.
				h.restart()
				if res, err := a.submit(a.seal(a.draft(map[string]fact.Set{"pkg": packages(30, 3)}, false))); err != nil || res.Outcome != Quarantined {
					t.Errorf("the first branch goes on: %v, %v, want quarantined", res.Outcome, err)
				}
				if res, err := a.tick(); err != nil || res.Outcome != Quarantined {
					t.Errorf("a tick of the first branch: %v, %v, want quarantined", res.Outcome, err)
				}
				if res, err := a.submit(first); err != nil || !bytes.Equal(res.Receipt, receipt) {
					t.Errorf("what was recorded before: %v, %v, want its receipt", res.Outcome, err)
				}
				h.wantFork(a, raw)
				h.revoke(a)
				if _, err := a.submit(a.seal(a.draft(map[string]fact.Set{"pkg": packages(30, 4)}, true))); !errors.Is(err, enrol.ErrUnknown) {
					t.Errorf("after the key was revoked: %v, want ErrUnknown", err)
				}
				if h.head(a).Cloned {
					t.Error("the CI still counts as cloned after the key was revoked")
				}
			})
		})
	}
}

// wantFork checks that a quarantined envelope can be looked at.
func (h *house) wantFork(a *agent, raw []byte) {
	h.t.Helper()
	hash := sha256.Sum256(raw)
	if err := h.Engine.View(h.t.Context(), func(r store.Reader) error {
		var f Fork
		found, err := store.GetJSON(r, forkKey(tenant, a.id(), hash), &f)
		if err != nil || !found || f.CI != a.ci {
			h.t.Errorf("fork %+v, %v, %v", f, found, err)
		}
		kept, err := store.GetBlob(r, tenant, envelopeKind, hash)
		if !bytes.Equal(kept, raw) {
			h.t.Error("the envelope is not kept as it came")
		}
		return err
	}); err != nil {
		h.t.Error(err)
	}
}

func TestTwoPlacesThatTickAreNoticed(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		a.report(map[string]fact.Set{"pkg": packages(5)}, true)
		b := a.clone()
		if res, err := a.tick(); err != nil || res.Outcome != Seen {
			t.Fatalf("%v, %v", res.Outcome, err)
		}
		if res, err := b.tick(); err != nil || res.Outcome != Quarantined {
			t.Errorf("the clone's tick with the same number: %v, %v, want quarantined", res.Outcome, err)
		}
		if !h.head(a).Cloned {
			t.Error("the CI does not count as cloned")
		}
	})
}

func TestATickThatComesTwiceIsNoFork(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		a.report(map[string]fact.Set{"pkg": packages(5)}, true)
		d := &draft{body: a.body(a.sent)}
		raw := a.seal(d)
		for range 3 {
			if res, err := a.submit(raw); err != nil || res.Outcome != Seen {
				t.Errorf("%v, %v, want seen", res.Outcome, err)
			}
		}
	})
}

// A report that was made, and then another before the first one was answered.
func TestReportsInOrderAreNoFork(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		var raws [][]byte
		for i := range 4 {
			next := map[string]fact.Set{"pkg": packages(30, i)}
			raw := a.seal(a.draft(next, i == 0))
			a.acknowledged(raw, next) // as the spool does: each builds on the one before
			raws = append(raws, raw)
		}
		for round := range 2 {
			for i, raw := range raws {
				if res, err := a.submit(raw); err != nil || res.Outcome != Recorded {
					t.Errorf("round %d, report %d: %v, %v", round, i, res.Outcome, err)
				}
			}
		}
		if ci := h.head(a); ci.Rev != 5 || ci.Cloned {
			t.Errorf("revision %d, cloned %v", ci.Rev, ci.Cloned)
		}
	})
}

func TestClass32ClonedKeyFiftyClonesAreOneForkAndOverwriteNothing(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("image")
		a.report(map[string]fact.Set{"pkg": packages(30)}, true)
		var late []func()
		for i := range 50 {
			c := a.clone()
			next := map[string]fact.Set{
				"pkg": packages(30), "id": some("id/hostname", fmt.Sprint("clone", i)), "net": some("net/eth0/permanent", fmt.Sprintf("52:54:00:00:00:%02x", i)),
			}
			raw := c.seal(c.draft(next, i%2 == 0))
			res, err := c.submit(raw)
			if err != nil || res.FirstFork != (i == 1) {
				t.Errorf("clone %d: %v, first %v, %v", i, res.Outcome, res.FirstFork, err)
			}
			late = append(late, func() {
				if res, err := c.submit(raw); err != nil || i > 0 && (res.Outcome != Quarantined || res.FirstFork) {
					t.Errorf("clone %d again: %v, %v", i, res.Outcome, err)
				}
			})
		}
		if ci := h.head(a); !ci.Cloned || ci.Rev != 4 {
			t.Errorf("cloned %v, revision %d: want the first clone's report recorded, all others kept apart, one event", ci.Cloned, ci.Rev)
		}
		forks := h.forks(a)
		if len(forks) != MaxForks || forks[1].Hostname != "clone2" || len(forks[1].MACs) != 1 || forks[1].From != "192.0.2.7" || forks[1].Tick {
			t.Errorf("%d forks are kept, the second one %+v", len(forks), forks[1])
		}
		before := h.dump()
		for _, again := range late { // all of them go on, for ever
			again()
		}
		h.wantUnchanged("fifty clones that go on", before)
	})
}

func (h *house) forks(a *agent) (forks []Fork) {
	h.t.Helper()
	if err := h.Engine.View(h.t.Context(), func(r store.Reader) (err error) {
		forks, err = Forks(r, tenant, a.id())
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
	return forks
}

func (h *house) keep(a *agent) {
	h.t.Helper()
	if err := h.Writer.Update(h.t.Context(), func(tx store.Tx) error {
		_, err := enrol.In(tx, tenant, cmdb.In(tx, tenant, cmdb.Everywhere)).Keep(h.now(), a.id(), "operator kari", "disk restored")
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
}

// A disk that was put back to an earlier state: its numbers and its chain are of
// the past, and there is no other machine.
func TestAKeptKeyBeginsAnewWithAFullReport(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		a.report(map[string]fact.Set{"pkg": packages(30)}, true)
		restored := a.clone()
		for i := range 5 {
			a.report(map[string]fact.Set{"pkg": packages(30, i)}, false)
			if _, err := a.tick(); err != nil {
				t.Fatal(err)
			}
		}
		next := map[string]fact.Set{"pkg": packages(30, 9)}
		if res, err := restored.submit(restored.seal(restored.draft(next, false))); err != nil || res.Outcome != Quarantined {
			t.Fatalf("%v, %v, want quarantined", res.Outcome, err)
		}
		other := h.machine("other").id()
		if err := h.Writer.Update(t.Context(), func(tx store.Tx) error {
			_, err := enrol.In(tx, tenant, cmdb.In(tx, tenant, cmdb.Everywhere)).Keep(h.now(), other, "operator kari", "")
			return err
		}); !errors.Is(err, enrol.ErrState) {
			t.Errorf("keep a key that is in no quarantine: %v, want ErrState", err)
		}
		h.keep(restored)
		if res, err := restored.submit(restored.seal(restored.draft(next, false))); err != nil || res.Outcome != NeedFull {
			t.Errorf("a delta: %v, %v, want that a full one is needed", res.Outcome, err)
		}
		if res, err := restored.tick(); err != nil || res.Outcome != NeedFull {
			t.Errorf("a tick: %v, %v, want that a full one is needed", res.Outcome, err)
		}
		restored.report(next, true)
		for range 2 {
			if res, err := restored.tick(); err != nil || res.Outcome != Seen {
				t.Errorf("a tick afterwards: %v, %v", res.Outcome, err)
			}
		}
		restored.report(map[string]fact.Set{"pkg": packages(30, 10)}, false)
		if ci := h.head(restored); ci.Cloned {
			t.Error("the CI counts as cloned")
		}
		// The other place is still about, after all.
		if res, err := a.submit(a.seal(a.draft(map[string]fact.Set{"pkg": packages(30, 11)}, true))); err != nil || res.Outcome != Quarantined || !res.FirstFork {
			t.Errorf("the other place: %v, %v, want quarantined", res.Outcome, err)
		}
	})
}

func TestAKeptKeyGoesOnWhereTheForkWasNoise(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		a.report(map[string]fact.Set{"pkg": packages(30)}, true)
		b := a.clone()
		a.report(map[string]fact.Set{"pkg": packages(30, 1)}, false)
		if res, err := b.submit(b.seal(b.draft(map[string]fact.Set{"pkg": packages(30, 2)}, true))); err != nil || res.Outcome != Quarantined {
			t.Fatalf("%v, %v", res.Outcome, err)
		}
		h.keep(a)
		a.report(map[string]fact.Set{"pkg": packages(30, 3)}, false) // no full report is needed of the side that was recorded
		if res, err := b.submit(b.seal(b.draft(map[string]fact.Set{"pkg": packages(30, 4)}, false))); err != nil || res.Outcome != Quarantined {
			t.Errorf("the other side: %v, %v, want quarantined again", res.Outcome, err)
		}
	})
}

func TestAServerRestoredFromABackupIsToldAndTakesAFullReport(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		a.report(map[string]fact.Set{"pkg": packages(30)}, true)
		backup := h.head(a)
		// What the restored server does not know: a report that it acknowledged.
		lost := map[string]fact.Set{"pkg": packages(30, 1)}
		raw := a.seal(a.draft(lost, false))
		receipt := identity.Receipt{Envelope: sha256.Sum256(raw), Index: 2, At: 1}
		a.acknowledged(raw, lost)

		next := map[string]fact.Set{"pkg": packages(30, 2)}
		with := func(d *draft, r []byte) []byte {
			d.body.LastReceipt = r
			return a.seal(d)
		}
		if res, err := a.submit(with(a.draft(next, false), receipt.Sign(h.Key))); err != nil || res.Outcome != NeedFull {
			t.Fatalf("a delta: %v, %v, want that a full report is needed", res.Outcome, err)
		}
		if now := h.head(a); now.Rev != backup.Rev || now.Cloned {
			t.Fatalf("the delta left revision %d, cloned %v", now.Rev, now.Cloned)
		}
		full := with(a.draft(next, true), receipt.Sign(h.Key))
		res, err := a.submit(full)
		if err != nil || res.Outcome != Recorded {
			t.Fatalf("the full report: %v, %v, want recorded", res.Outcome, err)
		}
		a.acknowledged(full, next)
		a.report(map[string]fact.Set{"pkg": packages(30, 3)}, false)
		if now := h.head(a); now.Rev != backup.Rev+2 || now.Cloned {
			t.Errorf("revision %d, cloned %v, want two more and not cloned", now.Rev, now.Cloned)
		}
	})
}

func TestAForgedReceiptClosesNoGap(t *testing.T) {
	h := newHouse(t, storetest.Weak(storetest.Seed(t)))
	a := h.machine("pc07")
	a.report(map[string]fact.Set{"pkg": packages(30)}, true)
	d := a.draft(map[string]fact.Set{"pkg": packages(30, 1)}, true)
	d.body.Prev = bytes.Repeat([]byte{7}, 32)
	d.body.LastReceipt = identity.Receipt{Envelope: [32]byte(d.body.GetPrev()), Index: 2}.Sign(testKey("not the server"))
	if res, err := a.submit(a.seal(d)); err != nil || res.Outcome != Quarantined {
		t.Errorf("%v, %v, want quarantined", res.Outcome, err)
	}
}
