package server

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"

	"google.golang.org/grpc/codes"
)

// twins are a machine and itself after it was installed anew without a token for its
// CI: both have reported, and the key of the first is ended.
func twins(t *testing.T, r *running) (old, now *machine) {
	old = r.machine(1)
	body(old.Machine, 1)
	old.report(t, true)
	now = r.machine(2)
	body(now.Machine, 1)
	now.report(t, true)
	return old, now
}

func (r *running) endKey(m *machine) {
	r.t.Helper()
	if _, err := r.kari.Revoke(r.t.Context(), &rollcallv1.DecideRequest{Key: m.ci, Reason: "installed anew"}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) named(filter string, at time.Time) string {
	r.t.Helper()
	req := &rollcallv1.ListRequest{Filter: filter}
	if !at.IsZero() {
		req.AtMs = at.UnixMilli()
	}
	reply, err := r.kari.List(r.t.Context(), req)
	if err != nil {
		r.t.Fatal(err)
	}
	var names []string
	for _, i := range reply.GetItems() {
		names = append(names, i.GetName())
	}
	return strings.Join(names, " ")
}

func TestWhyTwoCIsAreOneMachineIsSaidInWords(t *testing.T) {
	r := start(t)
	old, now := twins(t, r)
	other := r.machine(3)
	body(other.Machine, 3)
	other.report(t, true)
	ask := func(a, b string) *rollcallv1.Likeness {
		t.Helper()
		reply, err := r.kari.Same(t.Context(), &rollcallv1.SameRequest{Ci: a, Other: b})
		if err != nil || len(reply.GetOthers()) != 1 {
			t.Fatalf("same: %v, %v", reply, err)
		}
		return reply.GetOthers()[0]
	}
	if l := ask(old.ci, now.ci); l.GetVerdict() != "one machine" || !strings.Contains(l.GetSentence(), "the one fell silent before") {
		t.Errorf("a machine and itself, installed anew: %s", l.GetSentence())
	}
	old.Upgrade(1, 2)
	old.report(t, false) // it is still there: two machines speak
	if l := ask(old.ci, now.ci); !strings.Contains(l.GetSentence(), "both have spoken since") || l.GetVerdict() == "one machine" {
		t.Errorf("two that speak with keys of their own: %s", l.GetSentence())
	}
	if l := ask(old.ci, other.ci); l.GetVerdict() != "two machines" {
		t.Errorf("two others: %s", l.GetSentence())
	}
	for _, from := range []string{"the index", "the store"} {
		if from == "the store" {
			r.srv.service.Index = nil
		} else {
			waitFor(t, "the index", func() bool { ready, _, _ := r.srv.index.Ready(); return ready })
		}
		reply, err := r.kari.Same(t.Context(), &rollcallv1.SameRequest{Ci: now.ci})
		if err != nil || len(reply.GetOthers()) != 1 || reply.GetOthers()[0].GetItem().GetId() != old.ci {
			t.Errorf("from %s, what is most like it: %v, %v, want %s alone", from, reply.GetOthers(), err, old.ci)
		}
	}
}

func TestMergeAndSplitAreEventsThatStoreLogAndMirrorAgreeOn(t *testing.T) {
	cfg := folder(t)
	r := startOn(t, cfg)
	old, now := twins(t, r)
	_, err := r.kari.Merge(t.Context(), &rollcallv1.MergeRequest{Ci: old.ci, Into: now.ci, Anyway: true})
	wantCode(t, "to merge a CI for which a key speaks", err, codes.FailedPrecondition)
	r.endKey(old)
	token := r.token(&rollcallv1.NewTokenRequest{Ci: old.ci}) // made before anybody knew
	if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: old.ci, Fields: map[string]string{"owner": "ola"}}); err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) string {
		t.Helper()
		waitFor(t, "the mirror", func() bool {
			s, err := r.kari.Status(t.Context(), &rollcallv1.StatusRequest{})
			return err == nil && s.GetMirrorBacklog() == 0
		})
		out, err := exec.Command("git", append([]string{"-C", filepath.Join(cfg.mirrorDir(), "unassigned.git")}, args...)...).Output()
		if err != nil {
			t.Fatalf("git %q: %v", args, err)
		}
		return string(out)
	}
	tree := git("rev-parse", "HEAD:"+old.Name)
	before := time.Now()
	time.Sleep(2 * time.Millisecond) // list --at counts milliseconds
	reply, err := r.kari.Merge(t.Context(), &rollcallv1.MergeRequest{Ci: old.ci, Into: now.ci, Reason: "installed anew"})
	if err != nil || reply.GetLeft()["owner"] != "ola" || !strings.HasPrefix(reply.GetSentence(), "one machine") {
		t.Fatalf("merge: %v, %v", reply, err)
	}
	all := old.Name + " " + now.Name
	waitFor(t, "the index", func() bool { return r.named("name = *", time.Time{}) == now.Name })
	if got := r.named("", before); got != all {
		t.Errorf("as it was before: %q, want %q", got, all)
	}
	waitFor(t, "the clock", func() bool { return r.named("", time.Now()) == now.Name })
	_, err = rollcallv1.NewRecoveryClient(r.kari.conn).Erase(t.Context(), &rollcallv1.EraseRequest{Ci: now.ci, Reason: "the law asks"})
	wantCode(t, "to erase what another was merged into", err, codes.InvalidArgument)
	_, err = r.enrol(r.stranger(9), token)
	wantCode(t, "a key for a CI that was merged", err, codes.InvalidArgument)

	if got := git("show", "HEAD:"+old.Name+"/packages.txt"); got != "" {
		t.Errorf("the folder of what was merged still has packages: %.60q", got)
	}
	if said := git("show", "HEAD:"+old.Name+"/.rollcall/ci"); !strings.Contains(said, "merged-into: "+now.ci) {
		t.Errorf("its note says %q, want that it is %s", said, now.ci)
	}
	if _, err := r.kari.Split(t.Context(), &rollcallv1.SplitRequest{Ci: old.ci, Reason: "a mistake"}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the index", func() bool { return r.named("name = *", time.Time{}) == all })
	if got := git("rev-parse", "HEAD:"+old.Name); got != tree {
		t.Errorf("after the split its folder is %s, want %s as before the merge", got, tree)
	}
	now.Upgrade(1, 2)
	now.report(t, false)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, cfg, Known{Acknowledged: append(old.acked, now.acked...)})
}

func TestMergingTakesTheRightAtBothSitesAndNoTwoMachines(t *testing.T) {
	r := start(t)
	old, now := twins(t, r)
	r.endKey(old)
	for site, m := range map[string]*machine{"elm": old, "oak": now} {
		if _, err := r.kari.SetSite(t.Context(), &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: site}}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"site": site}}); err != nil {
			t.Fatal(err)
		}
	}
	other := r.machine(3)
	body(other.Machine, 3)
	other.report(t, true)
	req := &rollcallv1.MergeRequest{Ci: old.ci, Into: now.ci}
	_, err := r.operator("per", auth.Grant{Role: auth.Worker, Site: "elm"}).Merge(t.Context(), req)
	wantCode(t, "with the role at one site", err, codes.NotFound)
	both := r.operator("ola", auth.Grant{Role: auth.Worker, Site: "elm"}, auth.Grant{Role: auth.Worker, Site: "oak"})
	if _, err = both.Merge(t.Context(), req); err != nil {
		t.Errorf("with the role at both: %v", err)
	}
	_, err = r.operator("eva", auth.Grant{Role: auth.Worker, Site: "elm"}).Split(t.Context(), &rollcallv1.SplitRequest{Ci: old.ci})
	wantCode(t, "to split with the role at one site", err, codes.PermissionDenied)
	if _, err = both.Split(t.Context(), &rollcallv1.SplitRequest{Ci: old.ci}); err != nil {
		t.Errorf("to split with the role at both: %v", err)
	}
	_, err = r.kari.Merge(t.Context(), &rollcallv1.MergeRequest{Ci: old.ci, Into: other.ci})
	wantCode(t, "what are two machines", err, codes.FailedPrecondition)
	if _, err = r.kari.Merge(t.Context(), &rollcallv1.MergeRequest{Ci: old.ci, Into: other.ci, Anyway: true}); err != nil {
		t.Errorf("what are two machines, anyway: %v", err)
	}
}
