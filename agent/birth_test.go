package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

func TestWhichEvidenceMakesAnotherMachine(t *testing.T) {
	body := func(uuid, board string, macs ...string) fact.Set {
		var facts []fact.Fact
		for _, f := range []fact.Fact{{Path: "id/uuid", Value: uuid}, {Path: "id/serial/board", Value: board}} {
			if f.Value != "" {
				facts = append(facts, f)
			}
		}
		for _, m := range macs {
			name, mac, _ := strings.Cut(m, "=")
			facts = append(facts, fact.Fact{Path: "net/" + name + "/permanent", Value: mac})
		}
		return fact.NewSet(facts)
	}
	with := func(s fact.Set, path, value string) fact.Set {
		return fact.NewSet(append(s, fact.Fact{Path: path, Value: value}))
	}
	here := body("uuid-1", "board-1", "eth0=52:54:00:00:00:01", "wlan0=52:54:00:00:00:02")
	tests := []struct {
		name     string
		was, now fact.Set
		other    bool
	}{
		{"itself", here, here, false},
		{"another network card", here, body("uuid-1", "board-1", "eth0=52:54:00:00:00:99"), false},
		{"no network card yet", here, body("uuid-1", "board-1"), false},
		{"firmware made up a new UUID", here, body("uuid-2", "board-1", "eth0=52:54:00:00:00:01"), false},
		{"firmware tells nothing any more", here, body("", "", "eth0=52:54:00:00:00:01"), false},
		{"nothing is known any more", here, body("", ""), false},
		{"nothing was known", body("", ""), here, false},
		{"another mainboard under one of its cards", here, body("uuid-2", "board-2", "eth0=52:54:00:00:00:01"), false},
		{"letters in another case", body("ABC", "board-1"), body("abc", "BOARD-1"), false},
		{"a clone", here, body("uuid-2", "board-2", "eth0=52:54:00:00:00:99"), true},
		{"a clone without a network", here, body("uuid-2", "board-2"), true},
		{"a clone of a virtual machine, which has no board number", body("uuid-1", "", "eth0=52:54:00:00:00:01"), body("uuid-2", "", "eth0=52:54:00:00:00:99"), true},
		{"a clone that was made over the same USB card", body("uuid-1", "board-1", "enx1=52:54:00:00:00:07"), body("uuid-2", "board-2", "enx1=52:54:00:00:00:07"), true},
		{"a clone that was made on the same dock", with(body("uuid-1", "board-1", "eth1=52:54:00:00:00:07"), "net/eth1/device", "usb 2-1"), with(body("uuid-2", "board-2", "eth1=52:54:00:00:00:07"), "net/eth1/device", "usb 2-1"), true},
		{"a container that moved to another host", with(body("uuid-1", "board-1"), "id/boot", "container"), with(body("uuid-2", "board-2"), "id/boot", "container"), false},
		{"a container that an earlier version knew by its host", body("uuid-1", "board-1"), with(body("uuid-2", "board-2"), "id/boot", "container"), false},
		{"one kind of evidence differs and there is no other", body("uuid-1", ""), body("uuid-2", ""), false},
		{"only cards are known, and all are new", body("", "", "eth0=52:54:00:00:00:01"), body("", "", "eth0=52:54:00:00:00:99"), false},
	}
	for _, tt := range tests {
		salt := []byte("salt")
		if other, differ, _ := observe(salt, tt.was).compare(observe(salt, tt.now)); other != tt.other {
			t.Errorf("%s: another machine %v (%q), want %v", tt.name, other, differ, tt.other)
		}
	}
}

// hardware gives the recorded machine a UUID and a board.
func (m *machine) hardware(uuid, board string) {
	m.t.Helper()
	m.write("sys/class/dmi/id/product_uuid", uuid+"\n")
	m.write("sys/class/dmi/id/board_serial", board+"\n")
}

const (
	uuidOne = "4c4c4544-0043-5910-8048-b7c04f4d3232"
	uuidTwo = "4c4c4544-0043-5910-8048-b7c04f4d9999"
)

func TestAClonedDiskDoesNotUseTheKeyAndIsEnrolledAnew(t *testing.T) {
	m := newMachine(t)
	m.hardware(uuidOne, "CN129636BR0017")
	must(t, os.Remove(filepath.Join(m.cfg.State, birthFile))) // as an earlier version left it
	m.wantSpeaks("the original", Recorded)
	old := m.known()
	m.hardware(uuidTwo, "CN129636BR9999")
	m.write("etc/motd", "a clone\n")
	sent := len(m.srv.reports)
	a, err := Open(m.cfg, m.deps)
	must(t, err)
	for what, do := range map[string]func() error{
		"once":   func() error { _, err := a.Once(t.Context(), "test"); return err },
		"run":    func() error { return a.Run(t.Context()) },
		"rotate": func() error { _, err := a.Rotate(t.Context()); return err },
	} {
		if err := do(); !errors.Is(err, ErrElsewhere) {
			t.Errorf("%s: %v, want ErrElsewhere", what, err)
		}
	}
	must(t, a.Close())
	if len(m.srv.reports) != sent {
		t.Error("a report was sent with the key of another machine")
	}
	_, err = Enrol(t.Context(), m.cfg, "test", m.srv.token(t), m.deps.Dial)
	must(t, err)
	if m.known() == old {
		t.Error("the clone enrolled with the key of the original")
	}
	m.srv.head, m.srv.seq, m.srv.receipts = [32]byte{}, 0, map[[32]byte][]byte{} // another CI
	m.wantSpeaks("the clone, enrolled anew", Recorded)
	if rep := m.srv.reports[len(m.srv.reports)-1]; !rep.GetFull() {
		t.Error("its first report is not full")
	}
}

func TestAPlaceholderIsNoEvidence(t *testing.T) {
	m := newMachine(t)
	m.hardware("03000200-0400-0500-0006-000700080009", "To be filled by O.E.M.")
	must(t, os.Remove(filepath.Join(m.cfg.State, birthFile)))
	m.wantSpeaks("a board without numbers", Recorded)
	m.hardware("12345678-1234-5678-90ab-cddeefaabbcc", "Default string")
	m.wantSpeaks("and another", Unchanged)
}

func TestAMachineLearnsWhatIsNewOnIt(t *testing.T) {
	m := newMachine(t)
	m.hardware(uuidOne, "CN129636BR0017")
	must(t, os.Remove(filepath.Join(m.cfg.State, birthFile)))
	m.wantSpeaks("as it was", Recorded)
	m.hardware(uuidTwo, "CN129636BR0017") // a new UUID
	must(t, checkBirth(t.Context(), m.cfg))
	m.hardware(uuidTwo, "CN129636BR9999") // later a new board number
	must(t, checkBirth(t.Context(), m.cfg))
	m.hardware(uuidOne, "CN129636BR0017") // nothing is left of it now
	if err := checkBirth(t.Context(), m.cfg); !errors.Is(err, ErrElsewhere) {
		t.Errorf("%v, want ErrElsewhere", err)
	}
	b, err := os.ReadFile(filepath.Join(m.cfg.State, birthFile))
	must(t, err)
	if strings.Contains(string(b), "CN129636") || strings.Contains(string(b), uuidOne) {
		t.Error("the file tells a serial number")
	}
}
