package server

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/evidence"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// proposal makes a new admin propose that per becomes admin too, and returns the
// proposal's id.
func (r *running) proposal(by string) string {
	r.t.Helper()
	ola := r.operator(by, auth.Grant{Role: auth.Admin})
	return proposed(r.t, ola, "per")
}

func proposed(t testing.TB, o *operator, name string) string {
	t.Helper()
	_, err := o.AddOperator(t.Context(), &rollcallv1.AddOperatorRequest{Name: name, Role: "admin"})
	wantCode(t, "making an admin alone", err, codes.FailedPrecondition)
	list, lerr := o.ListProposals(t.Context(), &rollcallv1.ListProposalsRequest{})
	if lerr != nil || len(list.GetProposals()) == 0 {
		t.Fatalf("no proposal, %v", lerr)
	}
	p := list.GetProposals()[len(list.GetProposals())-1]
	if !strings.Contains(err.Error(), p.GetId()) || !p.GetYours() || p.GetMayConfirm() || p.GetState() != auth.Waiting {
		t.Errorf("the caller is told %v, the proposal is %+v", err, p)
	}
	return p.GetId()
}

func (r *running) names() (names []string) {
	r.t.Helper()
	list, err := r.kari.Operators(r.t.Context(), &rollcallv1.OperatorsRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, o := range list.GetOperators() {
		names = append(names, o.GetName())
	}
	return names
}

func TestWhatNeedsTwoPeopleRunsWhenAnotherOneConfirms(t *testing.T) {
	r := start(t)
	id := r.proposal("ola")
	if got := strings.Join(r.names(), " "); got != "kari ola" {
		t.Errorf("operators %s before anybody has confirmed", got)
	}
	list, err := r.kari.ListProposals(t.Context(), &rollcallv1.ListProposalsRequest{Id: id})
	if err != nil || len(list.GetProposals()) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	p := list.GetProposals()[0]
	if !p.GetMayConfirm() || p.GetBy() != "ola" || p.GetWhat() != "make per admin" || !strings.Contains(p.GetRequest(), `"per"`) {
		t.Errorf("kari sees %+v", p)
	}
	reply, err := r.kari.Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: id, Digest: p.GetDigest()})
	if err != nil {
		t.Fatal(err)
	}
	var added rollcallv1.AddOperatorReply
	if err := proto.Unmarshal(reply.GetReply(), &added); err != nil || reply.GetMethod() != rollcallv1.Admin_AddOperator_FullMethodName {
		t.Fatalf("%s, %v", reply.GetMethod(), err)
	}
	if _, err := identity.ParseToken(identity.LoginPrefix, added.GetLoginToken()); err != nil {
		t.Errorf("the reply holds no login: %v", err)
	}
	if got := reply.GetProposal(); got.GetState() != auth.Confirmed || got.GetDecidedBy() != "kari" {
		t.Errorf("the proposal is %+v", got)
	}
	if got := strings.Join(r.names(), " "); got != "kari ola per" {
		t.Errorf("operators %s, want per too", got)
	}
	e := r.lastEntry()
	if e.Kind != evidence.Operator || e.By != "operator ola" || e.Detail["second"] != "operator kari" || e.Detail["proposal"] != id {
		t.Errorf("the log tells %+v, want both names", e)
	}
	_, err = r.kari.Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: id})
	wantCode(t, "confirming twice", err, codes.FailedPrecondition)
}

func TestWhoCannotConfirm(t *testing.T) {
	r := start(t)
	r.site("elm")
	id := r.proposal("ola")
	list, err := r.kari.ListProposals(t.Context(), &rollcallv1.ListProposalsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		who  *operator
		req  *rollcallv1.ConfirmRequest
		want codes.Code
	}{
		"another role":           {r.operator("a", auth.Grant{Role: auth.Approver}), &rollcallv1.ConfirmRequest{Id: id}, codes.NotFound},
		"an auditor, who sees":   {r.operator("b", auth.Grant{Role: auth.Auditor}), &rollcallv1.ConfirmRequest{Id: id}, codes.PermissionDenied},
		"the role at a site":     {r.operator("c", auth.Grant{Role: auth.Admin, Site: "elm"}), &rollcallv1.ConfirmRequest{Id: id}, codes.NotFound},
		"what she did not see":   {r.kari, &rollcallv1.ConfirmRequest{Id: id, Digest: append([]byte{1}, list.GetProposals()[0].GetDigest()[1:]...)}, codes.FailedPrecondition},
		"no proposal":            {r.kari, &rollcallv1.ConfirmRequest{Id: "ffffffffffff"}, codes.NotFound},
		"nothing":                {r.kari, &rollcallv1.ConfirmRequest{}, codes.NotFound},
		"a name from the outset": {r.kari, &rollcallv1.ConfirmRequest{Id: "../operator/kari"}, codes.NotFound},
	} {
		_, err := tt.who.Confirm(t.Context(), tt.req)
		wantCode(t, name, err, tt.want)
	}
	ola := r.operator("ola", auth.Grant{Role: auth.Admin}) // a new login of the same person
	_, err = ola.Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: id})
	wantCode(t, "her own", err, codes.FailedPrecondition)
	if _, err := r.kari.RemoveOperator(t.Context(), &rollcallv1.RemoveOperatorRequest{Name: "ola"}); err != nil {
		t.Fatal(err)
	}
	_, err = r.kari.Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: id})
	wantCode(t, "of somebody who may not any more", err, codes.FailedPrecondition)
	if got := strings.Join(r.names(), " "); strings.Contains(got, "per") {
		t.Errorf("operators %s", got)
	}
}

func TestTheSameCallIsOneProposal(t *testing.T) {
	r := start(t)
	ola := r.operator("ola", auth.Grant{Role: auth.Admin})
	one, two := proposed(t, ola, "per"), proposed(t, ola, "per")
	if other := proposed(t, ola, "eva"); one != two || other == one {
		t.Errorf("proposals %s, %s, %s, want the first two the same", one, two, other)
	}
}

func TestAProposalExpiresAndCanBeTakenBack(t *testing.T) {
	r := start(t)
	id := r.proposal("ola")
	now := time.Now()
	r.srv.service.Now = func() time.Time { return now.Add(auth.ProposalLife + time.Second) }
	_, err := r.kari.Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: id})
	wantCode(t, "after seven days", err, codes.FailedPrecondition)
	list, err := r.kari.ListProposals(t.Context(), &rollcallv1.ListProposalsRequest{All: true})
	if err != nil || len(list.GetProposals()) != 1 || list.GetProposals()[0].GetState() != auth.Expired {
		t.Errorf("%v, %v, want one that has expired", list, err)
	}
	ola := r.operator("ola", auth.Grant{Role: auth.Admin})
	again := proposed(t, ola, "per")
	if _, err := ola.Decline(t.Context(), &rollcallv1.DeclineRequest{Id: again, Reason: "not needed"}); err != nil {
		t.Fatal(err)
	}
	_, err = r.kari.Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: again})
	wantCode(t, "after it was taken back", err, codes.FailedPrecondition)
}

func TestTwoWhoConfirmAtOnceRunItOnce(t *testing.T) {
	r := start(t)
	id := r.proposal("ola")
	eva := r.operator("eva", auth.Grant{Role: auth.Admin})
	before := len(r.leaves())
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		who := r.kari
		if i%2 == 1 {
			who = eva
		}
		wg.Go(func() { _, errs[i] = who.Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: id}) })
	}
	wg.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		} else {
			wantCode(t, "the others", err, codes.FailedPrecondition)
		}
	}
	if after := len(r.leaves()); done != 1 || after != before+1 {
		t.Errorf("it ran %d times and left %d leaves, want once", done, after-before)
	}
}

func TestBreakingTheGlassIsForAdminsAndIsNotForgotten(t *testing.T) {
	r := start(t)
	with := func(reason string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "rollcall-break-glass-bin", reason)
	}
	add := func(o *operator, ctx context.Context, name string) error {
		_, err := o.AddOperator(ctx, &rollcallv1.AddOperatorRequest{Name: name, Role: "admin"})
		return err
	}
	wantCode(t, "without a reason", add(r.kari, with(""), "per"), codes.InvalidArgument)
	wantCode(t, "with a short one", add(r.kari, with("because"), "per"), codes.InvalidArgument)
	r.site("elm")
	wantCode(t, "by an admin of one site", add(r.operator("c", auth.Grant{Role: auth.Admin, Site: "elm"}), with("the only one on duty"), "per"), codes.PermissionDenied)
	before := len(r.leaves())
	if err := add(r.kari, with("alone on duty\x1b[31m tonight"), "per"); err != nil {
		t.Fatal(err)
	}
	got := r.leaves()[before:]
	if len(got) != 2 || got[0].Kind != evidence.BreakGlass || got[1].Kind != evidence.Operator {
		t.Errorf("it left %+v, want a leaf of its own beside the deed's", got)
	}
	// Where it is not needed it is not noted.
	if _, err := r.kari.AddOperator(with("alone on duty tonight"), &rollcallv1.AddOperatorRequest{Name: "vera", Role: "viewer"}); err != nil {
		t.Fatal(err)
	}
	if n := len(r.leaves()); n != before+3 {
		t.Errorf("%d leaves for what needs one person", n-before-2)
	}
	warned := func() string {
		st, err := r.kari.Status(t.Context(), &rollcallv1.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(st.GetWarnings(), "\n")
	}
	if w := warned(); !strings.Contains(w, "make per admin") || !strings.Contains(w, "alone on duty") || strings.Contains(w, "\x1b") {
		t.Errorf("status warns: %q", w)
	}
	now := time.Now()
	r.srv.service.Now = func() time.Time { return now.Add(auth.GlassShown + time.Minute) }
	if w := warned(); strings.Contains(w, "make per admin") {
		t.Errorf("status still warns after 30 days: %q", w)
	}
}

// Who gets at the server's own files can make an admin, and that shows too.
func TestAnAdminMadeOnTheServerIsNoted(t *testing.T) {
	r := start(t)
	st, err := r.kari.Status(t.Context(), &rollcallv1.StatusRequest{})
	if err != nil || strings.Contains(strings.Join(st.GetWarnings(), " "), "needs two") {
		t.Errorf("the first admin is noted: %v, %v", st.GetWarnings(), err)
	}
	r.operator("ola", auth.Grant{Role: auth.Admin})
	st, err = r.kari.Status(t.Context(), &rollcallv1.StatusRequest{})
	if err != nil || !strings.Contains(strings.Join(st.GetWarnings(), " "), "make ola admin") {
		t.Errorf("the second one is not: %v, %v", st.GetWarnings(), err)
	}
}

func TestNobodyGivesHerselfARole(t *testing.T) {
	r := start(t)
	ola := r.operator("ola", auth.Grant{Role: auth.Admin})
	_, err := ola.AddOperator(t.Context(), &rollcallv1.AddOperatorRequest{Name: "ola", Grants: []*rollcallv1.Grant{{Role: "admin"}, {Role: "restorer"}}})
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "yourself") {
		t.Errorf("%v, want FailedPrecondition", err)
	}
	if _, err := ola.AddOperator(t.Context(), &rollcallv1.AddOperatorRequest{Name: "ola", Role: "admin"}); err != nil {
		t.Errorf("a new login with the same rights: %v", err)
	}
}

// The only admin there is admits a server alone, with a reason that is not
// forgotten; without one she cannot.
func TestAServerIsAdmittedAloneByBreakingTheGlassOnly(t *testing.T) {
	for name, req := range map[string]*rollcallv1.NewTokenRequest{
		"whose token names it, made by herself": {Class: "server"},
		"that she names":                        {NeedsApproval: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			m := r.stranger(1)
			if _, err := r.enrol(m, r.token(req)); err != nil {
				t.Fatal(err)
			}
			decide := &rollcallv1.DecideRequest{Key: identity.IDOf(identity.Public(m.Key)).String(), Class: "server"}
			reply, err := r.kari.Approve(t.Context(), decide)
			if err == nil && reply.GetKey().GetState() == "enrolled" {
				t.Fatal("one person admits a server")
			}
			before := len(r.leaves())
			ctx := metadata.AppendToOutgoingContext(t.Context(), "rollcall-break-glass-bin", "the only one on duty")
			reply, err = r.kari.Approve(ctx, decide)
			if err != nil || reply.GetKey().GetState() != "enrolled" {
				t.Fatalf("with a reason: %v, %v", reply.GetKey().GetState(), err)
			}
			got := r.leaves()[before:]
			if len(got) != 2 || got[0].Kind != evidence.BreakGlass || got[1].Kind != evidence.Approve {
				t.Errorf("it left %+v, want a leaf of its own beside the deed's", got)
			}
		})
	}
}
