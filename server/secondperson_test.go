package server

import (
	"strings"
	"testing"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"

	"google.golang.org/grpc/codes"
)

// wants proposes to make a CI a server and gives the id of the proposal.
func (o *operator) wants(t *testing.T, r *running, ci string) string {
	t.Helper()
	_, err := o.Set(t.Context(), &rollcallv1.SetRequest{Ci: ci, Fields: map[string]string{"class": "server"}})
	wantCode(t, "one person makes a CI a server", err, codes.FailedPrecondition)
	list, err := o.ListProposals(t.Context(), &rollcallv1.ListProposalsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	all := list.GetProposals()
	if len(all) == 0 || !strings.Contains(all[len(all)-1].GetWhat(), "a server") {
		t.Fatalf("it became no proposal: %v", all)
	}
	return all[len(all)-1].GetId()
}

func (o *operator) classOf(t *testing.T, ci string) string {
	t.Helper()
	got, err := o.Get(t.Context(), &rollcallv1.GetRequest{Ci: ci})
	if err != nil {
		t.Fatal(err)
	}
	return got.GetItem().GetClass()
}

func TestMakingACIAServerTakesTwoPeople(t *testing.T) {
	r := start(t)
	r.site("elm")
	m := r.machine(1)
	ola := r.operator("ola", auth.Grant{Role: auth.Worker})
	elsewhere := r.operator("per", auth.Grant{Role: auth.Worker, Site: "elm"})
	before := ola.classOf(t, m.ci)
	id := ola.wants(t, r, m.ci)
	if got := ola.classOf(t, m.ci); got != before {
		t.Errorf("class %q before anybody has confirmed, was %q", got, before)
	}
	_, err := ola.Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: id})
	wantCode(t, "her own", err, codes.FailedPrecondition)
	_, err = elsewhere.Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: id})
	wantCode(t, "by who works elsewhere", err, codes.NotFound)
	if _, err := r.operator("eva", auth.Grant{Role: auth.Worker}).Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: id}); err != nil {
		t.Fatal(err)
	}
	if got := ola.classOf(t, m.ci); got != "server" {
		t.Errorf("class %q after a second person confirmed", got)
	}
	e := r.lastEntry()
	if e.By != "operator ola" || e.Detail["second"] != "operator eva" {
		t.Errorf("the log tells %+v, want both names", e)
	}
	// What is one already may be changed by one person, also back.
	for _, fields := range []map[string]string{{"owner": "ola"}, {"class": "server", "owner": "eva"}, {"class": "workstation"}} {
		if _, err := ola.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: fields}); err != nil {
			t.Errorf("%v: %v", fields, err)
		}
	}
}

func TestNobodyConfirmsByAnAccountOfHerOwnMaking(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	boss := r.operator("boss", auth.Grant{Role: auth.Admin}, auth.Grant{Role: auth.Worker})
	made := r.logsIn(boss, &rollcallv1.AddOperatorRequest{Name: "x", Role: string(auth.Worker)})
	id := boss.wants(t, r, m.ci)
	list, err := made.ListProposals(t.Context(), &rollcallv1.ListProposalsRequest{Id: id})
	if err != nil || len(list.GetProposals()) != 1 || list.GetProposals()[0].GetMayConfirm() {
		t.Errorf("who was made by the proposer is shown %v, %v", list, err)
	}
	_, err = made.Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: id})
	wantCode(t, "by an account of her own making", err, codes.FailedPrecondition)
	if !strings.Contains(err.Error(), "has the login from boss") || made.classOf(t, m.ci) == "server" {
		t.Errorf("%v", err)
	}
	// A new login for somebody else is an account of hers as well.
	r.operator("eva", auth.Grant{Role: auth.Worker})
	taken := r.logsIn(boss, &rollcallv1.AddOperatorRequest{Name: "eva", Role: string(auth.Worker)})
	_, err = taken.Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: id})
	wantCode(t, "by a login that she gave out", err, codes.FailedPrecondition)
	if _, err := r.operator("ola", auth.Grant{Role: auth.Worker}).Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: id}); err != nil {
		t.Errorf("by another person: %v", err)
	}
}

// logsIn lets an admin make an operator and logs in as that one.
func (r *running) logsIn(admin *operator, req *rollcallv1.AddOperatorRequest) *operator {
	r.t.Helper()
	reply, err := admin.AddOperator(r.t.Context(), req)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.as(r.login(reply.GetLoginToken()))
}

func (r *running) login(text string) identity.Token {
	r.t.Helper()
	token, err := identity.ParseToken(identity.LoginPrefix, text)
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

// A move to another site in the same go takes somebody who may on both sides.
func TestMakingACIAServerElsewhereTakesSomebodyOfBothSites(t *testing.T) {
	r := start(t)
	for _, site := range []string{"elm", "elm/north", "elm/south"} {
		r.site(site)
	}
	m := r.machine(1)
	if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"site": "elm/north"}}); err != nil {
		t.Fatal(err)
	}
	ola := r.operator("ola", auth.Grant{Role: auth.Worker})
	_, err := ola.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"class": "server", "site": "elm/south"}})
	wantCode(t, "one person makes a CI a server elsewhere", err, codes.FailedPrecondition)
	list, err := ola.ListProposals(t.Context(), &rollcallv1.ListProposalsRequest{})
	if err != nil || len(list.GetProposals()) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	id := list.GetProposals()[0].GetId()
	for _, site := range []string{"elm/north", "elm/south"} {
		_, err := r.operator("of-one", auth.Grant{Role: auth.Worker, Site: site}).Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: id})
		wantCode(t, "by who works at "+site+" alone", err, codes.NotFound)
	}
	if _, err := r.operator("eva", auth.Grant{Role: auth.Worker}).Confirm(t.Context(), &rollcallv1.ConfirmRequest{Id: id}); err != nil {
		t.Error(err)
	}
}
