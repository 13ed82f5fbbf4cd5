package archtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// unitLimit is the exposure that a unit may have, of 10 (systemd-analyze(1)).
// An empty unit has 9.6.
const unitLimit = 2.0

var exposure = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

var ourProgram = regexp.MustCompile(`/usr/bin/rollcall-[a-z]+`)

// The unit of seats may do what the service may: what is taken away from one is taken
// away from the other.
func TestTheUnitOfSeatsIsShutInAsTheServiceIs(t *testing.T) {
	fence := func(name string) string {
		text, err := os.ReadFile("../../packaging/" + name)
		if err != nil {
			t.Fatal(err)
		}
		_, from, ok := strings.Cut(string(text), "\n# Light.\n")
		if !ok {
			t.Fatalf("%s has no line \"# Light.\", below which it is shut in", name)
		}
		return from
	}
	if seat, service := fence("rollcall-agent-seat.service"), fence("rollcall-agent.service"); seat != service {
		t.Errorf("rollcall-agent-seat.service is shut in by\n%s\nand rollcall-agent.service by\n%s", seat, service)
	}
}

func TestUnitsAreShutIn(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	units, err := filepath.Glob("../../packaging/*.service")
	if err != nil || len(units) < 3 {
		t.Fatalf("units: %v, %v", units, err)
	}
	for _, unit := range units {
		if score := scored(t, unit); score > unitLimit {
			t.Errorf("%s: exposure %.1f, more than %.1f; see systemd-analyze security --offline=true %s", unit, score, unitLimit, unit)
		}
		verified(t, unit)
	}
	empty := filepath.Join(t.TempDir(), "empty.service") // the score can fail
	if err := os.WriteFile(empty, []byte("[Service]\nExecStart=/bin/true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if score := scored(t, empty); score <= unitLimit {
		t.Errorf("an empty unit scores %.1f", score)
	}
}

func scored(t *testing.T, unit string) float64 {
	t.Helper()
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", unit).CombinedOutput()
	found := exposure.FindSubmatch(out)
	if found == nil {
		t.Fatalf("systemd-analyze security %s: %v\n%s", unit, err, out)
	}
	score, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return score
}

// verified lets systemd read the unit: a misspelt setting is only ignored when
// the unit runs. The program and its user need not be here.
func verified(t *testing.T, unit string) {
	t.Helper()
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), filepath.Base(unit))
	if err := os.WriteFile(copied, ourProgram.ReplaceAll(text, []byte("/usr/bin/true")), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", copied).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify %s: %v\n%s", unit, err, out)
	}
}
