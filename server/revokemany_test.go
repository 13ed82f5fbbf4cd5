package server

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// look shows which machines a filter would end.
func (r *running) look(o *operator, filter string) *rollcallv1.RevocableReply {
	r.t.Helper()
	shown, err := o.Revocable(r.t.Context(), &rollcallv1.RevocableRequest{Filter: filter})
	if err != nil {
		r.t.Fatal(err)
	}
	return shown
}

// revokeMany looks and asks to end what was shown.
func (r *running) revokeMany(o *operator, filter string) (*rollcallv1.RevokeManyReply, error) {
	r.t.Helper()
	return o.RevokeMany(r.t.Context(), &rollcallv1.RevokeManyRequest{Filter: filter, Reason: "room closed", Keys: r.look(o, filter).GetKeys()})
}

// proposesMany proposes to end what is shown and gives the proposal as another
// operator sees it.
func (r *running) proposesMany(by, second *operator, filter string) *rollcallv1.Proposal {
	r.t.Helper()
	_, err := r.revokeMany(by, filter)
	wantCode(r.t, "many keys by one person", err, codes.FailedPrecondition)
	list, lerr := second.ListProposals(r.t.Context(), &rollcallv1.ListProposalsRequest{})
	if lerr != nil || len(list.GetProposals()) == 0 {
		r.t.Fatalf("it became no proposal: %v, %v", err, lerr)
	}
	return list.GetProposals()[len(list.GetProposals())-1]
}

func (o *operator) confirmsMany(t *testing.T, p *rollcallv1.Proposal) *rollcallv1.RevokeManyReply {
	t.Helper()
	reply, err := o.Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: p.GetId(), Digest: p.GetDigest()})
	if err != nil {
		t.Fatal(err)
	}
	var done rollcallv1.RevokeManyReply
	if err := proto.Unmarshal(reply.GetReply(), &done); err != nil {
		t.Fatal(err)
	}
	return &done
}

// speaks tells whether the server still takes what a machine sends.
func (m *machine) speaks(t *testing.T) bool {
	t.Helper()
	env, err := m.Report(true)
	if err != nil {
		t.Fatal(err)
	}
	return anew(func() error {
		_, err := m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
		return err
	}) == nil
}

// entries reads all that the log tells and is no report.
func (r *running) entries() (all []evidence.Entry) {
	r.t.Helper()
	err := r.srv.engine.View(r.t.Context(), func(g store.Reader) error {
		v := evidence.At(g, r.cfg.Tenant)
		n, err := v.Size()
		for i := range n {
			x, xerr := v.Explain(i)
			if xerr != nil {
				return xerr
			}
			if x.Content == nil {
				continue
			}
			e, perr := evidence.ParseEntry(x.Content)
			if perr != nil {
				return perr
			}
			all = append(all, e)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// The set is what was shown: who comes to fit later stays, who was ended meanwhile
// is said to be gone, who rotated the key meanwhile does not escape.
func TestManyKeysAreEndedByTwoPeopleAsTheyWereShown(t *testing.T) {
	r := start(t)
	ola := r.operator("ola", auth.Grant{Role: auth.Approver})
	var all []*machine
	for n := range uint64(28) { // more than one transaction takes
		m := r.machine(n + 1)
		m.report(t, true)
		all = append(all, m)
	}
	p := r.proposesMany(r.kari, ola, "name != nobody")
	for _, want := range []string{"28 machines", all[0].Name, "room closed", "nobody"} {
		if !strings.Contains(p.GetWhat(), want) {
			t.Errorf("the second person reads %q, which lacks %q", p.GetWhat(), want)
		}
	}
	late := r.machine(99)
	if _, err := r.kari.Revoke(t.Context(), &rollcallv1.DecideRequest{Key: all[0].ci}); err != nil {
		t.Fatal(err)
	}
	next, err := all[1].rotate(t, r)
	if err != nil {
		t.Fatal(err)
	}
	all[1].Key, all[1].AgentsClient = next, rollcallv1.NewAgentsClient(r.dial(next))
	_, err = r.kari.Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: p.GetId()})
	wantCode(t, "her own", err, codes.FailedPrecondition)
	if !all[2].speaks(t) || !all[1].speaks(t) {
		t.Error("a key was ended before anybody has confirmed")
	}

	done := ola.confirmsMany(t, p)
	at := time.Now()
	if done.GetOf() != 28 || done.GetRevoked() != 27 || done.GetGone() != 1 || len(done.GetLeft()) != 1 || done.GetLeft()[0].GetCi() != all[0].ci {
		t.Errorf("what became of it: %v", done)
	}
	for _, m := range all {
		if m.speaks(t) {
			t.Errorf("%s speaks after its key was ended", m.Name)
		}
	}
	if took := time.Since(at); took > 5*time.Second {
		t.Errorf("28 refusals took %s", took)
	}
	waitFor(t, "the end of an open connection", func() bool { return all[5].conn.GetState().String() != "READY" })
	if !late.speaks(t) {
		t.Error("a machine that was not shown was ended too")
	}
	r.wantLeavesOfMany(done.GetId(), p.GetId(), 27)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, r.cfg, Known{})
}

// wantLeavesOfMany checks that the whole has its two leaves and each key its own,
// that all name both people, the proposal and the whole.
func (r *running) wantLeavesOfMany(id, proposal string, keys int) {
	r.t.Helper()
	ended, whole := map[string]int{}, []string{}
	for _, e := range r.entries() {
		if e.Detail["many"] != id {
			continue
		}
		if e.By != "operator kari" || e.Detail["second"] != "operator ola" || e.Detail["proposal"] != proposal || e.Detail["request"] != id {
			r.t.Errorf("a leaf tells %+v, want both people, the proposal and the request", e)
		}
		if e.Kind == evidence.RevokeMany {
			whole = append(whole, e.Detail["do"])
			continue
		}
		ended[e.Ends]++
	}
	for key, n := range ended {
		if n != 1 {
			r.t.Errorf("%d leaves end key %s", n, key)
		}
	}
	if len(ended) != keys || !slices.Equal(whole, []string{"begun", "ended"}) {
		r.t.Errorf("leaves of %d keys and %v of the whole, want %d, and its beginning and end", len(ended), whole, keys)
	}
}

func TestManyKeysAreEndedWithinTheScopeOfBothPeople(t *testing.T) {
	r := start(t)
	r.site("elm")
	r.site("elm/north")
	r.site("elm/south")
	at := func(n uint64, site string) *machine {
		m := r.stranger(n)
		reply, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{Site: site}))
		if err != nil {
			t.Fatal(err)
		}
		m.ci = reply.GetCi()
		return m
	}
	one, two, moves, other := at(1, "elm/north"), at(2, "elm/north"), at(3, "elm/north"), at(4, "elm/south")
	north := r.operator("north", auth.Grant{Role: auth.Approver, Site: "elm/north"})
	second := r.operator("ola", auth.Grant{Role: auth.Approver, Site: "elm/north"})
	if got := r.look(north, "name != nobody"); got.GetCount() != 3 || got.GetSites()["elm/south"] != 0 {
		t.Errorf("she is shown %v", got)
	}
	everything := r.look(r.kari, "name != nobody").GetKeys()
	_, err := north.RevokeMany(t.Context(), &rollcallv1.RevokeManyRequest{Filter: "name != nobody", Reason: "room closed", Keys: everything})
	wantCode(t, "keys that she cannot see among hers", err, codes.FailedPrecondition)
	list, err := second.ListProposals(t.Context(), &rollcallv1.ListProposalsRequest{})
	if err != nil || len(list.GetProposals()) != 1 || list.GetProposals()[0].GetSite() != "elm/north" {
		t.Fatalf("the proposal: %v, %v", list, err)
	}
	if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: moves.ci, Fields: map[string]string{"site": "elm/south"}}); err != nil {
		t.Fatal(err)
	}
	done := second.confirmsMany(t, list.GetProposals()[0])
	if done.GetRevoked() != 2 || done.GetOf() != 3 || done.GetGone() != 1 {
		t.Errorf("what became of it: %v", done)
	}
	if left := done.GetLeft(); len(left) != 1 || left[0].GetName() != "" {
		t.Errorf("she is told of a machine that is outside of her sites: %v", left)
	}
	if one.speaks(t) || two.speaks(t) || !moves.speaks(t) || !other.speaks(t) {
		t.Error("not those of the one site were ended, and no others")
	}
}

func TestWhatManyKeysNeedToBeEnded(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	r.machine(2)
	keys := r.look(r.kari, "name != nobody").GetKeys()
	digest := make([]byte, 32)
	for name, tt := range map[string]struct {
		req  *rollcallv1.RevokeManyRequest
		want codes.Code
	}{
		"no reason":                 {&rollcallv1.RevokeManyRequest{Filter: "name != nobody", Keys: keys}, codes.InvalidArgument},
		"no filter":                 {&rollcallv1.RevokeManyRequest{Reason: "x", Keys: keys}, codes.InvalidArgument},
		"nothing that was shown":    {&rollcallv1.RevokeManyRequest{Filter: "name != nobody", Reason: "x"}, codes.InvalidArgument},
		"a list instead of keys":    {&rollcallv1.RevokeManyRequest{Filter: "name != nobody", Reason: "x", List: digest}, codes.InvalidArgument},
		"keys in a wrong form":      {&rollcallv1.RevokeManyRequest{Filter: "name != nobody", Reason: "x", Keys: keys[1:]}, codes.InvalidArgument},
		"a filter that nobody fits": {&rollcallv1.RevokeManyRequest{Filter: "name = nobody", Reason: "x", Keys: keys}, codes.NotFound},
	} {
		_, err := r.kari.RevokeMany(t.Context(), tt.req)
		wantCode(t, name, err, tt.want)
	}
	_, err := r.kari.Revocable(t.Context(), &rollcallv1.RevocableRequest{List: digest})
	wantCode(t, "a list that is not there", err, codes.NotFound)
	// One machine takes one person, as with its own command.
	reply, err := r.revokeMany(r.kari, "ci = "+m.ci)
	if err != nil || reply.GetRevoked() != 1 || m.speaks(t) {
		t.Errorf("one machine: %v, %v", reply, err)
	}
}

// Who sees the proposal sees each machine of it, and a list that nothing names any
// more goes.
func TestTheListOfAProposalCanBeReadAndGoesWithIt(t *testing.T) {
	r := start(t)
	ola := r.operator("ola", auth.Grant{Role: auth.Approver})
	r.machine(1)
	r.machine(2)
	p := r.proposesMany(r.kari, ola, "name != nobody")
	list := enrol.KeyList(nil)
	shown := r.look(ola, "name != nobody")
	list, err := enrol.ParseKeys(shown.GetKeys())
	if err != nil {
		t.Fatal(err)
	}
	digest := list.Digest()
	got, err := ola.Revocable(t.Context(), &rollcallv1.RevocableRequest{List: digest[:]})
	if err != nil || got.GetCount() != 2 || !bytes.Equal(got.GetKeys(), shown.GetKeys()) || got.GetMachines()[0].GetState() != "enrolled" {
		t.Errorf("the list that was proposed: %v, %v", got, err)
	}
	has := func() (has bool) {
		err := r.srv.engine.View(t.Context(), func(g store.Reader) (err error) {
			has, err = store.HasBlob(g, r.cfg.Tenant, enrol.KeysKind, digest)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return has
	}
	sweep := func(days int) {
		now := time.Now()
		r.srv.eraser.now = func() time.Time { return now.Add(time.Duration(days) * 24 * time.Hour) }
		if _, err := r.srv.eraser.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	sweep(0)
	sweep(2)
	if !has() {
		t.Fatal("the list of a proposal that waits is gone")
	}
	ola.confirmsMany(t, p)
	sweep(3)
	sweep(5)
	if !has() {
		t.Error("the list of what was done is gone")
	}
}

// fill admits so many machines without a network between, and without reports.
func (r *running) fill(n int) {
	r.t.Helper()
	secret := identity.HashSecret(make([]byte, 16))
	for from := 0; from < n; from += 40 {
		err := r.srv.writer.Update(r.t.Context(), func(tx store.Tx) error {
			w := enrol.In(tx, r.cfg.Tenant, cmdb.In(tx, r.cfg.Tenant, cmdb.Everywhere))
			for i := from; i < min(n, from+40); i++ {
				id := fmt.Sprintf("%016x", i)
				if _, err := w.AddToken(enrol.Token{ID: id, Hash: secret, By: "kari", Class: "workstation", Expires: time.Now().Add(time.Hour)}); err != nil {
					return err
				}
				pub := identity.Public(mustKey(r.t))
				if _, err := w.Admit(time.Now(), enrol.Request{
					TokenID: id, Proof: identity.Proof(secret, nil, pub), Public: pub, Hostname: fmt.Sprintf("pc%05d", i), Addr: netip.MustParseAddr("10.0.0.1"),
				}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

// Fifty thousand where ROLLCALL_TORTURE is set.
func TestVeryManyKeysAreEndedInOneGo(t *testing.T) {
	n := 300
	if os.Getenv("ROLLCALL_TORTURE") != "" {
		n = 50_000
	}
	r := start(t)
	ola := r.operator("ola", auth.Grant{Role: auth.Approver})
	r.fill(n)
	begun := time.Now()
	p := r.proposesMany(r.kari, ola, "class = workstation")
	shown := time.Since(begun)
	begun = time.Now()
	done := ola.confirmsMany(t, p)
	took := time.Since(begun)
	if int(done.GetRevoked()) != n || done.GetGone() != 0 {
		t.Errorf("what became of it: revoked %d, gone %d", done.GetRevoked(), done.GetGone())
	}
	if got := r.look(r.kari, "class = workstation").GetCount(); got != 0 {
		t.Errorf("%d keys are left", got)
	}
	t.Logf("%d keys: shown and proposed in %s, ended in %s", n, shown.Round(time.Millisecond), took.Round(time.Millisecond))
}
