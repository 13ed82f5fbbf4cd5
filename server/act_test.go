package server

import (
	"testing"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/evidence"
	"rollcall/server/store"
)

// readOnly lists the methods that change nothing. Upload only brings contents
// that a report named, whose leaf commits to their digests.
var readOnly = map[string]bool{
	"Items/List": true, "Items/Get": true, "Items/History": true, "Items/Changes": true, "Items/First": true, "Items/File": true, "Items/FileLog": true,
	"Items/Compare": true, "Items/Why": true, "Items/Manifest": true, "Items/Content": true, "Items/Complete": true, "Identity/Same": true, "Radar/Shared": true,
	"Admin/Status": true, "Admin/Pending": true, "Admin/Sites": true, "Admin/Operators": true,
	"Agents/Upload": true, "Courier/CarryContents": true,
	"Evidence/Checkpoint": true, "Evidence/Consistency": true, "Evidence/Inclusion": true, "Evidence/Leaves": true, "Evidence/Prove": true,
	"Keys/Tokens": true, "Keys/Forks": true, "Keys/Revocable": true,
	"Proposals/ListProposals": true, "Trail/Actions": true,
	"Saved/Filters": true, "Saved/Baselines": true, "Saved/Deviations": true,
	"Policies/PolicyStatus": true,
	"Reports/ListReports":   true, "Reports/Values": true, "Reports/RunReport": true,
}

// deeds holds, for every method that changes something, one call that does. A
// method that is neither here nor above fails the test.
var deeds = map[string]struct {
	kind evidence.Kind
	// prepare does what must be before and returns the call.
	prepare func(t *testing.T, r *running) func() error
}{
	"Agents/Enrol": {evidence.Enrol, func(_ *testing.T, r *running) func() error {
		m, token := r.stranger(1), r.token(&rollcallv1.NewTokenRequest{})
		return func() error { _, err := r.enrol(m, token); return err }
	}},
	"Agents/Submit": {evidence.Report, func(t *testing.T, r *running) func() error {
		m := r.machine(1)
		return func() error { m.report(t, true); return nil }
	}},
	"Agents/Rotate": {evidence.Rotate, func(t *testing.T, r *running) func() error {
		m := r.machine(1)
		return func() error { _, err := m.rotate(t, r); return err }
	}},
	"Courier/CarryEnrolment": {evidence.Enrol, func(_ *testing.T, r *running) func() error {
		m, token := r.stranger(1), r.token(&rollcallv1.NewTokenRequest{})
		return func() error { _, err := r.carryEnrolment(r.kari, m, token); return err }
	}},
	"Courier/CarryReport": {evidence.Report, func(t *testing.T, r *running) func() error {
		m := r.machine(1)
		return func() error { _, err := r.carryReport(r.kari, m.next(t), false); return err }
	}},
	"Keys/Withdraw": {evidence.Token, func(t *testing.T, r *running) func() error {
		token := r.token(&rollcallv1.NewTokenRequest{})
		return func() error {
			_, err := r.kari.Withdraw(t.Context(), &rollcallv1.WithdrawRequest{Token: token.ID})
			return err
		}
	}},
	"Keys/Keep": {evidence.Resolve, func(t *testing.T, r *running) func() error {
		m := r.machine(1)
		m.fork(t)
		return func() error {
			_, err := r.kari.Keep(t.Context(), &rollcallv1.KeepRequest{Key: m.ci})
			return err
		}
	}},
	"Keys/RevokeMany": {evidence.Revoke, func(_ *testing.T, r *running) func() error {
		r.machine(1)
		return func() error { _, err := r.revokeMany(r.kari, "name != nobody"); return err }
	}},
	"Items/Set": {evidence.Declare, func(t *testing.T, r *running) func() error {
		m := r.machine(1)
		return func() error {
			_, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"room": "12"}})
			return err
		}
	}},
	"Identity/Merge": {evidence.Merge, func(t *testing.T, r *running) func() error {
		a, b := r.machine(1), r.machine(2)
		r.endKey(a)
		return func() error {
			_, err := r.kari.Merge(t.Context(), &rollcallv1.MergeRequest{Ci: a.ci, Into: b.ci, Anyway: true})
			return err
		}
	}},
	"Identity/Split": {evidence.Split, func(t *testing.T, r *running) func() error {
		a, b := r.machine(1), r.machine(2)
		r.endKey(a)
		if _, err := r.kari.Merge(t.Context(), &rollcallv1.MergeRequest{Ci: a.ci, Into: b.ci, Anyway: true}); err != nil {
			t.Fatal(err)
		}
		return func() error {
			_, err := r.kari.Split(t.Context(), &rollcallv1.SplitRequest{Ci: a.ci})
			return err
		}
	}},
	"Evidence/Cosign": {evidence.Policy, func(t *testing.T, r *running) func() error {
		r.sign()
		return func() error { _, err := r.cosign("auditor", mustKey(t)); return err }
	}},
	"Admin/NewToken": {evidence.Token, func(_ *testing.T, r *running) func() error {
		return func() error { r.token(&rollcallv1.NewTokenRequest{}); return nil }
	}},
	"Admin/Approve": {evidence.Approve, waiting(func(r *running, req *rollcallv1.DecideRequest) error {
		_, err := r.kari.Approve(r.t.Context(), req)
		return err
	})},
	"Admin/Refuse": {evidence.Refuse, waiting(func(r *running, req *rollcallv1.DecideRequest) error {
		_, err := r.kari.Refuse(r.t.Context(), req)
		return err
	})},
	"Admin/Revoke": {evidence.Revoke, func(t *testing.T, r *running) func() error {
		m := r.machine(1)
		return func() error {
			_, err := r.kari.Revoke(t.Context(), &rollcallv1.DecideRequest{Key: m.ci})
			return err
		}
	}},
	"Admin/SetSite": {evidence.Site, func(t *testing.T, r *running) func() error {
		return func() error {
			_, err := r.kari.SetSite(t.Context(), &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: "elm"}})
			return err
		}
	}},
	"Admin/RemoveSite": {evidence.Site, func(t *testing.T, r *running) func() error {
		if _, err := r.kari.SetSite(t.Context(), &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: "elm"}}); err != nil {
			t.Fatal(err)
		}
		return func() error {
			_, err := r.kari.RemoveSite(t.Context(), &rollcallv1.RemoveSiteRequest{Path: "elm"})
			return err
		}
	}},
	"Admin/AddOperator": {evidence.Operator, func(t *testing.T, r *running) func() error {
		return func() error {
			_, err := r.kari.AddOperator(t.Context(), &rollcallv1.AddOperatorRequest{Name: "vera", Role: string(auth.Viewer)})
			return err
		}
	}},
	"Account/Login": {evidence.Login, func(t *testing.T, r *running) func() error {
		r.password(r.kari, "a long enough one")
		return func() error { _, err := r.logIn("kari", "a long enough one"); return err }
	}},
	"Account/Logout": {evidence.Login, func(t *testing.T, r *running) func() error {
		r.password(r.kari, "a long enough one")
		kari, err := r.logIn("kari", "a long enough one")
		if err != nil {
			t.Fatal(err)
		}
		return func() error { _, err := kari.Logout(t.Context(), &rollcallv1.LogoutRequest{}); return err }
	}},
	"Account/SetPassword": {evidence.Login, func(t *testing.T, r *running) func() error {
		return func() error {
			_, err := r.kari.SetPassword(t.Context(), &rollcallv1.SetPasswordRequest{New: "a long enough one"})
			return err
		}
	}},
	"Account/EndLogins": {evidence.Login, func(t *testing.T, r *running) func() error {
		r.operator("vera", auth.Grant{Role: auth.Viewer})
		return func() error {
			_, err := r.kari.EndLogins(t.Context(), &rollcallv1.EndLoginsRequest{Name: "vera", Token: true})
			return err
		}
	}},
	"Proposals/Confirm": {evidence.Operator, func(t *testing.T, r *running) func() error {
		id := r.proposal("ola")
		return func() error {
			_, err := r.kari.Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: id})
			return err
		}
	}},
	"Proposals/Decline": {evidence.Proposal, func(t *testing.T, r *running) func() error {
		id := r.proposal("ola")
		return func() error {
			_, err := r.kari.Decline(t.Context(), &rollcallv1.DeclineRequest{Id: id})
			return err
		}
	}},
	"Saved/SaveFilter": {evidence.Policy, func(t *testing.T, r *running) func() error {
		return func() error { return r.saveFilter(t, r.kari, "old", "", "pkg(cups) < 2") }
	}},
	"Saved/RemoveFilter": {evidence.Policy, func(t *testing.T, r *running) func() error {
		if err := r.saveFilter(t, r.kari, "old", "", "pkg(cups) < 2"); err != nil {
			t.Fatal(err)
		}
		return func() error {
			_, err := rollcallv1.NewSavedClient(r.kari.conn).RemoveFilter(t.Context(), &rollcallv1.RemoveFilterRequest{Name: "old"})
			return err
		}
	}},
	"Saved/SetBaseline": {evidence.Policy, func(t *testing.T, r *running) func() error {
		r.machine(1).report(t, true)
		return func() error { return r.setBaseline(t, r.kari, "client", "", "name = *") }
	}},
	"Saved/RemoveBaseline": {evidence.Policy, func(t *testing.T, r *running) func() error {
		r.machine(1).report(t, true)
		if err := r.setBaseline(t, r.kari, "client", "", "name = *"); err != nil {
			t.Fatal(err)
		}
		return func() error {
			_, err := rollcallv1.NewSavedClient(r.kari.conn).RemoveBaseline(t.Context(), &rollcallv1.RemoveBaselineRequest{Name: "client"})
			return err
		}
	}},
	"Policies/PublishPolicy": {evidence.Policy, func(t *testing.T, r *running) func() error {
		return func() error { return r.publish(r.kari, r.policy(mustKey(t), 1, "")) }
	}},
	"Recovery/Erase": {evidence.Purge, func(_ *testing.T, r *running) func() error {
		return r.erasing(r.machine(1).ci)
	}},
	"Admin/RemoveOperator": {evidence.Operator, func(t *testing.T, r *running) func() error {
		r.operator("vera", auth.Grant{Role: auth.Viewer})
		return func() error {
			_, err := r.kari.RemoveOperator(t.Context(), &rollcallv1.RemoveOperatorRequest{Name: "vera"})
			return err
		}
	}},
}

// waiting prepares a machine that waits for a decision.
func waiting(decide func(r *running, req *rollcallv1.DecideRequest) error) func(*testing.T, *running) func() error {
	return func(t *testing.T, r *running) func() error {
		m := r.stranger(1)
		if _, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{NeedsApproval: true})); err != nil {
			t.Fatal(err)
		}
		return func() error {
			return decide(r, &rollcallv1.DecideRequest{Key: identity.IDOf(identity.Public(m.Key)).String()})
		}
	}
}

// leaves reads the log.
func (r *running) leaves() (all []evidence.Leaf) {
	r.t.Helper()
	err := r.srv.engine.View(r.t.Context(), func(g store.Reader) error {
		for l, err := range evidence.At(g, r.cfg.Tenant).Leaves(0, 0) {
			if err != nil {
				return err
			}
			leaf, err := evidence.ParseLeaf(l.Leaf)
			if err != nil {
				return err
			}
			all = append(all, leaf)
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func TestEveryMethodThatChangesSomethingLeavesExactlyOneLeaf(t *testing.T) {
	for _, desc := range eachMethod(t) {
		if readOnly[desc] {
			continue
		}
		deed, ok := deeds[desc]
		if !ok {
			t.Errorf("%s is neither among those that change nothing nor among those that are tried: does it go through act (server/api/act.go)?", desc)
			continue
		}
		t.Run(desc, func(t *testing.T) {
			r := start(t)
			do := deed.prepare(t, r)
			before := len(r.leaves())
			if err := do(); err != nil {
				t.Fatal(err)
			}
			got := r.leaves()[before:]
			if len(got) != 1 || got[0].Kind != deed.kind {
				t.Errorf("it left %+v, want one leaf %s", got, deed.kind)
			}
		})
	}
}

func TestMethodsThatChangeNothingLeaveNoLeaf(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	m.report(t, true)
	before := len(r.leaves())
	for _, desc := range eachMethod(t) {
		if readOnly[desc] {
			_ = call(t.Context(), r.kari.conn, "/rollcall.v1."+desc) // what it answers is not asked here
		}
	}
	if after := len(r.leaves()); after != before {
		t.Errorf("%d leaves were left by methods that change nothing", after-before)
	}
}

// eachMethod lists all registered methods, without the package's name.
func eachMethod(t *testing.T) (all []string) {
	t.Helper()
	r := start(t)
	srv, err := r.srv.grpcServer()
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Stop()
	for service, info := range srv.GetServiceInfo() {
		for _, m := range info.Methods {
			all = append(all, service[len("rollcall.v1."):]+"/"+m.Name)
		}
	}
	return all
}

func TestAChangeThatIsRefusedOrChangesNothingLeavesNoLeaf(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	set := &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"room": "12"}}
	if _, err := r.kari.Set(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	before := len(r.leaves())
	if _, err := r.kari.Set(t.Context(), set); err != nil { // as it is already
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"a site without its parent": errOf(r.kari.SetSite(t.Context(), &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: "elm/north"}})),
		"a site that is not there":  errOf(r.kari.RemoveSite(t.Context(), &rollcallv1.RemoveSiteRequest{Path: "oak"})),
		"a role that is none":       errOf(r.kari.AddOperator(t.Context(), &rollcallv1.AddOperatorRequest{Name: "x", Role: "king"})),
	} {
		if err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if after := len(r.leaves()); after != before {
		t.Errorf("%d leaves were left", after-before)
	}
}

func errOf[T any](_ T, err error) error { return err }

func TestAdoptionEndsTheKeyBeforeInOneLeaf(t *testing.T) {
	r := start(t)
	old := r.machine(1)
	m := r.stranger(2)
	reply, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{Ci: old.ci}))
	if err != nil || reply.GetCi() != old.ci {
		t.Fatalf("enrol: %v, %v", reply, err)
	}
	oldKey, newKey := identity.IDOf(identity.Public(old.Key)).String(), identity.IDOf(identity.Public(m.Key)).String()
	err = r.srv.engine.View(t.Context(), func(g store.Reader) error {
		v := evidence.At(g, r.cfg.Tenant)
		n, err := v.Size()
		if err != nil {
			return err
		}
		x, err := v.Explain(n - 1)
		if err != nil {
			return err
		}
		e, err := evidence.ParseEntry(x.Content)
		if err != nil || e.Kind != evidence.Adopt || e.Key != newKey || e.Ends != oldKey || !e.Admits || e.CI != old.ci {
			t.Errorf("the last leaf tells %+v, %v", e, err)
		}
		about, err := v.About(oldKey)
		if len(about) != 2 || about[1] != n-1 {
			t.Errorf("about the key before: leaves %v, want its admission and leaf %d", about, n-1)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// lastEntry reads what the last leaf tells.
func (r *running) lastEntry() (e evidence.Entry) {
	r.t.Helper()
	err := r.srv.engine.View(r.t.Context(), func(g store.Reader) error {
		v := evidence.At(g, r.cfg.Tenant)
		n, err := v.Size()
		if err != nil {
			return err
		}
		x, err := v.Explain(n - 1)
		if err != nil {
			return err
		}
		e, err = evidence.ParseEntry(x.Content)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}
