package server

import (
	"slices"
	"testing"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"

	"google.golang.org/grpc/codes"
)

// secrets gives a machine fingerprints: "KIND/PATH" = fingerprints.
func (m *machine) secrets(t testing.TB, found map[string]string) {
	t.Helper()
	var facts []fact.Fact
	for path, marks := range found {
		facts = append(facts, fact.Fact{Path: "secret/" + path, Value: marks})
	}
	m.Facts["secret"] = fact.NewSet(facts)
	m.report(t, false)
}

// names of the machines of a group.
func namesOf(g *rollcallv1.SharedSecret) (names []string) {
	for _, h := range g.GetHolders() {
		names = append(names, h.GetName())
	}
	return names
}

func TestTheRadarFindsWhoSharesASecretWithinTheSitesOfTheOperator(t *testing.T) {
	r := start(t)
	for _, site := range []string{"elm", "oak"} {
		if _, err := r.kari.SetSite(t.Context(), &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: site}}); err != nil {
			t.Fatal(err)
		}
	}
	var ms []*machine
	for i := range 4 {
		m := r.machine(uint64(i + 1))
		m.report(t, true)
		site := "elm"
		if i == 3 {
			site = "oak"
		}
		if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"site": site}}); err != nil {
			t.Fatal(err)
		}
		ms = append(ms, m)
	}
	// 1 and 2 were cloned, 2 to 4 have a wifi password, each has one of its own,
	// and the fingerprint of one kind says nothing about another kind.
	ms[0].secrets(t, map[string]string{"ssh-host-key/etc/ssh/ssh_host_rsa_key": "aa", "ssh-host-key/etc/ssh/ssh_host_ed25519_key": "bb", "wifi/etc/a": "11"})
	ms[1].secrets(t, map[string]string{"ssh-host-key/etc/ssh/ssh_host_rsa_key": "aa", "ssh-host-key/etc/ssh/ssh_host_ed25519_key": "bb", "wifi/etc/a": "22 99"})
	ms[2].secrets(t, map[string]string{"ssh-host-key/etc/ssh/ssh_host_rsa_key": "cc", "wifi/etc/b": "99"})
	ms[3].secrets(t, map[string]string{"ssh-host-key/etc/ssh/ssh_host_rsa_key": "11", "wifi/etc/a": "99", "keytab/etc/krb5.keytab": "aa"})

	reply, err := r.kari.Shared(t.Context(), &rollcallv1.SharedRequest{})
	if err != nil {
		t.Fatal(err)
	}
	groups := reply.GetGroups()
	if len(groups) != 2 || reply.GetMachines() != 4 || reply.GetReporting() != 4 || reply.GetMore() {
		t.Fatalf("got %v", reply)
	}
	host, wifi := groups[0], groups[1]
	if host.GetKind() != "ssh-host-key" || host.GetSecrets() != 2 || !slices.Equal(namesOf(host), []string{"sim-00001", "sim-00002"}) ||
		len(host.GetHolders()[0].GetPaths()) != 2 || host.GetSinceMs() < host.GetHolders()[0].GetSinceMs() || host.GetSinceMs() == 0 {
		t.Errorf("host keys: %v", host)
	}
	if wifi.GetKind() != "wifi" || wifi.GetMachines() != 3 || wifi.GetHolders()[1].GetPaths()[0] != "etc/b" {
		t.Errorf("wifi: %v", wifi)
	}
	for _, tt := range []struct {
		req  *rollcallv1.SharedRequest
		want int
	}{
		{&rollcallv1.SharedRequest{Kinds: []string{"wifi"}}, 1},
		{&rollcallv1.SharedRequest{Filter: "name = sim-00001 or name = sim-00003"}, 0},
		{&rollcallv1.SharedRequest{Limit: 1}, 1},
	} {
		reply, err := r.kari.Shared(t.Context(), tt.req)
		if err != nil || len(reply.GetGroups()) != tt.want {
			t.Errorf("%v: %d groups, %v, want %d", tt.req, len(reply.GetGroups()), err, tt.want)
		}
	}
	_, err = r.kari.Shared(t.Context(), &rollcallv1.SharedRequest{Kinds: []string{"nonsense"}})
	wantCode(t, "a kind that is none", err, codes.InvalidArgument)

	oak := r.operator("ola", auth.Grant{Role: auth.Worker, Site: "oak"})
	if reply, err = oak.Shared(t.Context(), &rollcallv1.SharedRequest{}); err != nil || len(reply.GetGroups()) != 0 || reply.GetMachines() != 1 {
		t.Errorf("an operator of the other site sees %v, %v", reply, err)
	}

	// A new key ends the sharing, and the past stays as it was.
	before := host.GetSinceMs()
	ms[1].secrets(t, map[string]string{"wifi/etc/a": "22"})
	if reply, err = r.kari.Shared(t.Context(), &rollcallv1.SharedRequest{Kinds: []string{"ssh-host-key"}}); err != nil || len(reply.GetGroups()) != 0 {
		t.Errorf("after a new key: %v, %v", reply, err)
	}
	if reply, err = r.kari.Shared(t.Context(), &rollcallv1.SharedRequest{Kinds: []string{"ssh-host-key"}, AtMs: before + 1}); err != nil || len(reply.GetGroups()) != 1 {
		t.Errorf("as of then: %v, %v", reply, err)
	}
}
