package ingest

import (
	"context"
	"crypto/sha256"
	"testing"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

// lacks sends a report that lacks one content, and returns its bytes.
func (a *agent) lacks(next map[string]fact.Set) []byte {
	a.house.t.Helper()
	raw := a.seal(a.draft(next, true))
	res, err := a.submit(raw)
	if err != nil || res.Outcome != NeedContent || len(res.Missing) != 1 {
		a.house.t.Fatalf("%v, %d missing, %v; want one content to be asked for", res.Outcome, len(res.Missing), err)
	}
	return raw
}

// completes sends it again.
func (a *agent) completes(raw []byte, next map[string]fact.Set) {
	a.house.t.Helper()
	res, err := a.submit(raw)
	if err != nil || res.Outcome != Recorded {
		a.house.t.Fatalf("again: %v, %v, want recorded", res.Outcome, err)
	}
	a.acknowledged(raw, next)
}

func TestAReportThatLackedContentsIsReadOnce(t *testing.T) {
	h := newHouse(t, openBolt(t, t.TempDir()+"/db"))
	a := h.machine("pc07")
	next := map[string]fact.Set{"pkg": packages(100), "etc": some("etc/motd", file("hello"))}
	raw := a.lacks(next)
	u := h.waiting.all[sha256.Sum256(raw)]
	if u == nil || u.ws.next == nil {
		t.Fatal("the report is not kept")
	}
	a.upload("hello")
	u.rep.Reason = "as it is kept"
	a.completes(raw, next)
	if err := h.Engine.View(context.Background(), func(r store.Reader) error {
		rev, err := cmdb.At(r, tenant, h.Sets, cmdb.Everywhere).Revision(a.ci, h.head(a).Rev)
		if rev.Reason != "as it is kept" {
			t.Errorf("the reason is %q: the report was read again", rev.Reason)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(h.waiting.all) != 0 || h.waiting.bytes != 0 {
		t.Errorf("%d reports of %d bytes are left", len(h.waiting.all), h.waiting.bytes)
	}
}

// What a report was to stand on may go while its contents are uploaded.
func TestAReportThatLackedContentsStandsOnNoSetThatWent(t *testing.T) {
	h := newHouse(t, openBolt(t, t.TempDir()+"/db"))
	first, a := h.machine("pc07"), h.machine("pc08")
	first.report(map[string]fact.Set{"pkg": packages(200)}, true)
	next := map[string]fact.Set{"pkg": packages(200, 3), "etc": some("etc/motd", file("hello"))}
	raw := a.lacks(next)
	gone := packages(200).Digest()
	if err := h.Alone(func() error {
		_, err := store.DeleteBlob(t.Context(), h.Engine, h.Writer, tenant, "set", gone, func(store.Tx) (bool, error) { return true, nil })
		return err
	}); err != nil {
		t.Fatal(err)
	}
	a.upload("hello")
	a.completes(raw, next)
	h.restart() // nothing is in memory
	if err := h.Engine.View(t.Context(), func(r store.Reader) error {
		set, err := cmdb.At(r, tenant, h.Sets, cmdb.Everywhere).LoadSet(next["pkg"].Digest())
		if len(set) != 200 {
			t.Errorf("%d packages, %v, want 200", len(set), err)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestUnfinishedReportsAreBounded(t *testing.T) {
	var w waiting
	for i := range 200 {
		w.keep(fact.Digest{byte(i)}, &unfinished{rep: reportOf(0)})
	}
	if len(w.all) != 200 || w.bytes != 200<<10 {
		t.Fatalf("%d reports, %d bytes", len(w.all), w.bytes)
	}
	if w.take(fact.Digest{7}) == nil || w.take(fact.Digest{7}) != nil || w.bytes != 199<<10 {
		t.Error("a report is not taken once")
	}
	for i := range 3 * maxWaiting / (1 << 20) {
		w.keep(fact.Digest{1, byte(i), byte(i >> 8)}, &unfinished{rep: reportOf(1 << 20)})
		if w.bytes > maxWaiting {
			t.Fatalf("%d bytes are kept", w.bytes)
		}
	}
	before := len(w.all)
	if w.keep(fact.Digest{9, 9}, &unfinished{rep: reportOf(maxWaiting)}); len(w.all) != before {
		t.Error("a report is kept that leaves no room for others")
	}
	if w.forget(); len(w.all) != 0 || w.bytes != 0 {
		t.Error("something is left")
	}
}

func reportOf(size int) *rollcallv1.Report {
	return &rollcallv1.Report{Deltas: [][]byte{make([]byte, size)}}
}
