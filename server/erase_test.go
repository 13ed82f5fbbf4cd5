package server

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/cmdb"
	"rollcall/server/evidence"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
)

// sound ends a test: nothing is broken, and no secret is anywhere.
func sound(t *testing.T, cfg Config, known Known) Report {
	t.Helper()
	rep, err := CheckAll(t.Context(), cfg, known)
	if err != nil || len(rep.Faults) > 0 {
		t.Errorf("check: %v, %v", rep.Faults, err)
	}
	return rep
}

// erasing lets kari propose to erase a CI, and returns how another admin confirms.
func (r *running) erasing(ci string) (confirm func() error) {
	r.t.Helper()
	ola := r.operator("ola", auth.Grant{Role: auth.Admin})
	erase := &rollcallv1.EraseRequest{Ci: ci, Reason: "GDPR art. 17, case 2026/114"}
	_, err := rollcallv1.NewRecoveryClient(r.kari.conn).Erase(r.t.Context(), erase)
	wantCode(r.t, "erasing alone", err, codes.FailedPrecondition)
	list, err := ola.ListProposals(r.t.Context(), &rollcallv1.ListProposalsRequest{})
	if err != nil || len(list.GetProposals()) != 1 {
		r.t.Fatalf("%d proposals, %v", len(list.GetProposals()), err)
	}
	p := list.GetProposals()[0]
	return func() error {
		_, err := ola.Confirm(r.t.Context(), &rollcallv1.ConfirmRequest{Id: p.GetId(), Digest: p.GetDigest()})
		return err
	}
}

// fresh waits until the mirror shows what there is, and nothing that is gone.
func (r *running) fresh() {
	r.t.Helper()
	for n := 0; ; n++ { // a busy machine needs its time
		stale, left := true, 1
		err := r.srv.engine.View(r.t.Context(), func(rd store.Reader) (err error) {
			stale, err = isStale(rd, "main")
			return err
		})
		if err == nil && !stale {
			left, err = r.srv.mirror.Backlog(r.t.Context())
		}
		switch {
		case err != nil || n == 6000:
			r.t.Fatalf("the mirror is not made anew: %v", err)
		case !stale && left == 0:
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// What was erased is in no file of the data folder once the store is compacted:
// no content, no name, no fact, in no object of the mirror. What other machines
// have stays, and the log is whole.
func TestAnErasedCIIsInNoFile(t *testing.T) {
	const secret = "canary-7719-of-ola"
	r := start(t)
	gone := r.stranger(1)
	gone.Name = "pc-" + secret
	token := r.token(&rollcallv1.NewTokenRequest{Name: "for " + secret, NeedsApproval: true})
	if _, err := r.enrol(gone, token); err != nil { // it waits, without a CI
		t.Fatal(err)
	}
	approved, err := r.kari.Approve(t.Context(), &rollcallv1.DecideRequest{Key: identity.IDOf(identity.Public(gone.Key)).String()})
	if err != nil {
		t.Fatal(err)
	}
	gone.ci = approved.GetKey().GetCi()
	stays := r.machine(2)
	gone.Facts["pkg"][3].Value = "3." + secret
	gone.keep(t, map[string]string{"motd": "hello " + secret, "same": "what both have", "notes": strings.Repeat(secret+"\n", 3000)})
	stays.keep(t, map[string]string{"motd": "hello", "same": "what both have"})
	for n := range 3 {
		gone.Upgrade(n, n)
		gone.report(t, false)
	}
	if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: gone.ci, Fields: map[string]string{"owner": secret}, Reason: secret}); err != nil {
		t.Fatal(err)
	}
	r.drained()
	leaves := len(r.leaves())
	if err := r.erasing(gone.ci)(); err != nil {
		t.Fatal(err)
	}

	_, err = r.kari.Get(t.Context(), &rollcallv1.GetRequest{Ci: gone.ci})
	wantCode(t, "getting an erased CI", err, codes.NotFound)
	env, err := gone.Report(true)
	if err != nil {
		t.Fatal(err)
	}
	_, err = gone.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
	wantCode(t, "a report of an erased CI", err, codes.PermissionDenied)
	stays.Upgrade(1, 7)
	stays.report(t, false)
	r.fresh()
	all := r.leaves()
	if len(all) <= leaves {
		t.Errorf("the log went from %d to %d leaves", leaves, len(all))
	}
	purges := 0
	for _, l := range all {
		if l.Kind == evidence.Purge && l.CI == gone.ci {
			purges++
		}
	}
	r.tellsNothing(secret)
	if purges != 1 {
		t.Errorf("%d leaves tell that it was erased, want 1", purges)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if _, rep, err := Compact(t.Context(), r.cfg); err != nil || len(rep.Faults) > 0 {
		t.Fatalf("compact: %v, %v", rep.Faults, err)
	}
	motd := sha256.Sum256([]byte("hello " + secret)) // who knows what it was could tell from its digest that it was here
	rep := sound(t, r.cfg, Known{Acknowledged: stays.acked, Secrets: [][]byte{[]byte(secret), []byte(gone.Name), motd[:]}})
	if rep.Items != 1 || rep.Unreferenced != 0 {
		t.Errorf("%d CIs, %d contents that nothing names", rep.Items, rep.Unreferenced)
	}
	if err := RebuildMirror(t.Context(), r.cfg, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
	sound(t, r.cfg, Known{})
}

// tellsNothing fails if what explains a leaf holds a word.
func (r *running) tellsNothing(word string) {
	r.t.Helper()
	err := r.srv.engine.View(r.t.Context(), func(g store.Reader) error {
		log := evidence.At(g, r.cfg.Tenant)
		for l, err := range log.Leaves(0, 0) {
			if err != nil {
				return err
			}
			x, err := log.Explain(l.Index)
			if errors.Is(err, evidence.ErrErased) {
				continue
			}
			if err != nil {
				return err
			}
			if bytes.Contains(bytes.ToLower(x.Content), []byte(word)) {
				r.t.Errorf("leaf %d still tells: %s", l.Index, x.Content)
			}
		}
		return nil
	})
	if err != nil {
		r.t.Error(err)
	}
}

// An erasure that was cut short anywhere is completed when the server starts.
func TestAnErasureThatWasCutShortIsCompleted(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	m.keep(t, map[string]string{"motd": "gone soon"})
	for n := range 4 {
		m.Upgrade(n, n)
		m.report(t, false)
	}
	r.drained()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s, err := New(t.Context(), r.cfg, "test", slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	s.eraser.writes = s.engine
	job := cmdb.Erasure{CI: m.ci, By: "operator kari", At: time.Now()}
	err = s.engine.Update(t.Context(), func(tx store.Tx) error {
		w := cmdb.In(tx, "main", cmdb.Everywhere)
		_, _, eerr := w.Erase(m.ci, 2) // some revisions are gone
		return errors.Join(w.BeginErasure(job), eerr)
	})
	if err == nil { // and some contents
		var rest remains
		var others *marks
		if rest, others, err = s.eraser.look(t.Context(), job); err == nil {
			for name := range rest.marks.kinds[kindContent] {
				_, err = s.eraser.remove(t.Context(), others, []blob{{kindContent, name}})
			}
		}
	}
	if err := errors.Join(err, s.engine.Close()); err != nil {
		t.Fatal(err)
	}
	again := startOn(t, r.cfg)
	waitFor(t, "the erasure", func() bool {
		list, err := again.kari.List(t.Context(), &rollcallv1.ListRequest{})
		return err == nil && len(list.GetItems()) == 0
	})
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
	rep, err := Check(t.Context(), r.cfg)
	if err != nil || len(rep.Faults) > 0 || rep.Revisions != 0 {
		t.Errorf("%d revisions, %v, %v", rep.Revisions, rep.Faults, err)
	}
}

func TestPruningKeepsTheStateFromWhichHistoryBegins(t *testing.T) {
	r := start(t)
	m, quiet := r.machine(1), r.machine(2)
	quiet.keep(t, map[string]string{"motd": "never changes"})
	m.keep(t, map[string]string{"motd": "first"})
	if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"owner": "ola", "room": "12"}}); err != nil {
		t.Fatal(err)
	}
	for n := range 155 { // more than one portion
		m.Upgrade(n%3, n)
		m.report(t, false)
	}
	m.keep(t, map[string]string{"motd": "second"})
	limit := time.Now()
	time.Sleep(5 * time.Millisecond)
	m.keep(t, map[string]string{"motd": "third"})
	if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"room": ""}}); err != nil {
		t.Fatal(err)
	}
	r.drained()
	before, err := r.kari.Get(t.Context(), &rollcallv1.GetRequest{Ci: m.ci, Sections: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := r.cfg
	cfg.KeepHistory, cfg.KeepEnvelopes = "1h", "1h"
	r.srv.eraser.now = func() time.Time { return limit.Add(time.Hour) }
	plan, err := r.srv.eraser.prune(t.Context(), cfg, "test", true)
	if err != nil || plan.CIs != 2 || plan.Revisions < 155 || plan.Reports < 155 {
		t.Fatalf("plan: %+v, %v", plan, err)
	}
	done, err := r.srv.eraser.prune(t.Context(), cfg, "test", false)
	if err != nil || done.Revisions != plan.Revisions || done.Reports != plan.Reports {
		t.Fatalf("done: %+v, %v; want %+v", done, err, plan)
	}
	after, err := r.kari.Get(t.Context(), &rollcallv1.GetRequest{Ci: m.ci, Sections: []string{"*"}})
	if err != nil || fmt.Sprint(after.GetFields(), after.GetSets(), after.GetItem().GetRevision()) != fmt.Sprint(before.GetFields(), before.GetSets(), before.GetItem().GetRevision()) {
		t.Errorf("the present state differs, %v", err)
	}
	history, err := r.kari.History(t.Context(), &rollcallv1.HistoryRequest{Ci: m.ci, Limit: 1000})
	if err != nil || len(history.GetRevisions()) != 3 {
		t.Fatalf("%d revisions are left, %v; want the base and two", len(history.GetRevisions()), err)
	}
	was, err := r.kari.Get(t.Context(), &rollcallv1.GetRequest{Ci: m.ci, AtMs: limit.UnixMilli() + 1})
	if err != nil || was.GetFields()["room"] != "12" {
		t.Errorf("as it was at the limit: %v, %v", was.GetFields(), err)
	}
	_, err = r.kari.Get(t.Context(), &rollcallv1.GetRequest{Ci: m.ci, AtMs: limit.Add(-time.Hour).UnixMilli()})
	wantCode(t, "as it was before", err, codes.NotFound)
	m.Upgrade(1, 999)
	m.report(t, false)
	r.srv.eraser.now = func() time.Time { return limit.Add(30 * time.Hour) } // contents a day later
	if p, err := r.srv.eraser.prune(t.Context(), Config{}, "test", false); err != nil || p.Contents == 0 {
		t.Errorf("a day later %d contents go, %v", p.Contents, err)
	}
	r.fresh()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if rep := sound(t, r.cfg, Known{}); rep.Revisions != 3+1+1 || rep.Unreferenced != 0 {
		t.Errorf("%d revisions, %d contents that nothing names", rep.Revisions, rep.Unreferenced)
	}
	if p, err := Prune(t.Context(), cfg, true, slog.New(slog.DiscardHandler)); err != nil || p.Revisions != 0 {
		t.Errorf("prune again: %+v, %v", p, err)
	}
}

func TestPeriods(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "forever": 0, "7y": 7 * 365 * 24 * time.Hour, "90d": 90 * 24 * time.Hour, "2w": 14 * 24 * time.Hour, "12h": 12 * time.Hour} {
		if got, err := period(text); err != nil || got != want {
			t.Errorf("period(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"y", "7", "-1y", "0d", "1.5y", "7 y", "500y", "99999999999999h", "7m"} {
		if got, err := period(text); err == nil {
			t.Errorf("period(%q) = %v, want an error", text, got)
		}
	}
}
