package server

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/internal/policy"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/cmdb"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// policy signs one for the machines of this server, which counts for a year from
// yesterday on, or from a day that more names.
func (r *running) policy(key identity.Key, version int, more string) []byte {
	r.t.Helper()
	day := func(d int) string { return time.Now().AddDate(0, 0, d).Format(time.DateOnly) }
	text := fmt.Sprintf("realm = %s\nversion = %d\n", hex.EncodeToString(identity.RealmOf(identity.Public(r.srv.key))), version)
	if !strings.Contains(more, "from = ") {
		text += "from = " + day(-1) + "\nuntil = " + day(365) + "\n"
	}
	b, err := policy.Sign(key, []byte(text+more))
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (r *running) publish(o *operator, bundle []byte) error {
	_, err := rollcallv1.NewPoliciesClient(o.conn).PublishPolicy(r.t.Context(), &rollcallv1.PublishPolicyRequest{Bundle: bundle})
	return err
}

// says is a tick of a machine, and the answer to it.
func (r *running) says(m *machine) *rollcallv1.SubmitReply {
	r.t.Helper()
	env, err := m.Tick()
	if err != nil {
		r.t.Fatal(err)
	}
	reply, err := m.Submit(r.t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
	if err != nil {
		r.t.Fatal(err)
	}
	return reply
}

func TestAMachineGetsThePublishedPolicyWhileItHasAnOlderOne(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	m.report(t, true)
	key := mustKey(t)
	v2 := r.policy(key, 2, "skip = sessions\n")
	zero, two, three := uint64(0), uint64(2), uint64(3)
	m.Policy = &zero
	if got := r.says(m).GetPolicy(); got != nil {
		t.Errorf("before one is published it gets %q", got)
	}
	if err := r.publish(r.kari, v2); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		has  *uint64
		want []byte
	}{
		{"has none", &zero, v2},
		{"has this one", &two, nil},
		{"has a newer one, from a file", &three, nil},
		{"takes none", nil, nil},
	} {
		m.Policy = tt.has
		if got := r.says(m).GetPolicy(); !slices.Equal(got, tt.want) {
			t.Errorf("a machine that %s gets %q, want %q", tt.name, got, tt.want)
		}
	}
	m.Policy = &zero
	if got := m.report(t, true).GetPolicy(); !slices.Equal(got, v2) {
		t.Errorf("with a receipt it gets %q", got)
	}
	v3 := r.policy(key, 3, "")
	if err := r.publish(r.kari, v3); err != nil {
		t.Fatal(err)
	}
	m.Policy = &two
	if got := r.says(m).GetPolicy(); !slices.Equal(got, v3) {
		t.Errorf("after a newer one was published it gets %q", got)
	}
}

func TestAPolicyThatNoMachineWouldTakeIsNotPublished(t *testing.T) {
	r := start(t)
	key := mustKey(t)
	if err := r.publish(r.kari, r.policy(key, 5, "")); err != nil {
		t.Fatal(err)
	}
	before := len(r.leaves())
	whole := r.policy(key, 6, "")
	other, err := policy.Sign(key, []byte("realm = 000102030405060708090a0b0c0d0e0f\nversion = 6\nfrom = 2026-01-01\nuntil = 2026-12-31\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		bundle []byte
		want   string
	}{
		{"nothing", nil, "not a policy bundle"},
		{"one that was changed", append(slices.Clone(whole), "skip = etc\n"...), "signature does not verify"},
		{"one for another server's machines", other, "another server"},
		{"an older one", r.policy(key, 4, ""), "version 5 is published"},
		{"another one of the same version", r.policy(key, 5, "skip = etc\n"), "version 5 is published"},
		{"one that has expired", r.policy(key, 6, "from = 2020-01-01\nuntil = 2020-12-31\n"), "counts no more since 2020-12-31"},
		{"too much", make([]byte, policy.MaxBundle+1), "not a policy bundle"},
	} {
		if err := r.publish(r.kari, tt.bundle); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	if got := len(r.leaves()); got != before {
		t.Errorf("%d leaves were left", got-before)
	}
	// Another key's versions are counted apart: it takes the place of one that was lost.
	if err := r.publish(r.kari, r.policy(mustKey(t), 1, "")); err != nil {
		t.Error(err)
	}
}

func TestWhatIsPublishedIsInTheLog(t *testing.T) {
	r := start(t)
	key := mustKey(t)
	if err := r.publish(r.kari, r.policy(key, 5, "")); err != nil {
		t.Fatal(err)
	}
	pin, err := identity.PinOf(identity.Public(key))
	if err != nil {
		t.Fatal(err)
	}
	if e := r.lastEntry(); e.By != "operator kari" || e.Detail["do"] != "publish policy" || e.Detail["version"] != "5" || e.Detail["key"] != pin || len(e.Subject) != 32 {
		t.Errorf("entry %+v", e)
	}
}

func TestTheStatusOfPoliciesCountsWhatMachinesSayWithinTheSitesOfTheOperator(t *testing.T) {
	r := start(t)
	for _, site := range []string{"elm", "oak"} {
		r.site(site)
	}
	says := []map[string]string{
		{"state": "in force", "version": "7"},
		{"state": "in force", "version": "7"},
		{"state": "expired", "version": "6", "refused/server": "version 7: it does not count yet"},
		{"state": "none"},
		{"state": "in force", "version": "not a number"}, // a machine may say what it wants
		nil,
	}
	for i, facts := range says {
		m := r.machine(uint64(i + 1))
		var set []fact.Fact
		for path, value := range facts {
			set = append(set, fact.Fact{Path: "agent/policy/" + path, Value: value})
		}
		if set != nil {
			m.Facts["agent"] = fact.NewSet(set)
		}
		m.report(t, true)
		if i < 2 {
			if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"site": "elm"}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	status := func(o *operator) string {
		t.Helper()
		reply, err := rollcallv1.NewPoliciesClient(o.conn).PolicyStatus(t.Context(), &rollcallv1.PolicyStatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, m := range reply.GetMachines() {
			out = append(out, fmt.Sprintf("%d: %d %s %s", m.GetMachines(), m.GetVersion(), m.GetState(), m.GetRefused()))
		}
		return strings.Join(append(out, fmt.Sprint(reply.GetOthers())), "|")
	}
	if got, want := status(r.kari), "2: 7 in force |1: 6 expired version 7: it does not count yet|1: 0 in force |1: 0 none |1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	elm := r.operator("vera", auth.Grant{Role: auth.Viewer, Site: "elm"})
	if got, want := status(elm), "2: 7 in force |0"; got != want {
		t.Errorf("of one school: got %q, want %q", got, want)
	}
}

func TestCheckNamesAPolicyThatWasExchangedBesideTheLog(t *testing.T) {
	r := start(t)
	key := mustKey(t)
	for version := range 2 {
		if err := r.publish(r.kari, r.policy(key, version+1, "")); err != nil {
			t.Fatal(err)
		}
	}
	other := r.policy(key, 3, "skip = etc\n")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, r.cfg, Known{})
	record, bundle := store.At(store.Record, "main/policy"), store.At(store.Record, "main/policy-bundle")
	exchange := func(tx store.Tx) error { return store.PutFramed(tx, bundle, other) }
	sum := sha256.Sum256(other)
	for name, bend := range map[string]func(tx store.Tx) error{
		"another bundle": exchange,
		"another bundle, and its digest": func(tx store.Tx) error {
			return errors.Join(exchange(tx), otherwise(record, func(p *cmdb.Published) { p.Digest = sum[:] })(tx))
		},
		"no bundle": func(tx store.Tx) error { return tx.Delete(bundle) },
		"none at all": func(tx store.Tx) error {
			return errors.Join(tx.Delete(record), tx.Delete(bundle))
		},
	} {
		w := newTwin(t, r.cfg)
		w.update(bend)
		rep, err := Check(t.Context(), w.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if len(rep.Faults) != 1 || rep.Faults[0].Rule != RuleLog || !strings.Contains(rep.Faults[0].Text, "policy") {
			t.Errorf("%s: %v, want one fault that names the policy", name, rep.Faults)
		}
	}
}
