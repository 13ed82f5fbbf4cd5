package server

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/api"
	"rollcall/server/auth"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/store"

	"google.golang.org/grpc/metadata"
)

// record gives what the store holds of a record that people decide about.
func (r *running) digestOf(name string) (digest []byte) {
	r.t.Helper()
	err := r.srv.engine.View(r.t.Context(), func(g store.Reader) error {
		d, _, err := evidence.At(g, r.cfg.Tenant).Digester()
		for _, space := range []store.Space{store.Record, store.Unique} {
			for p, serr := range g.Scan(space, nil, nil, 0) {
				if serr != nil {
					return serr
				}
				is, content, gerr := api.Governed(r.cfg.Tenant, store.Key{Space: space, K: p.K}, p.V)
				if gerr != nil {
					return gerr
				}
				if is == name {
					digest = d.Digest(name, content)
				}
			}
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return digest
}

// Whatever people do to operators, sites, tokens and keys is told by digests of
// before and after, which follow each other and end at what the store holds.
func TestALeafTellsWhatARecordWasBeforeAndIsAfter(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	r.site("elm")
	r.site("elm") // the same again changes nothing
	glass := metadata.AppendToOutgoingContext(ctx, "rollcall-break-glass-bin", "one admin in this test")
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(r.kari.SetSite(ctx, &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: "elm", Title: "another title"}}))
	must(r.kari.AddOperator(glass, &rollcallv1.AddOperatorRequest{Name: "vera", Role: "admin"}))
	must(r.kari.AddOperator(ctx, &rollcallv1.AddOperatorRequest{Name: "vera", Role: "viewer"}))
	must(r.kari.RemoveOperator(ctx, &rollcallv1.RemoveOperatorRequest{Name: "vera"}))
	r.password(r.kari, "a long enough one")
	withdrawn := r.token(&rollcallv1.NewTokenRequest{})
	must(r.kari.Withdraw(ctx, &rollcallv1.WithdrawRequest{Token: withdrawn.ID}))
	waits := r.stranger(1)
	must(r.enrol(waits, r.token(&rollcallv1.NewTokenRequest{NeedsApproval: true})))
	must(r.kari.Approve(ctx, &rollcallv1.DecideRequest{Key: waits.id()}))
	rotates := r.machine(2)
	old := rotates.id()
	next, err := rotates.rotate(t, r)
	must(nil, err)
	forks := r.machine(3)
	forks.fork(t)
	must(r.kari.Keep(ctx, &rollcallv1.KeepRequest{Key: forks.ci}))
	adopts := r.stranger(4)
	must(r.enrol(adopts, r.token(&rollcallv1.NewTokenRequest{Ci: forks.ci})))
	must(r.kari.Revoke(ctx, &rollcallv1.DecideRequest{Key: waits.id()}))

	last, seen := map[string][]byte{}, map[string]int{}
	for _, e := range r.entries() {
		if len(e.Changes) > 0 && e.Form != 2 {
			t.Errorf("an entry with changes has form %d", e.Form)
		}
		for _, c := range e.Changes {
			if before, known := last[c.Record]; known && !bytes.Equal(before, c.Before) {
				t.Errorf("%s of %s does not begin where the one before has ended", e.Kind, c.Record)
			}
			if bytes.Equal(c.Before, c.After) {
				t.Errorf("%s tells of %s, which it did not change", e.Kind, c.Record)
			}
			last[c.Record] = c.After
			seen[c.Record]++
		}
	}
	for record, want := range map[string]int{
		"site/elm": 2, "operator/vera": 3, "operator/kari": 2, "token/" + withdrawn.ID: 2, "key/" + waits.id(): 3, "key/" + old: 2,
		"key/" + identity.IDOf(identity.Public(next)).String(): 1, "key/" + forks.id(): 3, "key/" + adopts.id(): 1,
	} {
		if seen[record] != want {
			t.Errorf("%d changes of %s, want %d", seen[record], record, want)
		}
		if is := r.digestOf(record); !bytes.Equal(is, last[record]) {
			t.Errorf("%s is not what the log told last", record)
		}
	}
	reply, err := r.kari.Actions(ctx, &rollcallv1.ActionsRequest{Kind: "operator", Limit: 1})
	must(reply, err)
	if got := reply.GetActions()[0].GetChanges(); len(got) != 1 || got[0].GetRecord() != "operator/vera" || len(got[0].GetBefore()) != 32 || got[0].GetAfter() != nil {
		t.Errorf("the trail tells %v", got)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, r.cfg, Known{})
}

// A record that was changed beside the log is named, whichever it is.
func TestCheckNamesARecordThatWasChangedBesideTheLog(t *testing.T) {
	r := start(t)
	r.site("elm")
	r.operator("vera", auth.Grant{Role: auth.Viewer})
	token := r.token(&rollcallv1.NewTokenRequest{})
	m := r.machine(1)
	gone := r.machine(2)
	if _, err := r.kari.Revoke(t.Context(), &rollcallv1.DecideRequest{Key: gone.ci}); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, r.cfg, Known{})
	for name, tt := range map[string]struct {
		record string
		bend   func(tx store.Tx) error
	}{
		"a right that somebody gave herself": {"operator/vera", otherwise(store.At(store.Record, "main/operator/vera"), func(o *auth.Operator) { o.Grants[0].Role = auth.Admin })},
		"a password that somebody exchanged": {"operator/kari", otherwise(store.At(store.Record, "main/operator/kari"), func(o *auth.Operator) { o.Password = "of somebody else" })},
		"a site with another title":          {"site/elm", otherwise(store.At(store.Record, "main/site/elm"), func(s *cmdb.Site) { s.Title = "Oak" })},
		"a site that is gone": {"site/elm", func(tx store.Tx) error {
			return tx.Delete(store.At(store.Record, "main/site/elm"))
		}},
		"a token that admits more":       {"token/" + token.ID, otherwise(store.At(store.Record, "main/token/", token.ID), func(t *enrol.Token) { t.Uses = 50 })},
		"a key of another class":         {"key/" + m.id(), otherwise(store.At(store.Unique, "main/key/", m.id()), func(k *enrol.Key) { k.Class = "server" })},
		"an ended key of another reason": {"key/" + gone.id(), otherwise(store.At(store.Unique, "main/key/", gone.id()), func(k *enrol.Key) { k.Reason = ""; k.By = "operator ola" })},
	} {
		w := newTwin(t, r.cfg)
		w.update(tt.bend)
		rep, err := Check(t.Context(), w.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if len(rep.Faults) != 1 || rep.Faults[0].Rule != RuleLog || !strings.Contains(rep.Faults[0].Text, tt.record+" ") {
			t.Errorf("%s: %v, want one fault that names %s", name, rep.Faults, tt.record)
		}
	}
}

// What was changed beside the log and then by a deed is named too: the deed's leaf
// does not begin where the one before has ended.
func TestCheckNamesAChangeBetweenTwoLeaves(t *testing.T) {
	r := start(t)
	r.site("elm")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	w := newTwin(t, r.cfg)
	w.update(otherwise(store.At(store.Record, "main/site/elm"), func(s *cmdb.Site) { s.Title = "Oak" }))
	again := startOn(t, w.cfg)
	again.site("elm")
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
	rep, err := Check(t.Context(), w.cfg)
	if err != nil || len(rep.Faults) != 1 || rep.Faults[0].Rule != RuleLog || !strings.Contains(rep.Faults[0].Text, "site/elm was another one before it") {
		t.Errorf("%v, %v, want one fault that names site/elm", rep.Faults, err)
	}
}

func otherwise[T any](k store.Key, bend func(*T)) func(store.Tx) error {
	return func(tx store.Tx) error {
		var v T
		if _, err := store.GetJSON(tx, k, &v); err != nil {
			return err
		}
		bend(&v)
		return store.PutJSON(tx, k, v)
	}
}

// The digests are no oracle: the same record has another digest in another
// installation, and what a machine says of itself is in none.
func TestDigestsOfRecordsTellNothing(t *testing.T) {
	digest := func() []byte {
		r := start(t)
		r.site("elm")
		return r.digestOf("site/elm")
	}
	if bytes.Equal(digest(), digest()) {
		t.Error("two servers give the same digest of the same site: who knows it can try what a record holds")
	}
	plain, err := json.Marshal(enrol.Key{ID: "1", State: enrol.Enrolled, Hostname: "pc of ola", Facts: []byte("serial"), Source: "10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	k := store.At(store.Unique, "main/key/1")
	name, content, err := api.Governed("main", k, store.Frame(k, 1, plain))
	if err != nil || name != "key/1" || bytes.Contains(content, []byte("ola")) || bytes.Contains(content, []byte("10.0.0.1")) {
		t.Errorf("of %s the digest would be of %s, %v", name, content, err)
	}
}
