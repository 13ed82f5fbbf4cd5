package server

import (
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/evidence"

	"google.golang.org/grpc/codes"
)

// bootServer is a machine of class server at a site, which two people have admitted.
func (r *running) bootServer(number uint64, site string) *machine {
	r.t.Helper()
	m := r.stranger(number)
	body(m.Machine, int(number))
	if _, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{Class: "server", Site: site})); err != nil {
		r.t.Fatal(err)
	}
	other := r.operator(fmt.Sprintf("approver%d", number), auth.Everywhere(auth.Approver)...)
	got, err := other.Approve(r.t.Context(), &rollcallv1.DecideRequest{Key: m.id()})
	if err != nil {
		r.t.Fatal(err)
	}
	m.ci = got.GetKey().GetCi()
	return m
}

// clientFacts are what a boot server tells of machines: "MAC name boot" each.
func clientFacts(clients ...string) (facts []fact.Fact) {
	for _, c := range clients {
		f := append(strings.Fields(c), "", "")
		facts = append(facts, fact.Fact{Path: "client/" + f[0] + "/by", Value: "leases"})
		if f[1] != "" && f[1] != "-" {
			facts = append(facts, fact.Fact{Path: "client/" + f[0] + "/name", Value: f[1]})
		}
		if f[2] != "" {
			facts = append(facts, fact.Fact{Path: "client/" + f[0] + "/boot", Value: f[2]})
		}
	}
	return facts
}

// sees lets a boot server report which machines it sees, and that it has heard of all
// of them just now.
func (m *machine) sees(t *testing.T, clients ...string) {
	t.Helper()
	m.Facts["client"] = fact.NewSet(clientFacts(clients...))
	var macs []string
	for _, c := range clients {
		macs = append(macs, strings.Fields(c)[0])
	}
	slices.Sort(macs)
	m.hears(macs, strings.Repeat("ff", (len(macs)+7)/8))
	m.report(t, true)
}

func (m *machine) hears(macs []string, bits string) {
	m.Measured = fact.Set{{Path: "m/client/seen", Value: fmt.Sprintf("%d %08x %s", len(macs), crc32.ChecksumIEEE([]byte(strings.Join(macs, ""))), bits)}}
}

func (m *machine) tick(t *testing.T) {
	t.Helper()
	env, err := m.Tick()
	if err != nil {
		t.Fatal(err)
	}
	reply, err := m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
	if err != nil || reply.GetOutcome() != rollcallv1.SubmitReply_SEEN {
		t.Fatalf("tick: %v, %v", reply.GetOutcome(), err)
	}
}

// school starts a server with two schools.
func theSchools(t *testing.T, change ...func(*Config)) *running {
	r := start(t, change...)
	for _, site := range []string{"elm", "elm/north", "elm/north/cellar", "elm/south"} {
		r.site(site)
	}
	return r
}

// wait waits until a filter selects just these names.
func (r *running) wait(filter, want string) {
	r.t.Helper()
	got := ""
	for range 500 {
		if got = r.named(filter, time.Time{}); got == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.t.Errorf("%s: %q, want %q", filter, got, want)
}

// settled waits until everything that was recorded was gone through.
func (r *running) settled() {
	r.t.Helper()
	waitFor(r.t, "the observers", r.srv.observers.Settled)
}

func TestWhatABootServerSeesBecomesCIs(t *testing.T) {
	r := theSchools(t)
	tjener := r.bootServer(1, "elm/north/cellar")
	tjener.sees(
		t, "00:16:3e:00:00:0a tc05 network", "00:16:3e:00:00:0b", "02:16:3e:00:00:0c phone", "01:00:5e:00:00:01 many", "ff:ff:ff:ff:ff:ff all", "00:16:3E:00:00:0D loud", "x nobody",
		"00:16:3e:00:00:0e tc05 network",
	)
	r.wait("trust = observed", "mac-00163e00000b tc05 tc05-2")
	r.wait("trust = observed AND class = thin-client AND site = elm/north/cellar AND presence = live AND mac = 00:16:3e:00:00:0a", "tc05")
	r.settled()
	got := r.get("tc05")
	item := got.GetItem()
	if item.GetSite() != "elm/north/cellar" || item.GetRevision() != 1 || len(got.GetObservations()) != 1 {
		t.Fatalf("%v", got)
	}
	if o := got.GetObservations()[0]; o.GetName() != tjener.Name || o.GetBy() != "leases" || o.GetLastMs() == 0 {
		t.Errorf("observed by %v", o)
	}
	if got := r.get("mac-00163e00000b").GetItem(); got.GetClass() != "" {
		t.Errorf("a machine that asks for no boot is of class %q", got.GetClass())
	}
	_, err := r.kari.Manifest(t.Context(), &rollcallv1.ManifestRequest{Ci: "tc05"})
	wantCode(t, "a restore from what others tell", err, codes.FailedPrecondition)

	before := r.revisions()
	for range 30 { // days on which nothing changes but who is there
		tjener.tick(t)
	}
	tjener.report(t, true)
	r.settled()
	if n := r.revisions(); n != before {
		t.Errorf("%d revisions after thirty quiet days, %d before", n, before)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, r.cfg, Known{Acknowledged: tjener.acked})
}

// revisions counts all revisions.
func (r *running) revisions() uint64 {
	r.t.Helper()
	s, err := r.kari.Status(r.t.Context(), &rollcallv1.StatusRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	return s.GetRevisions()
}

func TestWhoIsSeenIsPresent(t *testing.T) {
	r := theSchools(t)
	tjener := r.bootServer(1, "elm/north")
	macs := []string{"00:16:3e:00:00:0a", "00:16:3e:00:00:0b"}
	tjener.Facts["client"] = fact.NewSet(clientFacts(macs[0]+" a", macs[1]+" b"))
	tjener.hears(macs, "01")
	tjener.report(t, true)
	r.wait("trust = observed AND presence = live", "a")
	r.wait("trust = observed AND presence = never-seen", "b")
	tjener.hears(macs[1:], "01") // of a list that its facts do not have
	tjener.tick(t)
	tjener.Measured[0].Value = "2 00000000 ffffffff"
	tjener.tick(t)
	r.settled()
	r.wait("trust = observed AND presence = never-seen", "b")
	tjener.hears(macs, "02")
	tjener.tick(t)
	r.wait("trust = observed AND presence = live", "a b")
}

func TestOnlyServersAreBelievedAndOnlyAtTheirSchool(t *testing.T) {
	r := theSchools(t)
	stolen := r.stranger(1) // the key of a workstation
	body(stolen.Machine, 1)
	if _, err := r.enrol(stolen, r.token(&rollcallv1.NewTokenRequest{Class: "workstation", Site: "elm/north"})); err != nil {
		t.Fatal(err)
	}
	var flood []string
	for i := range 500 {
		flood = append(flood, fmt.Sprintf("00:16:3e:01:%02x:%02x x", i>>8, i&255))
	}
	stolen.sees(t, flood...)
	north, south := r.bootServer(2, "elm/north"), r.bootServer(3, "elm/south")
	north.sees(t, "00:16:3e:00:00:0a tc05")
	r.wait("trust = observed", "tc05")
	rev := r.get("tc05").GetItem()
	south.sees(t, "00:16:3e:00:00:0a tc05")
	r.wait("trust = observed AND site = elm/south", "tc05-2")
	r.settled()
	r.wait("trust = observed", "tc05 tc05-2")
	if got := r.get("tc05"); got.GetItem().GetRevision() != rev.GetRevision() || len(got.GetObservations()) != 1 {
		t.Errorf("what another school sees changed it: %v", got.GetItem())
	}
	// Of one school all servers tell of the same machine.
	cellar := r.bootServer(4, "elm/north/cellar")
	cellar.sees(t, "00:16:3e:00:00:0a other-name")
	waitFor(t, "a second observer", func() bool { return len(r.get("tc05").GetObservations()) == 2 })
	r.settled()
	r.wait("trust = observed AND hostname = tc05", "tc05 tc05-2")
}

func TestAnObserverMayMakeSoManyCIsInAll(t *testing.T) {
	r := theSchools(t, func(c *Config) { c.ObservedClients = 3 })
	tjener := r.bootServer(1, "elm/north")
	for round := range 3 {
		var clients []string
		for i := range 10 {
			clients = append(clients, fmt.Sprintf("00:16:3e:%02x:00:%02x tc%d-%d", round, i, round, i))
		}
		tjener.sees(t, clients...)
		r.wait("trust = observed", "tc0-0 tc0-1 tc0-2")
		r.settled()
	}
	r.wait("trust = observed", "tc0-0 tc0-1 tc0-2")
	if !strings.Contains(r.logs.String(), "machines=10 observed_clients=3") {
		t.Error("the log says nothing of those who got none")
	}
}

func TestAMachineThatIsKnownOtherwiseIsNotMadeTwice(t *testing.T) {
	r := theSchools(t)
	tjener := r.bootServer(1, "elm/north")
	m := r.stranger(2)
	m.Facts["net"] = fact.NewSet([]fact.Fact{
		{Path: "net/eno1/permanent", Value: "00:16:3e:00:00:0a"},
		{Path: "net/eno1/device", Value: "pci 0000:00:1f.6"},
		{Path: "net/eth1/permanent", Value: "00:16:3e:00:00:0b"},
		{Path: "net/eth1/device", Value: "usb 2-1"},
	})
	reply, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{Site: "elm/north"}))
	if err != nil {
		t.Fatal(err)
	}
	m.ci = reply.GetCi()
	m.report(t, true)
	r.wait("mac = 00:16:3e:00:00:0a", m.Name)
	tjener.sees(t, "00:16:3e:00:00:0a pc07", "00:16:3e:00:00:0b dock", "00:16:3e:00:00:0c tc05")
	r.wait("trust = observed", "tc05")
	r.settled()
	r.wait("trust = observed", "tc05")
	got := r.get(m.ci)
	if got.GetItem().GetRevision() != 2 || len(got.GetObservations()) != 1 || got.GetObservations()[0].GetCi() != tjener.ci {
		t.Errorf("the machine with an agent: revision %d, %v", got.GetItem().GetRevision(), got.GetObservations())
	}
}

func TestAnObservedMachineIsMergedWhenItsAgentComes(t *testing.T) {
	r := theSchools(t)
	tjener := r.bootServer(1, "elm/north")
	tjener.sees(t, "00:16:3e:00:00:0a tc05 network", "00:16:3e:00:00:0b dock", "00:16:3e:00:00:0c other")
	r.wait("trust = observed", "dock other tc05")
	enrol := func(number uint64, site string, mac string) *machine {
		m := r.stranger(number)
		m.Facts["net"] = fact.NewSet([]fact.Fact{
			{Path: "net/eno1/permanent", Value: mac},
			{Path: "net/eno1/device", Value: "pci 0000:00:1f.6"},
			{Path: "net/eth1/permanent", Value: "00:16:3e:00:00:0b"},
			{Path: "net/eth1/device", Value: "usb 2-1"},
		})
		reply, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{Site: site}))
		if err != nil {
			t.Fatal(err)
		}
		m.ci = reply.GetCi()
		m.report(t, true)
		return m
	}
	enrol(2, "elm/south", "00:16:3e:00:00:0a") // another school
	pc := enrol(3, "elm/north", "00:16:3e:00:00:0a")
	r.wait("trust = observed", "dock other")
	r.settled()
	r.wait("trust = observed", "dock other")
	e := r.lastEntry()
	if e.Kind != evidence.Merge || e.By != "server" || !strings.Contains(e.Detail["evidence"], "00:16:3e:00:00:0a") {
		t.Errorf("the log tells %+v", e)
	}
	gone := r.get("tc05")
	if gone.GetItem().GetStatus() != "merged" || gone.GetFields()["merged-into"] != pc.ci {
		t.Errorf("%v", gone.GetFields())
	}
	seen := gone.GetItem().GetLastSeenMs()
	tjener.tick(t)
	if got := r.get(pc.ci); len(got.GetObservations()) != 1 || r.get("tc05").GetItem().GetLastSeenMs() != seen {
		t.Errorf("observed by %v", got.GetObservations())
	}
	// People know better, and it stays so.
	if _, err := r.kari.Split(t.Context(), &rollcallv1.SplitRequest{Ci: "tc05", Reason: "the card was moved"}); err != nil {
		t.Fatal(err)
	}
	r.wait("trust = observed", "dock other tc05")
	pc.report(t, true)
	tjener.report(t, true)
	r.settled()
	tjener.tick(t)
	waitFor(t, "a sign of life after the split", func() bool { return r.get("tc05").GetItem().GetLastSeenMs() > seen })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, r.cfg, Known{Acknowledged: append(tjener.acked, pc.acked...)})
	cfg := r.cfg
	again := startOn(t, cfg)
	again.settled()
	again.wait("trust = observed", "dock other tc05")
}

// An agent that is told which CI is its own takes it over; what is observed of it
// changes it no more.
func TestAnAgentTakesAnObservedCIOver(t *testing.T) {
	r := theSchools(t)
	tjener := r.bootServer(1, "elm/north")
	tjener.sees(t, "00:16:3e:00:00:0a tc05 network")
	r.wait("trust = observed", "tc05")
	ci := r.get("tc05").GetItem().GetId()
	m := r.stranger(2)
	if _, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{Ci: ci})); err != nil {
		t.Fatal(err)
	}
	m.ci = ci
	m.report(t, true)
	r.wait("trust = T1 AND name = tc05", "tc05")
	rev := r.get("tc05").GetItem().GetRevision()
	tjener.sees(t, "00:16:3e:00:00:0a another-name", "00:16:3e:00:00:0b tc06")
	r.wait("trust = observed", "tc06")
	r.settled()
	if got := r.get("tc05").GetItem(); got.GetRevision() != rev || got.GetTrust() != "T1" {
		t.Errorf("%v", got)
	}
}
