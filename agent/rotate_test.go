package agent

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"rollcall/internal/identity"
)

// known makes the server hold this machine's key to be the one that is enrolled.
func (m *machine) known() identity.KeyID {
	m.t.Helper()
	key, err := identity.LoadKey(filepath.Join(m.cfg.State, keyFile))
	must(m.t, err)
	m.srv.mu.Lock()
	defer m.srv.mu.Unlock()
	m.srv.speaks = identity.IDOf(identity.Public(key))
	return m.srv.speaks
}

// wantSpeaks opens the agent again and wants that it reports, with which outcome.
func (m *machine) wantSpeaks(what string, want Outcome) {
	m.t.Helper()
	a, err := Open(m.cfg, m.deps)
	must(m.t, err)
	sum, err := a.Once(m.t.Context(), "test")
	if err = errors.Join(err, a.Close()); err != nil || sum.Outcome != want || sum.Problem != "" {
		m.t.Errorf("%s: %s, %q, %v, want %s", what, sum.Outcome, sum.Problem, err, want)
	}
}

func TestARotatedKeySpeaksAndGoesOnWithTheChain(t *testing.T) {
	m := newMachine(t)
	old := m.known()
	m.wantSpeaks("before", Recorded)
	a, err := Open(m.cfg, m.deps)
	must(t, err)
	m.write("etc/motd", "waits\n")
	m.srv.setAway(true)
	if sum, err := a.Once(t.Context(), "test"); err != nil || sum.Outcome != Spooled {
		t.Fatalf("%s, %v", sum.Outcome, err)
	}
	if _, err := a.Rotate(t.Context()); !errors.Is(err, ErrWaiting) {
		t.Errorf("while a report waits and the server is away: %v, want ErrWaiting", err)
	}
	m.srv.setAway(false)
	words, err := a.Rotate(t.Context())
	must(t, errors.Join(err, a.Close()))
	if m.srv.speaks == old || words == "" || len(m.srv.knows) != 1 {
		t.Errorf("the server knows key %s, words %q", m.srv.speaks, words)
	}
	if n := len(m.srv.reports); n != 2 {
		t.Errorf("%d reports came before the switch, want what waited too", n)
	}
	m.wantSpeaks("unchanged", Unchanged)
	m.write("etc/motd", "after\n")
	m.wantSpeaks("after", Recorded) // the server complains if it does not continue the chain
	if rep := m.srv.reports[len(m.srv.reports)-1]; rep.GetFull() {
		t.Error("a full report was needed")
	}
}

// stopped is what a rotation ends with where the machine loses power.
type stopped struct{ at string }

func TestARotationThatIsCutOffLeavesOneKeyThatWorks(t *testing.T) {
	for _, at := range []string{"made", "lost answer", "told", "kept", "taken"} {
		t.Run(at, func(t *testing.T) {
			m := newMachine(t)
			m.known()
			m.wantSpeaks("before", Recorded)
			a, err := Open(m.cfg, m.deps)
			must(t, err)
			a.step = func(step string) {
				if step == at {
					panic(stopped{at})
				}
			}
			if at == "lost answer" {
				m.srv.lose = func() error { return status.Error(codes.Unavailable, "gone") }
			}
			func() {
				defer func() {
					if v := recover(); v != nil && v != (stopped{at}) {
						panic(v)
					}
				}()
				if _, err := a.Rotate(t.Context()); err == nil {
					t.Fatal("it was not cut off")
				}
			}()
			must(t, a.Close())
			m.wantSpeaks("the next run", Unchanged)
			m.write("etc/motd", "changed\n")
			m.wantSpeaks("and a report", Recorded)
			a, err = Open(m.cfg, m.deps)
			must(t, err)
			if _, err := a.Rotate(t.Context()); err != nil {
				t.Errorf("the next rotation: %v", err)
			}
			must(t, a.Close())
			m.wantSpeaks("the end", Unchanged)
		})
	}
}

// Reports that were made after the server had switched, and before the agent knew.
func TestReportsOfTheOldKeyAfterTheSwitchBecomeAFullOne(t *testing.T) {
	m := newMachine(t)
	m.known()
	m.wantSpeaks("before", Recorded)
	a, err := Open(m.cfg, m.deps)
	must(t, err)
	m.srv.lose = func() error { m.srv.away = true; return status.Error(codes.Unavailable, "gone") }
	if _, err := a.Rotate(t.Context()); err == nil {
		t.Fatal("it was not cut off")
	}
	m.write("etc/motd", "while the server is away\n")
	if sum, err := a.Once(t.Context(), "test"); err != nil || sum.Outcome != Spooled {
		t.Fatalf("%s, %v", sum.Outcome, err)
	}
	m.srv.setAway(false)
	sum, err := a.Once(t.Context(), "test")
	if err = errors.Join(err, a.Close()); err != nil || sum.Outcome != Recorded || !sum.Full {
		t.Errorf("%s, full %v, %q, %v", sum.Outcome, sum.Full, sum.Problem, err)
	}
}

func TestAServerThatLostTheRotationIsToldAgain(t *testing.T) {
	m := newMachine(t)
	old := m.known()
	m.wantSpeaks("before", Recorded)
	a, err := Open(m.cfg, m.deps)
	must(t, err)
	_, err = a.Rotate(t.Context())
	must(t, errors.Join(err, a.Close()))
	m.srv.speaks = old // as after a restore from a backup
	m.write("etc/motd", "after\n")
	m.wantSpeaks("after", Recorded)
	if len(m.srv.knows) != 2 || !bytes.Equal(m.srv.knows[0], m.srv.knows[1]) {
		t.Errorf("%d statements came", len(m.srv.knows))
	}
}

func TestAKeyIsReplacedOnceAYearAndWhenAsked(t *testing.T) {
	m := newMachine(t)
	m.known()
	a, err := Open(m.cfg, m.deps)
	must(t, err)
	defer a.Close()
	name := filepath.Join(m.cfg.State, keyFile)
	for _, tt := range []struct {
		what    string
		age     time.Duration
		ask     bool
		rotates bool
	}{
		{"new", 0, false, false},
		{"364 days old", 364 * 24 * time.Hour, false, false},
		{"400 days old", 400 * 24 * time.Hour, false, true},
		{"asked", 0, true, true},
		{"from the future", -400 * 24 * time.Hour, false, false},
	} {
		before := m.srv.speaks
		made := time.Now().Add(-tt.age)
		must(t, os.Chtimes(name, made, made))
		if tt.ask {
			must(t, AskRotation(m.cfg))
		}
		a.cycle(t.Context(), "test")
		if rotated := m.srv.speaks != before; rotated != tt.rotates {
			t.Errorf("a key that is %s: replaced %v, want %v", tt.what, rotated, tt.rotates)
		}
	}
	if _, err := os.Stat(filepath.Join(m.cfg.State, rotateFile)); err == nil {
		t.Error("it is asked for for ever")
	}
}
