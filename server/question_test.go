package server

import (
	"bytes"
	"strings"
	"testing"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
)

// A question that takes too long is refused with a word about what to do; others,
// and the agents, are served meanwhile and after.
func TestClass35OneQuestionTakesItsTimeAndNoMore(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	m.report(t, true)
	r.srv.service.QueryTime = time.Nanosecond
	for name, ask := range map[string]func() error{
		"list": func() error {
			return errOf(r.kari.List(t.Context(), &rollcallv1.ListRequest{Filter: "name = *"}))
		},
		"changes": func() error {
			return errOf(r.kari.Changes(t.Context(), &rollcallv1.ChangesRequest{Filter: "name = *"}))
		},
		"compare": func() error {
			return errOf(r.kari.Compare(t.Context(), &rollcallv1.CompareRequest{Broken: "name = *", Working: "name = *"}))
		},
	} {
		err := ask()
		wantCode(t, name, err, codes.ResourceExhausted)
		if err != nil && !strings.Contains(err.Error(), "ask for less") {
			t.Errorf("%s: %v, want a word about what to do", name, err)
		}
	}
	m.report(t, false)
	r.srv.service.QueryTime = 0
	reply, err := r.kari.List(t.Context(), &rollcallv1.ListRequest{Filter: "name = *"})
	if err != nil || len(reply.GetItems()) != 1 {
		t.Errorf("the same question with time: %v, %v", reply, err)
	}
	_, err = r.kari.List(t.Context(), &rollcallv1.ListRequest{Filter: strings.Repeat("(", 40) + "name = x" + strings.Repeat(")", 40)})
	wantCode(t, "a filter that is too deep", err, codes.InvalidArgument)
	_, err = r.kari.List(t.Context(), &rollcallv1.ListRequest{Filter: "name = " + strings.Repeat("x", 5000)})
	wantCode(t, "a filter that is too long", err, codes.InvalidArgument)
}

func TestAListSaysHowItWasAnswered(t *testing.T) {
	r := start(t)
	r.machine(1).report(t, true)
	var reply *rollcallv1.ListReply
	for deadline := time.Now().Add(time.Minute); len(reply.GetSteps()) < 2; time.Sleep(10 * time.Millisecond) {
		var err error
		if reply, err = r.kari.List(t.Context(), &rollcallv1.ListRequest{Filter: "changed(etc) < 7d and status = in-production", Explain: true}); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("no index answers: %v", reply)
		}
	}
	first, last := reply.GetSteps()[0], reply.GetSteps()[1]
	if first.GetTerm() != "status = in-production" || first.GetHow() != "posting" || first.GetFound() != 1 {
		t.Errorf("the first condition: %v", first)
	}
	if last.GetTerm() != "changed(etc) < 7d" || last.GetHow() != "reading" || last.GetAmong() != 1 {
		t.Errorf("the last condition: %v", last)
	}
	if len(reply.GetItems()) != 1 {
		t.Errorf("%d CIs, want 1", len(reply.GetItems()))
	}
}

// One CI whose history is damaged takes nobody else out of the answer about the
// past: it is left out, and named.
func TestADamagedCIFailsNoListOfThePast(t *testing.T) {
	r := start(t)
	bad, good := r.machine(1), r.machine(2)
	bad.report(t, true)
	good.report(t, true)
	time.Sleep(2 * time.Millisecond) // times of questions are in milliseconds
	past := time.Now()
	for i, m := range []*machine{bad, good} {
		m.Upgrade(i, 7)
		m.report(t, false)
	}
	var keys []store.Key
	err := r.srv.engine.View(t.Context(), func(v store.Reader) error {
		from := []byte(r.cfg.Tenant + "/" + bad.ci)
		for p, err := range v.Scan(store.Event, from, store.PrefixEnd(from), 0) {
			if err != nil {
				return err
			}
			keys = append(keys, store.Key{Space: store.Event, K: bytes.Clone(p.K)})
		}
		return nil
	})
	if err != nil || len(keys) == 0 {
		t.Fatalf("%d revisions, %v", len(keys), err)
	}
	if err := r.srv.writer.Update(t.Context(), func(tx store.Tx) error {
		for _, k := range keys {
			if err := tx.Put(k, []byte("damaged")); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	reply, err := r.kari.List(t.Context(), &rollcallv1.ListRequest{Filter: "name = *", AtMs: past.UnixMilli()})
	if err != nil || len(reply.GetItems()) != 1 || reply.GetItems()[0].GetId() != good.ci {
		t.Errorf("the list: %v, %v; want %s alone", reply.GetItems(), err, good.ci)
	}
	if len(reply.GetNotes()) != 1 || !strings.Contains(reply.GetNotes()[0], bad.ci) {
		t.Errorf("notes %q, want one that names %s", reply.GetNotes(), bad.ci)
	}
	_, err = r.kari.Changes(t.Context(), &rollcallv1.ChangesRequest{Filter: "name = *"})
	if err == nil {
		t.Error("changes are told without the history that is damaged")
	}
}

// What people did is read by auditors, and by one of some sites as far as it is
// about CIs there.
func TestTheTrailTellsWhoDidWhat(t *testing.T) {
	w := newWorld(t)
	if _, err := w.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: w.own.ci, Fields: map[string]string{"room": "12"}, Reason: "moved"}); err != nil {
		t.Fatal(err)
	}
	actions := func(o *operator, req *rollcallv1.ActionsRequest) []*rollcallv1.Action {
		t.Helper()
		reply, err := o.Actions(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return reply.GetActions()
	}
	all := actions(w.kari, &rollcallv1.ActionsRequest{Limit: 2000})
	if len(all) < 10 || all[0].GetKind() != "declare" || all[0].GetBy() != "operator kari" || all[0].GetCiName() != w.own.name || all[0].GetDetail()["reason"] != "moved" {
		t.Errorf("%d actions, the newest %+v", len(all), all[0])
	}
	for _, a := range all {
		if a.GetKind() == "report" {
			t.Error("a report is no action of a person")
		}
	}
	for name, tt := range map[string]struct {
		req  *rollcallv1.ActionsRequest
		want int
	}{
		"by somebody":      {&rollcallv1.ActionsRequest{By: "elm-own-place-boss"}, 1},
		"of a kind":        {&rollcallv1.ActionsRequest{Kind: "declare"}, 1},
		"of a CI":          {&rollcallv1.ActionsRequest{Ci: w.own.name, Kind: "declare"}, 1},
		"of another CI":    {&rollcallv1.ActionsRequest{Ci: w.other.name, Kind: "declare"}, 0},
		"of the future":    {&rollcallv1.ActionsRequest{SinceMs: time.Now().Add(time.Hour).UnixMilli()}, 0},
		"of the past":      {&rollcallv1.ActionsRequest{UntilMs: time.Now().Add(-time.Hour).UnixMilli()}, 0},
		"before the first": {&rollcallv1.ActionsRequest{Before: 1}, 1},
	} {
		if got := actions(w.kari, tt.req); len(got) != tt.want {
			t.Errorf("%s: %d actions, want %d", name, len(got), tt.want)
		}
	}
	seen, before := 0, uint64(0)
	for {
		reply, err := w.kari.Actions(t.Context(), &rollcallv1.ActionsRequest{Limit: 3, Before: before})
		if err != nil {
			t.Fatal(err)
		}
		seen += len(reply.GetActions())
		if before = reply.GetNext(); before == 0 {
			break
		}
	}
	if seen != len(all) {
		t.Errorf("%d actions page by page, %d at once", seen, len(all))
	}
	own := actions(w.operator("aud", auth.Grant{Role: auth.Auditor, Site: w.own.site}), &rollcallv1.ActionsRequest{Limit: 2000})
	if len(own) == 0 || len(own) >= len(all) {
		t.Errorf("an auditor of one site sees %d of %d", len(own), len(all))
	}
	for _, a := range own {
		if a.GetCi() != w.own.ci {
			t.Errorf("an auditor of one site sees %+v", a)
		}
	}
	_, err := w.operator("ola", auth.Grant{Role: auth.Worker}).Actions(t.Context(), &rollcallv1.ActionsRequest{})
	wantCode(t, "who is no auditor", err, codes.PermissionDenied)
}
