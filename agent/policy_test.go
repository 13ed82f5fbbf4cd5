package agent

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"rollcall/agent/collect"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/internal/policy"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// signer is who holds a policy key.
type signer struct {
	t     *testing.T
	key   identity.Key
	realm string
}

func newSigner(t *testing.T, realm []byte) signer {
	t.Helper()
	k, err := identity.NewKey()
	must(t, err)
	return signer{t, k, hex.EncodeToString(realm)}
}

func (s signer) pin() string {
	s.t.Helper()
	pin, err := identity.PinOf(identity.Public(s.key))
	must(s.t, err)
	return pin
}

// sign makes a bundle that counts from the day until a year later.
func (s signer) sign(version int, from string, more string) []byte {
	s.t.Helper()
	day, err := time.Parse(time.DateOnly, from)
	must(s.t, err)
	b, err := policy.Sign(s.key, fmt.Appendf(nil, "realm = %s\nversion = %d\nfrom = %s\nuntil = %s\n%s", s.realm, version, from, day.AddDate(1, 0, 0).Format(time.DateOnly), more))
	must(s.t, err)
	return b
}

func day(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.DateOnly, text)
	must(t, err)
	return at
}

func TestEveryCollectorCanBeNamedInAPolicy(t *testing.T) {
	want := []string{etcCollector}
	for _, c := range collect.All() {
		want = append(want, c.Name)
	}
	slices.Sort(want)
	if !slices.Equal(policy.Collectors, want) {
		t.Errorf("internal/policy/collectors.go has\n%q\nwant\n%q", policy.Collectors, want)
	}
}

func TestWhichBundleAMachineAccepts(t *testing.T) {
	realm := []byte("0123456789abcdef")
	s, other := newSigner(t, realm), newSigner(t, realm)
	stranger := s
	stranger.realm = hex.EncodeToString([]byte("another server's"))
	v5 := s.sign(5, "2026-06-01", "")
	unsigned := slices.Clone(v5)
	copy(unsigned[strings.Index(string(v5), "signature ")+len("signature "):], strings.Repeat("A", 86))
	for _, tt := range []struct {
		name  string
		first []byte // nil: it has none
		then  []byte
		at    string
		want  error
		held  int64
	}{
		{"a first one", nil, v5, "2026-07-01", nil, 5},
		{"a newer one", v5, s.sign(6, "2026-06-02", ""), "2026-07-01", nil, 6},
		{"the same one again", v5, v5, "2026-07-01", nil, 5},
		{"an older one", v5, s.sign(4, "2026-06-02", ""), "2026-07-01", errRollback, 5},
		{"another one of the same version", v5, s.sign(5, "2026-06-02", ""), "2026-07-01", errTwice, 5},
		{"one of another key", v5, other.sign(6, "2026-06-01", ""), "2026-07-01", policy.ErrKey, 5},
		{"one of nobody", v5, unsigned, "2026-07-01", identity.ErrSignature, 5},
		{"one for another server's machines", v5, stranger.sign(6, "2026-06-01", ""), "2026-07-01", errRealm, 5},
		{"one that does not count yet", v5, s.sign(6, "2026-09-01", ""), "2026-07-01", policy.ErrEarly, 5},
		{"one that counts no more", v5, s.sign(6, "2025-06-15", ""), "2026-07-01", policy.ErrExpired, 5},
		{"what is no bundle", v5, []byte("skip = etc\n"), "2026-07-01", policy.ErrBundle, 5},
		{"nothing but zeros", v5, make([]byte, 500), "2026-07-01", policy.ErrBundle, 5},
		{"too much", v5, make([]byte, policy.MaxBundle+1), "2026-07-01", policy.ErrBundle, 5},
		{"a first one while the clock says 1970", nil, v5, "1970-01-01", policy.ErrEarly, 0},
		{"a newer one of the same day, while the clock says 1970", v5, s.sign(6, "2026-06-01", ""), "1970-01-01", nil, 6},
		{"a newer one while the clock says 1970", v5, s.sign(6, "2026-06-02", ""), "1970-01-01", policy.ErrEarly, 5},
		{"one while the clock says 2100", nil, v5, "2100-01-01", policy.ErrExpired, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{State: t.TempDir(), PolicyKeys: []string{s.pin()}}
			b := bundlesOf(c, Enrolment{Realm: realm}, true)
			if tt.first != nil {
				must(t, b.offer(tt.first, fromServer, day(t, "2026-07-01")))
			}
			if err := b.offer(tt.then, fromServer, day(t, tt.at)); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if why := b.refused[fromServer]; (why != "") != (tt.want != nil) || tt.want != nil && !strings.HasSuffix(why, tt.want.Error()) {
				t.Errorf("status would say %q of %v", why, tt.want)
			}
			again := bundlesOf(c, Enrolment{Realm: realm}, true)
			must(t, again.load())
			if b.held.Version != tt.held || again.held.Version != tt.held {
				t.Errorf("it has version %d, and %d when it is started again, want %d", b.held.Version, again.held.Version, tt.held)
			}
		})
	}
}

func TestAMachineWithoutAPolicyKeyLooksAtNoBundle(t *testing.T) {
	m := newMachine(t)
	s := newSigner(t, m.srv.realm)
	m.srv.policy = s.sign(1, "2026-06-01", "skip = etc\n")
	m.want(m.once(), Recorded, true)
	if m.srv.policyHas != nil {
		t.Error("it asked for a policy")
	}
	if _, err := os.Stat(filepath.Join(m.cfg.State, policyFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it kept one: %v", err)
	}
	for _, set := range m.srv.sets {
		for _, f := range set {
			if strings.HasPrefix(f.Path, "agent/") {
				t.Errorf("it tells of policies: %v", f)
			}
		}
	}
}

// under lets the machine take policies of a key on a day.
func (m *machine) under(s signer, at string) {
	m.cfg.PolicyKeys = []string{s.pin()}
	m.cfg.PolicyFile = filepath.Join(m.cfg.State, "no-such-file")
	m.deps.Now = func() time.Time { return day(m.t, at) }
}

func (m *machine) has(path string) string {
	v, _ := m.srv.sets[fact.SectionOf(path)].Get(path)
	return v
}

func TestAPolicyFromTheServerTakesAwayAndIsToldOf(t *testing.T) {
	m := newMachine(t)
	s := newSigner(t, m.srv.realm)
	m.under(s, "2026-07-01")
	m.write("etc/ppp/options", "x\n")
	m.srv.policy = s.sign(3, "2026-06-01", "skip = dpkg\nexclude = ppp/*\ninterval = 6h\n")
	m.want(m.once(), Recorded, true) // the policy comes with its receipt
	if m.has("pkg/cups/version") == "" || m.has("etc/ppp/options") == "" || m.has("agent/policy/state") != "none" {
		t.Errorf("before it has one the server has %v", m.srv.sets)
	}
	m.want(m.once(), Recorded, false, "agent", "etc", "pkg")
	if len(m.srv.sets["pkg"]) > 0 || m.has("etc/ppp/options") != "" || m.has("etc/motd") == "" {
		t.Errorf("what the policy leaves out is still there: %v", m.srv.sets)
	}
	if m.has("agent/policy/state") != BundleInForce || m.has("agent/policy/version") != "3" {
		t.Errorf("facts %v", m.srv.sets["agent"])
	}
	off := false
	for _, c := range m.srv.reports[len(m.srv.reports)-1].GetCollectors() {
		off = off || c.GetName() == "dpkg" && c.GetStatus() == rollcallv1.CollectorStatus_OFF
	}
	if !off {
		t.Error("the report does not say that a collector is off")
	}
	m.want(m.once(), Unchanged, false)
	if *m.srv.policyHas != 3 {
		t.Errorf("it says that it has version %d", *m.srv.policyHas)
	}
	st, err := ReadStatus(m.cfg)
	must(t, err)
	if b := st.Policy.Bundle; b == nil || b.Version != 3 || b.Source != fromServer || len(b.Refused) > 0 {
		t.Errorf("status %+v", b)
	}
}

// A server that holds newer policies back, or was taken over, can make a policy
// expire and nothing more: then the configuration of the machine counts alone.
func TestAnExpiredPolicyCountsNoMoreAndIsToldOf(t *testing.T) {
	m := newMachine(t)
	s := newSigner(t, m.srv.realm)
	m.under(s, "2026-07-01")
	m.cfg.Skip = []string{"hostname"}
	m.srv.policy = s.sign(3, "2026-06-01", "skip = dpkg\n")
	m.want(m.once(), Recorded, true)
	m.want(m.once(), Recorded, false, "agent", "pkg")
	m.under(s, "2027-06-01")
	m.want(m.once(), Recorded, false, "agent", "pkg")
	if m.has("agent/policy/state") != BundleExpired || m.has("pkg/cups/version") == "" || m.has("id/hostname") != "" {
		t.Errorf("the server has %v", m.srv.sets)
	}
	m.under(s, "1970-01-01") // the clock's battery is dead: what was accepted was no dream
	m.want(m.once(), Recorded, false, "agent", "pkg")
	if m.has("agent/policy/state") != BundleInForce {
		t.Errorf("facts %v", m.srv.sets["agent"])
	}
}

func TestARefusedPolicyIsToldOfOnce(t *testing.T) {
	m := newMachine(t)
	s, other := newSigner(t, m.srv.realm), newSigner(t, m.srv.realm)
	m.under(s, "2026-07-01")
	m.srv.policy = other.sign(9, "2026-06-01", "skip = etc\n")
	m.want(m.once(), Recorded, true)
	m.want(m.once(), Recorded, false, "agent")
	if got := m.has("agent/policy/refused/server"); got != policy.ErrKey.Error() {
		t.Errorf("facts %v", m.srv.sets["agent"])
	}
	m.want(m.once(), Unchanged, false)
	st, err := ReadStatus(m.cfg)
	must(t, err)
	if st.Policy.Bundle.Refused[fromServer] != policy.ErrKey.Error() {
		t.Errorf("status %+v", st.Policy.Bundle)
	}
	m.srv.policy = s.sign(1, "2026-06-01", "")
	m.want(m.once(), Unchanged, false)
	m.want(m.once(), Recorded, false, "agent")
	if m.has("agent/policy/refused/server") != "" || m.has("agent/policy/version") != "1" {
		t.Errorf("facts %v", m.srv.sets["agent"])
	}
}

func TestAPolicyInAFileCountsFromTheFirstLook(t *testing.T) {
	m := newMachine(t)
	s := newSigner(t, m.srv.realm)
	m.under(s, "2026-07-01")
	m.cfg.PolicyFile = filepath.Join(t.TempDir(), "policy")
	must(t, os.WriteFile(m.cfg.PolicyFile, s.sign(3, "2026-06-01", "skip = dpkg\n"), 0o644))
	m.want(m.once(), Recorded, true)
	if len(m.srv.sets["pkg"]) > 0 || m.has("agent/policy/version") != "3" {
		t.Errorf("the server has %v", m.srv.sets)
	}
	st, err := ReadStatus(m.cfg)
	must(t, err)
	if st.Policy.Bundle.Source != fromFile {
		t.Errorf("status %+v", st.Policy.Bundle)
	}
	// Of two sources the higher version counts, whichever it comes from.
	m.srv.policy = s.sign(4, "2026-06-01", "")
	m.want(m.once(), Unchanged, false)
	m.want(m.once(), Recorded, false, "agent", "pkg")
	if m.has("agent/policy/version") != "4" || !strings.Contains(m.has("agent/policy/refused/file"), errRollback.Error()) {
		t.Errorf("facts %v", m.srv.sets["agent"])
	}
}

func TestOfConfigurationAndPolicyTheNarrowerCounts(t *testing.T) {
	own := Policy{Interval: 2 * time.Hour, WatchEtc: true, Skip: []string{"ports"}, Exclude: []string{"a"}}
	for _, tt := range []struct {
		name string
		by   policy.Policy
		want Policy
	}{
		{"one that says nothing", policy.Policy{WatchEtc: true, Debsums: true}, own},
		{"one that would ask for more", policy.Policy{Interval: time.Minute, WatchEtc: true, Debsums: true}, own},
		{
			"one that takes away",
			policy.Policy{Interval: 6 * time.Hour, Skip: []string{"dpkg", "ports"}, Exclude: []string{"b"}},
			Policy{Interval: 6 * time.Hour, Skip: []string{"dpkg", "ports"}, Exclude: []string{"a", "b"}},
		},
	} {
		got := own.narrowed(tt.by)
		if got.Interval != tt.want.Interval || got.WatchEtc != tt.want.WatchEtc || got.Debsums != tt.want.Debsums ||
			!slices.Equal(got.Skip, tt.want.Skip) || !slices.Equal(got.Exclude, tt.want.Exclude) {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// A crash before a policy is on disk leaves the one before, one after it the new one;
// an older one is refused in either case.
func TestACrashLeavesThePolicyBeforeOrTheNewOne(t *testing.T) {
	realm := []byte("0123456789abcdef")
	s := newSigner(t, realm)
	for step, want := range map[string]int64{"before": 5, "after": 6} {
		c := Config{State: t.TempDir(), PolicyKeys: []string{s.pin()}}
		now := day(t, "2026-07-01")
		b := bundlesOf(c, Enrolment{Realm: realm}, true)
		must(t, b.offer(s.sign(5, "2026-06-01", ""), fromServer, now))
		b.step = func(at string) {
			if at == step {
				panic("crash")
			}
		}
		func() {
			defer func() { _ = recover() }()
			_ = b.offer(s.sign(6, "2026-06-01", ""), fromServer, now)
			t.Errorf("it was not ended %s", step)
		}()
		again := bundlesOf(c, Enrolment{Realm: realm}, true)
		must(t, again.load())
		if again.held.Version != want {
			t.Errorf("ended %s it was kept, version %d is there, want %d", step, again.held.Version, want)
		}
		if err := again.offer(s.sign(4, "2026-06-01", ""), fromServer, now); !errors.Is(err, errRollback) {
			t.Errorf("ended %s it was kept, an older one gives %v", step, err)
		}
		must(t, again.offer(s.sign(7, "2026-06-01", ""), fromServer, now))
	}
}

func TestAPolicyThatCannotBeKeptDoesNotCount(t *testing.T) {
	realm := []byte("0123456789abcdef")
	s := newSigner(t, realm)
	b := bundlesOf(Config{State: filepath.Join(t.TempDir(), "gone"), PolicyKeys: []string{s.pin()}}, Enrolment{Realm: realm}, true)
	if err := b.offer(s.sign(5, "2026-06-01", "skip = etc\n"), fromServer, day(t, "2026-07-01")); !errors.Is(err, errKeep) || b.raw != nil {
		t.Errorf("%v, %+v", err, b.held)
	}
}

// Who has lost a policy key, or whose key was stolen, names another one: versions of
// the old key count for nothing then.
func TestAnotherPolicyKeyBeginsAnew(t *testing.T) {
	m := newMachine(t)
	stolen, s := newSigner(t, m.srv.realm), newSigner(t, m.srv.realm)
	m.under(stolen, "2026-07-01")
	m.srv.policy = stolen.sign(1_000_000, "2026-06-01", "skip = dpkg\n")
	m.want(m.once(), Recorded, true)
	m.want(m.once(), Recorded, false, "agent", "pkg")
	m.under(s, "2026-07-01")
	m.srv.policy = s.sign(1, "2026-06-01", "")
	m.want(m.once(), Recorded, false, "agent", "pkg")
	m.want(m.once(), Recorded, false, "agent")
	if m.has("agent/policy/version") != "1" || m.has("pkg/cups/version") == "" {
		t.Errorf("facts %v", m.srv.sets["agent"])
	}
}

func TestAPolicyAnnouncesTheServersNextKeyWhileItCounts(t *testing.T) {
	m := newMachine(t)
	s := newSigner(t, m.srv.realm)
	next := "sha256:" + strings.Repeat("0a", 32)
	m.under(s, "2026-07-01")
	m.srv.policy = s.sign(1, "2026-06-01", "next_pin = "+next+"\n")
	m.want(m.once(), Recorded, true)
	for at, want := range map[string]bool{"2026-07-01": true, "2027-07-01": false} {
		m.under(s, at)
		a, err := Open(m.cfg, m.deps)
		must(t, err)
		if got := slices.Contains(a.client.Pins, next); got != want {
			t.Errorf("on %s the announced key is believed: %t, want %t", at, got, want)
		}
		must(t, a.Close())
	}
}

// What a server makes of the field for policies changes nothing but what is told.
func TestAHostileServerCannotForgeAPolicy(t *testing.T) {
	m := newMachine(t)
	s := newSigner(t, m.srv.realm)
	m.under(s, "2026-07-01")
	whole := s.sign(5, "2026-06-01", "skip = dpkg\n")
	m.srv.policy = whole
	m.want(m.once(), Recorded, true)
	m.want(m.once(), Recorded, false, "agent", "pkg")
	forger := signer{t, m.srv.key, s.realm} // it has a key, and the machines trust it for much else
	forged := forger.sign(6, "2026-06-01", "")
	swapped := slices.Clone(forged)
	copy(swapped[:len("rollcall policy 1\nkey ")+44], whole)
	for i, b := range [][]byte{
		forged, swapped, s.sign(4, "2026-06-01", ""), whole[:len(whole)-1], append(slices.Clone(whole), "interval = 1m\n"...), make([]byte, 1<<19), []byte("\x1b[31m"),
	} {
		m.srv.policy = b
		m.write("etc/motd", fmt.Sprint(i))
		m.once()
		m.once()
		if m.has("agent/policy/version") != "5" || len(m.srv.sets["pkg"]) > 0 {
			t.Fatalf("forgery %d counts: %v", i, m.srv.sets["agent"])
		}
		if got := m.has("agent/policy/refused/server"); got == "" || got != fact.Value(got) {
			t.Errorf("forgery %d: it tells %q", i, got)
		}
	}
	m.srv.mood = func(*rollcallv1.Body) (*rollcallv1.SubmitReply, error) {
		return nil, status.Error(codes.Unavailable, string(forged))
	}
	m.write("etc/motd", "z")
	m.once()
	if kept, err := os.ReadFile(filepath.Join(m.cfg.State, policyFile)); err != nil || string(kept) != string(whole) {
		t.Errorf("the state folder has another policy: %v\n%s", err, kept)
	}
}

func TestAnInvitationNamesThePolicyKey(t *testing.T) {
	m := installed(t, filepath.Join(t.TempDir(), "state"))
	s := newSigner(t, m.srv.realm)
	must(t, os.MkdirAll(m.cfg.State, 0o700))
	name := filepath.Join(m.cfg.State, invitationFile)
	must(t, os.WriteFile(name, []byte(invitation(t, m.srv.token(t))+"policy_key = "+s.pin()+"\n"), 0o600))
	Accept(t.Context(), m.cfg, "test", slog.New(slog.DiscardHandler), m.deps.Dial)
	e, err := loadEnrolment(m.cfg.State)
	must(t, err)
	if b := bundlesOf(m.cfg, e, true); !slices.Equal(b.keys, []string{s.pin()}) {
		t.Errorf("keys %q", b.keys)
	}
	m.cfg.PolicyKeys = []string{"sha256:" + strings.Repeat("00", 32)}
	if b := bundlesOf(m.cfg, e, true); !slices.Equal(b.keys, m.cfg.PolicyKeys) {
		t.Errorf("with a key in agent.conf: %q", b.keys)
	}
}

func TestAPolicySpacesLooksAndStopsThemAtChanges(t *testing.T) {
	m := newMachine(t)
	s := newSigner(t, m.srv.realm)
	m.under(s, "2026-07-01")
	m.deps.Rand = func(int64) int64 { return 0 }
	m.srv.policy = s.sign(1, "2026-06-01", "interval = 10h\nwatch_etc = no\n")
	a := m.open()
	defer func() { must(t, a.Close()) }()
	changes := make(chan string, 1)
	changes <- "etc"
	if got := a.await(t.Context(), time.Hour, changes); got != "etc" {
		t.Errorf("before it has a policy it waits for %q", got)
	}
	if got := a.cycle(t.Context(), "start"); got != 9*time.Hour {
		t.Errorf("with the policy of its first report the next look is after %s, want ten hours less a tenth", got)
	}
	changes <- "etc"
	if got := a.await(t.Context(), time.Millisecond, changes); got != "" {
		t.Errorf("it looks because of %q", got)
	}
	m.cfg.Interval = 20 * time.Hour // what is longer in agent.conf stays
	must(t, a.Close())
	a = m.open()
	if got := a.cycle(t.Context(), "interval"); got != 18*time.Hour {
		t.Errorf("the next look is after %s, want 20 hours less a tenth", got)
	}
}

// A machine that keeps nothing takes the policy of its image, and no other.
func TestASeatTakesThePolicyOfItsImageAlone(t *testing.T) {
	m := installed(t, filepath.Join(t.TempDir(), "state"))
	s := newSigner(t, m.srv.realm)
	m.under(s, "2026-07-01")
	m.cfg.PolicyFile = filepath.Join(t.TempDir(), "policy")
	must(t, os.WriteFile(m.cfg.PolicyFile, s.sign(3, "2026-06-01", "skip = dpkg\n"), 0o644))
	token := m.srv.token(t)
	token.Public = true
	m.deps.Seat = &Seat{Token: token}
	m.srv.policy = s.sign(4, "2026-06-01", "skip = etc\n")
	a := m.open()
	sum, err := a.Boot(t.Context(), "boot")
	must(t, errors.Join(err, a.Close()))
	if sum.Outcome != Recorded || len(m.srv.sets["pkg"]) > 0 || m.has("etc/motd") == "" || m.has("agent/policy/version") != "3" {
		t.Errorf("%s, the server has %v", sum.Outcome, m.srv.sets)
	}
	if m.srv.policyHas != nil {
		t.Error("it asked the server for one")
	}
	if _, err := os.Stat(m.cfg.State); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it made a state folder: %v", err)
	}
}
