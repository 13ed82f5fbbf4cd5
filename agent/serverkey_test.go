package agent

import (
	"errors"
	"strings"
	"testing"

	"rollcall/internal/identity"
)

// switchKey gives the server another key, on another port: its chain and its
// realm stay.
func (m *machine) switchKey() (pin string, old *fakeServer) {
	m.t.Helper()
	next := startServer(m.t)
	old = m.srv
	old.mu.Lock()
	defer old.mu.Unlock()
	next.head, next.seq, next.sets, next.contents, next.receipts = old.head, old.seq, old.sets, old.contents, old.receipts
	pin, err := identity.PinOf(identity.Public(next.key))
	must(m.t, err)
	m.srv = next
	return pin, old
}

// at lets the machine find a server at the address that it knows.
func (m *machine) at(s *fakeServer) {
	m.t.Helper()
	e, err := loadEnrolment(m.cfg.State)
	must(m.t, err)
	e.Addresses = []string{s.address}
	must(m.t, saveJSON(m.cfg.State+"/"+serverFile, e))
	m.deps.Dial = s.dial()
}

func TestAnAnnouncedServerKeyIsBelievedAndTheOldOneNeverAgain(t *testing.T) {
	m := newMachine(t)
	m.wantSpeaks("before", Recorded)
	pin, old := m.switchKey()
	m.at(m.srv)
	m.write("etc/motd", "after the switch\n")

	stopped := m.once()
	if stopped.Outcome != Spooled || !strings.Contains(stopped.Problem, identity.ErrPin.Error()) {
		t.Errorf("a key that nobody announced: %s, %q", stopped.Outcome, stopped.Problem)
	}
	m.cfg.NextPin = pin
	must(t, m.cfg.Validate())
	m.wantSpeaks("an announced key", Unchanged) // what waited went before
	if rep := m.srv.reports[len(m.srv.reports)-1]; rep.GetFull() || len(m.srv.reports) != 1 {
		t.Errorf("%d reports came, the last one full %v", len(m.srv.reports), rep.GetFull())
	}
	e, err := loadEnrolment(m.cfg.State)
	must(t, err)
	if len(e.Pins) != 1 || e.Pins[0] != pin || !e.Server.Equal(identity.Public(m.srv.key)) || string(e.Realm) != string(identity.RealmOf(identity.Public(old.key))) {
		t.Errorf("it remembers pins %q", e.Pins)
	}
	m.at(old)
	m.write("etc/motd", "the old key is back\n")
	if sum := m.once(); sum.Outcome != Spooled || !strings.Contains(sum.Problem, identity.ErrPin.Error()) {
		t.Errorf("the old key: %s, %q", sum.Outcome, sum.Problem)
	}
}

func TestATokenOfTheSameInstallationLeadsToItsNewKey(t *testing.T) {
	m := newMachine(t)
	m.wantSpeaks("before", Recorded)
	_, old := m.switchKey()
	token := m.srv.token(t)
	if _, err := Enrol(t.Context(), m.cfg, "test", token, m.srv.dial()); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("a token that founds a realm of its own: %v", err)
	}
	token.Realm = identity.RealmOf(identity.Public(old.key))
	m.srv.realm = token.Realm
	if _, err := Enrol(t.Context(), m.cfg, "test", token, m.srv.dial()); err != nil {
		t.Errorf("a token that names the realm: %v", err)
	}
}

func TestANextPinIsAPin(t *testing.T) {
	for pin, ok := range map[string]bool{
		"": true, "sha256:" + strings.Repeat("0a", 32): true, "sha256:" + strings.Repeat("0A", 32): false, strings.Repeat("0a", 32): false, "sha256:0a": false,
	} {
		c := Default()
		c.NextPin = pin
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("next_pin %q: %v", pin, errors.Unwrap(err))
		}
	}
}
