package ingest

import (
	"bytes"
	"strings"
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
)

// A server restored from a backup asks for what it lacks before it takes what
// follows, and then has the history that it had.
func TestARestoredServerAsksForWhatItHasLost(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		a.report(map[string]fact.Set{"pkg": packages(30)}, true)
		have := bytes.Clone(a.prev)
		backup := h.head(a)
		// Two reports that the server had acknowledged; of the restored one they
		// are unknown, as if they had never been submitted.
		var lost [][]byte
		var receipt []byte
		for n := range 2 {
			next := map[string]fact.Set{"pkg": packages(30, n+1)}
			d := a.draft(next, false)
			d.body.KeptFrom = 1
			raw := a.seal(d)
			a.acknowledged(raw, next)
			lost = append(lost, raw)
			receipt = identity.Receipt{Envelope: [32]byte(a.prev), Index: uint64(n + 2), At: 1}.Sign(h.Key)
		}
		asks := func(what string, d *draft) []byte {
			t.Helper()
			d.body.KeptFrom, d.body.LastReceipt = 1, receipt
			raw := a.seal(d)
			before := h.dump()
			if res, err := a.submit(raw); err != nil || res.Outcome != Resend || !bytes.Equal(res.Have, have) {
				t.Fatalf("%s: %v, have %x, %v, want resend after %x", what, res.Outcome, res.Have, err, have)
			}
			h.wantUnchanged(what, before)
			return raw
		}
		tick := &draft{body: a.body(a.sent)}
		tick.body.Base = tick.body.State
		asks("a tick", tick)
		next := map[string]fact.Set{"pkg": packages(30, 7)}
		asks("a full report", a.draft(next, true))
		waiting := asks("a delta", a.draft(next, false))
		for _, raw := range append(lost, lost[0], waiting) { // once more is no harm
			if res, err := a.submit(raw); err != nil || res.Outcome != Recorded {
				t.Fatalf("sent again: %v, %v, want recorded", res.Outcome, err)
			}
		}
		now := h.head(a)
		reports := 0
		for k := range h.dump() {
			if strings.HasPrefix(k, "record "+tenant+"/report/") {
				reports++
			}
		}
		if now.Rev != backup.Rev+3 || now.Cloned || reports != 4 {
			t.Errorf("revision %d, cloned %v, %d reports; want %d, false, 4", now.Rev, now.Cloned, reports, backup.Rev+3)
		}
		a.acknowledged(waiting, next)
		a.report(map[string]fact.Set{"pkg": packages(30, 8)}, false)
	})
}

// To be asked for old reports is no way around the quarantine.
func TestACloneThatKeepsReportsIsAForkStill(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("pc07")
		a.report(map[string]fact.Set{"pkg": packages(30)}, true)
		b := a.clone()
		a.report(map[string]fact.Set{"pkg": packages(30, 1)}, false)
		d := b.draft(map[string]fact.Set{"pkg": packages(30, 2)}, true)
		d.body.KeptFrom, d.body.Seq = 1, 9
		if res, err := b.submit(b.seal(d)); err != nil || res.Outcome != Quarantined {
			t.Errorf("%v, %v, want quarantined", res.Outcome, err)
		}
		if !h.head(a).Cloned {
			t.Error("the CI does not count as cloned")
		}
	})
}
