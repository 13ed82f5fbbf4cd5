package agent

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/identity"
)

// invited is what Accept logged about an invitation; it is told to stop at the
// first word that it would wait after.
func invited(t *testing.T, m *machine, text string) (logged string, left bool) {
	t.Helper()
	must(t, makeState(m.cfg.State))
	file := filepath.Join(m.cfg.State, invitationFile)
	must(t, os.WriteFile(file, []byte(text), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var b bytes.Buffer
	Accept(ctx, m.cfg, "test", slog.New(stopper{slog.NewTextHandler(&b, nil), cancel}), m.deps.Dial)
	_, err := os.Stat(file)
	return b.String(), err == nil
}

// stopper ends what it hears a warning from.
type stopper struct {
	slog.Handler
	stop func()
}

func (s stopper) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		s.stop()
	}
	return s.Handler.Handle(ctx, r)
}

func invitation(t *testing.T, token identity.Token) string {
	t.Helper()
	text, err := token.Encode(identity.EnrolPrefix)
	must(t, err)
	return "token = " + strings.TrimSpace(text) + "\n"
}

func TestAnInvitationEnrolsOnceAndIsRemoved(t *testing.T) {
	m := installed(t, filepath.Join(t.TempDir(), "state"))
	token := m.srv.token(t)
	token.URLs = []string{"127.0.0.1:1"} // not from here
	logged, left := invited(t, m, invitation(t, token)+"server = "+m.srv.address+"\n")
	e, err := loadEnrolment(m.cfg.State)
	if err != nil || left || e.CI != "ci-1" || len(e.Addresses) != 1 || e.Addresses[0] != m.srv.address {
		t.Fatalf("left %v, %v, %+v\n%s", left, err, e, logged)
	}
	Accept(t.Context(), m.cfg, "test", slog.New(slog.DiscardHandler), nil) // no file: no network
}

func TestAnInvitationStaysUntilTheMachineIsAdmitted(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*fakeServer, *identity.Token)
		want   string
	}{
		"server away":        {func(s *fakeServer, _ *identity.Token) { s.away = true }, "cannot be reached"},
		"waits for a person": {func(s *fakeServer, _ *identity.Token) { s.pending = true }, "an operator has to approve"},
		"another server":     {func(_ *fakeServer, k *identity.Token) { k.Pins = []string{"sha256:00"} }, identity.ErrPin.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			m := installed(t, filepath.Join(t.TempDir(), "state"))
			token := m.srv.token(t)
			tt.change(m.srv, &token)
			if logged, left := invited(t, m, invitation(t, token)); !left || !strings.Contains(logged, tt.want) {
				t.Errorf("left %v, want %q in\n%s", left, tt.want, logged)
			}
		})
	}
}

func TestABadInvitationShowsNothingOfTheTokenAndStopsNoEnrolledAgent(t *testing.T) {
	good := installed(t, filepath.Join(t.TempDir(), "state"))
	text := invitation(t, good.srv.token(t))
	for name, bad := range map[string]string{
		"no key":      strings.TrimPrefix(text, "token = "),
		"cut short":   text[:len(text)-6] + "\n",
		"unknown key": text + "servre = x:1\n",
		"no token":    "server = x:1\n",
		"twice":       text + text,
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			logged, left := invited(t, m, bad) // comes back without being stopped: see Accept
			if !left || !strings.Contains(logged, "could not be enrolled") || strings.Contains(logged, text[20:40]) {
				t.Errorf("left %v\n%s", left, logged)
			}
		})
	}
	m := newMachine(t)
	must(t, os.WriteFile(filepath.Join(m.cfg.State, invitationFile), []byte(text), 0o644))
	var b bytes.Buffer
	Accept(t.Context(), m.cfg, "test", slog.New(slog.NewTextHandler(&b, nil)), m.deps.Dial)
	if !strings.Contains(b.String(), "lets others in") {
		t.Errorf("a file that others can read: %s", b.String())
	}
}

// FuzzInvitation: whoever can write the file is root already; a half-written one
// must still be an error and no crash.
func FuzzInvitation(f *testing.F) {
	f.Add([]byte("token = rc1.e30.00\nserver = tjener.intern:7465\n"))
	f.Add([]byte("token ="))
	f.Fuzz(func(t *testing.T, raw []byte) {
		token, err := new(Invitation).read(raw)
		if err == nil && (len(token.URLs) == 0 || len(token.Pins) == 0) {
			t.Errorf("leads nowhere: %+v", token)
		}
	})
}
