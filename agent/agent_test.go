package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"rollcall/agent/collect"
	"rollcall/agent/spool"
	"rollcall/agent/uplink"
	"rollcall/internal/conf"
	"rollcall/internal/fact"
	"rollcall/internal/faultfs"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func TestMain(m *testing.M) {
	faultfs.Main()
	goleak.VerifyTestMain(m)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// machine is a recorded machine with an agent of its own.
type machine struct {
	t    *testing.T
	cfg  Config
	srv  *fakeServer
	deps Deps
}

func (m *machine) write(name, content string) {
	m.t.Helper()
	full := filepath.Join(m.cfg.Root, name)
	must(m.t, os.MkdirAll(filepath.Dir(full), 0o755))
	must(m.t, os.WriteFile(full, []byte(content), 0o644))
}

func (m *machine) packages(version string) {
	m.t.Helper()
	m.write("var/lib/dpkg/status", fmt.Sprintf("Package: cups\nStatus: install ok installed\nArchitecture: all\nVersion: %s\n\n", version))
}

func (m *machine) open() *Agent {
	m.t.Helper()
	a, err := Open(m.cfg, m.deps)
	must(m.t, err)
	return a
}

// once is what `rollcall-agent once` does: a new process each time.
func (m *machine) once() Summary {
	m.t.Helper()
	a := m.open()
	sum, err := a.Once(m.t.Context(), "manual")
	must(m.t, errors.Join(err, a.Close()))
	return sum
}

func (m *machine) want(sum Summary, outcome Outcome, full bool, sections ...string) {
	m.t.Helper()
	if sum.Outcome != outcome || sum.Full != full {
		m.t.Fatalf("outcome %s, full %v (%s); want %s, %v", sum.Outcome, sum.Full, sum.Problem, outcome, full)
	}
	for _, s := range sections {
		if _, ok := sum.Changed[s]; !ok || len(sum.Changed) != len(sections) {
			m.t.Errorf("changed %v, want %v", sum.Changed, sections)
		}
	}
}

func TestFirstAFullReportThenTicksThenOneDeltaForEachChange(t *testing.T) {
	m := newMachine(t)
	m.want(m.once(), Recorded, true)
	if v, _ := m.srv.sets["pkg"].Get("pkg/cups/version"); v != "1.0" {
		t.Errorf("pkg/cups/version = %q in %v", v, m.srv.sets["pkg"])
	}
	for range 5 {
		sum := m.once()
		m.want(sum, Unchanged, false)
		if sum.Envelope > 700 {
			t.Errorf("a tick has %d bytes", sum.Envelope)
		}
	}
	m.write("etc/motd", "changed\n")
	m.want(m.once(), Recorded, false, "etc")
	m.packages("1.1")
	m.want(m.once(), Recorded, false, "pkg")
	if len(m.srv.reports) != 3 || m.srv.ticks != 5 {
		t.Errorf("the server has %d reports and %d ticks, want 3 and 5", len(m.srv.reports), m.srv.ticks)
	}
	motd, _ := m.srv.sets["etc"].Get("etc/motd")
	f, err := fact.ParseFile(motd)
	must(t, err)
	if string(m.srv.contents[f.Digest]) != "changed\n" {
		t.Errorf("content of motd is %q", m.srv.contents[f.Digest])
	}
}

func TestIdleMeansIdle(t *testing.T) {
	m := newMachine(t)
	m.want(m.once(), Recorded, true)
	a := m.open()
	for range 100 {
		sum, err := a.Once(t.Context(), "interval")
		must(t, err)
		m.want(sum, Unchanged, false)
	}
	must(t, a.Close())
	if len(m.srv.reports) != 1 {
		t.Errorf("%d reports, want 1", len(m.srv.reports))
	}
}

func TestChangesStackWhileTheServerIsAwayAndArriveInOrder(t *testing.T) {
	m := newMachine(t)
	m.want(m.once(), Recorded, true)
	m.srv.setAway(true)
	for i := range 4 {
		m.write("etc/motd", fmt.Sprint("version ", i))
		sum := m.once()
		m.want(sum, Spooled, false, "etc")
		if !strings.Contains(sum.Problem, "no route to host") {
			t.Errorf("problem is %q", sum.Problem)
		}
	}
	m.want(m.once(), Unchanged, false) // against what waits, not against what is acknowledged
	m.srv.setAway(false)
	m.want(m.once(), Unchanged, false)
	if len(m.srv.reports) != 5 {
		t.Errorf("%d reports arrived, want 5", len(m.srv.reports))
	}
	for i := range 4 {
		if d := sha(fmt.Sprint("version ", i)); m.srv.contents[d] == nil {
			t.Errorf("version %d of the file is lost", i)
		}
	}
}

func TestAFirstReportWithoutServerKeepsItsContents(t *testing.T) {
	m := newMachine(t)
	m.srv.setAway(true)
	sum := m.once()
	m.want(sum, Spooled, true)
	if sum.Contents == 0 {
		t.Error("no contents are kept")
	}
	m.write("etc/motd", "second\n")
	m.want(m.once(), Spooled, false, "etc")
	m.srv.setAway(false)
	m.want(m.once(), Unchanged, false)
	for _, text := range []string{"hello\n", "second\n"} {
		if m.srv.contents[sha(text)] == nil {
			t.Errorf("the content %q is lost", text)
		}
	}
}

func TestWhatAFailedCollectorMissedIsNotGone(t *testing.T) {
	m := newMachine(t)
	fail := false
	m.deps.Collectors = []collect.Collector{{Name: "disk", Owns: []string{"hw/disk/"}, Collect: func(_ context.Context, _ collect.Host, s *collect.Sink) error {
		s.Fact("hw/disk/sda/model", "A")
		if fail {
			return errors.New("bus error")
		}
		s.Fact("hw/disk/sdb/model", "B")
		return nil
	}}}
	m.want(m.once(), Recorded, true)
	fail = true
	m.want(m.once(), Unchanged, false)
	fail = false
	m.want(m.once(), Unchanged, false)
	if v, ok := m.srv.sets["hw"].Get("hw/disk/sdb/model"); !ok || v != "B" {
		t.Error("a disk was reported as gone")
	}
}

func TestTheServerCanAskForEverythingAgain(t *testing.T) {
	needFull := func(*rollcallv1.Body) (*rollcallv1.SubmitReply, error) {
		return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_NEED_FULL}, nil
	}
	m := newMachine(t)
	m.want(m.once(), Recorded, true)
	m.srv.mood = needFull
	m.want(m.once(), Recorded, true) // instead of a tick
	m.srv.mood = needFull
	m.write("etc/motd", "x")
	m.want(m.once(), Recorded, true) // instead of a delta
	m.srv.mood = func(*rollcallv1.Body) (*rollcallv1.SubmitReply, error) {
		return nil, status.Error(codes.InvalidArgument, "malformed")
	}
	m.write("etc/motd", "y")
	m.want(m.once(), Recorded, true)
	m.want(m.once(), Unchanged, false)
	if r := m.srv.reports[len(m.srv.reports)-1].GetReason(); !strings.Contains(r, "rejected") {
		t.Errorf("reason is %q", r)
	}
}

func TestAQuarantineIsSaidLoudlyAndKeepsWhatWaits(t *testing.T) {
	m := newMachine(t)
	m.want(m.once(), Recorded, true)
	m.write("etc/motd", "x")
	m.srv.mood = func(*rollcallv1.Body) (*rollcallv1.SubmitReply, error) {
		return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_QUARANTINED, RetryAfterS: 3600}, nil
	}
	sum := m.once()
	m.want(sum, Spooled, false, "etc")
	if !strings.Contains(sum.Problem, "two places") || sum.retry != time.Hour {
		t.Errorf("problem %q, retry %v", sum.Problem, sum.retry)
	}
	st, err := ReadStatus(m.cfg)
	must(t, err)
	if st.Spool.Waiting != 1 || st.Last.Problem == "" || st.Words == "" || !st.Enrolled || st.CI != "ci-1" {
		t.Errorf("status %+v", st)
	}
}

// The server asks for a content that was too large for the spool and has changed
// since: a full report with what is there now follows.
func TestAContentThatIsGoneLeadsToAFullReport(t *testing.T) {
	m := newMachine(t)
	m.want(m.once(), Recorded, true)
	m.cfg.SpoolSize = 1 // nothing but the envelope
	m.srv.setAway(true)
	m.write("etc/motd", "short-lived\n")
	m.want(m.once(), Spooled, false)
	m.write("etc/motd", "lasting\n")
	m.srv.setAway(false)
	m.want(m.once(), Recorded, true)
	v, _ := m.srv.sets["etc"].Get("etc/motd")
	if f, err := fact.ParseFile(v); err != nil || string(m.srv.contents[f.Digest]) != "lasting\n" {
		t.Errorf("the server has %q of motd", v)
	}
}

func TestSecretsNeverLeaveInClear(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	must(t, err)
	for _, recipients := range [][]string{nil, {id.Recipient().String()}} {
		m := newMachine(t)
		m.cfg.Recipients = recipients
		m.want(m.once(), Recorded, true)
		m.want(m.once(), Unchanged, false)
		m.write("etc/shadow", "root:canary-other:19000:0:99999:7:::\n")
		sum := m.once()
		m.want(sum, Recorded, false, "etc")
		if (sum.Withheld > 0) != (recipients == nil) {
			t.Errorf("with %d recipients %d secrets are withheld", len(recipients), sum.Withheld)
		}
		if bytes.Contains(m.srv.got.Bytes(), []byte("canary")) {
			t.Errorf("with %d recipients the server got a secret", len(recipients))
		}
		must(t, filepath.WalkDir(m.cfg.State, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(name)
			if bytes.Contains(b, []byte("canary")) {
				t.Errorf("%s holds a secret", name)
			}
			if info, _ := d.Info(); info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", name, info.Mode())
			}
			return err
		}))
	}
}

// A file that may not be read keeps its fact; one beside it that was deleted
// goes all the same.
func TestAFileThatMayNotBeReadHidesNoDeletion(t *testing.T) {
	m := newMachine(t)
	m.write("etc/closed", "x")
	m.write("etc/doomed", "y")
	m.want(m.once(), Recorded, true)
	if os.Getuid() == 0 {
		t.Log("root may read everything: only the deletion is checked")
	}
	must(t, os.Chmod(filepath.Join(m.cfg.Root, "etc/closed"), 0))
	must(t, os.Remove(filepath.Join(m.cfg.Root, "etc/doomed")))
	m.want(m.once(), Recorded, false, "etc")
	if _, there := m.srv.sets["etc"].Get("etc/closed"); !there {
		t.Error("a file that may not be read was reported as gone")
	}
	if _, there := m.srv.sets["etc"].Get("etc/doomed"); there {
		t.Error("a deleted file is still there")
	}
}

func TestADisklessMachineKeepsItsReportsInMemory(t *testing.T) {
	m := newMachine(t)
	m.cfg.InMemory = true
	a := m.open()
	look := func() Summary {
		t.Helper()
		sum, err := a.Once(t.Context(), "interval")
		must(t, err)
		return sum
	}
	m.want(look(), Recorded, true)
	m.srv.setAway(true)
	m.write("etc/motd", "offline")
	m.want(look(), Spooled, false, "etc")
	m.srv.setAway(false)
	m.want(look(), Unchanged, false)
	must(t, a.Close())
	for _, name := range []string{spoolDir, sealedDir, etcCacheFile, memoryFile, fingerprintFile} {
		if _, err := os.Stat(filepath.Join(m.cfg.State, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is on disk (%v)", name, err)
		}
	}
	if len(m.srv.reports) != 2 {
		t.Errorf("%d reports, want 2", len(m.srv.reports))
	}
}

func TestADryRunLeavesNoTraceAndNeedsNoEnrolment(t *testing.T) {
	m := newMachine(t)
	m.cfg.State = filepath.Join(t.TempDir(), "none")
	m.deps.DryRun = true
	sum := m.once()
	if sum.Outcome != DryRun || sum.Payload == 0 || sum.Facts["pkg"] == 0 {
		t.Errorf("summary %+v", sum)
	}
	if _, err := os.Stat(m.cfg.State); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("state folder: %v", err)
	}
	m.deps.DryRun = false
	if _, err := Open(m.cfg, m.deps); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("Open without enrolment: %v", err)
	}
}

func TestOneStateFolderServesOneAgent(t *testing.T) {
	m := newMachine(t)
	a := m.open()
	if _, err := Open(m.cfg, m.deps); !errors.Is(err, spool.ErrBusy) {
		t.Errorf("second Open: %v, want ErrBusy", err)
	}
	must(t, a.Close())
}

func TestAnotherServerCannotTakeTheMachineOver(t *testing.T) {
	m := newMachine(t)
	other := startServer(t)
	if _, err := Enrol(t.Context(), m.cfg, "test", other.token(t), other.dial()); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("Enrol: %v", err)
	}
	wrong := m.srv.token(t)
	wrong.Pins = other.token(t).Pins
	if _, err := Enrol(t.Context(), m.cfg, "test", wrong, m.srv.dial()); !errors.Is(err, identity.ErrPin) {
		t.Errorf("Enrol with another pin: %v", err)
	}
}

func TestRunLooksAtTheStartAndAfterChangesAndEndsCleanly(t *testing.T) {
	m := newMachine(t)
	m.cfg.Interval = time.Hour
	m.deps.Rand = func(int64) int64 { return 0 }
	a := m.open()
	a.quiet = 20 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	reports := func() int {
		m.srv.mu.Lock()
		defer m.srv.mu.Unlock()
		return len(m.srv.reports)
	}
	waitFor := func(n int, change func()) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); reports() < n; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d reports, want %d", reports(), n)
			}
			change()
		}
	}
	waitFor(1, func() {})
	n := 0
	waitFor(2, func() { n++; m.write("etc/motd", fmt.Sprint(n)); time.Sleep(100 * time.Millisecond) })
	if r := m.srv.reports[1].GetReason(); r != "etc" {
		t.Errorf("reason is %q", r)
	}
	cancel()
	must(t, errors.Join(<-done, a.Close()))
}

func TestTheServerDoesNotSetTheInterval(t *testing.T) {
	m := newMachine(t)
	m.deps.Rand = func(n int64) int64 { return n - 1 }
	a := m.open()
	defer a.Close()
	if got := a.cycle(t.Context(), "interval"); got < a.cfg.Interval*9/10 || got > a.cfg.Interval*11/10 {
		t.Errorf("next look in %v", got)
	}
	m.srv.setAway(true)
	m.write("etc/motd", "x")
	if got := a.cycle(t.Context(), "interval"); got < uplink.MinWait || got > uplink.MaxWait || a.notBefore.Before(time.Now()) {
		t.Errorf("with the server away: next look in %v", got)
	}
}

func TestWhileTheServerWantsPatienceLooksGoOnAndReportsWait(t *testing.T) {
	m := newMachine(t)
	now := time.Now()
	m.deps.Now = func() time.Time { return now }
	m.deps.Rand = func(int64) int64 { return 0 }
	a := m.open()
	defer a.Close()
	a.cycle(t.Context(), "start")
	m.srv.mood = func(*rollcallv1.Body) (*rollcallv1.SubmitReply, error) {
		return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_QUARANTINED, RetryAfterS: 6 * 60 * 60}, nil
	}
	m.write("etc/motd", "1")
	if wait := a.cycle(t.Context(), "etc"); wait > a.cfg.Interval*11/10 {
		t.Errorf("the next look waits for %v", wait)
	}
	now = now.Add(time.Hour)
	m.write("etc/motd", "2")
	a.cycle(t.Context(), "etc")
	if len(m.srv.reports) != 1 || a.spool.Status().Waiting != 2 {
		t.Errorf("%d reports came although the server wanted patience; %d wait", len(m.srv.reports), a.spool.Status().Waiting)
	}
	now = now.Add(6 * time.Hour)
	a.cycle(t.Context(), "interval")
	if len(m.srv.reports) != 3 {
		t.Errorf("%d reports came, want 3", len(m.srv.reports))
	}
}

func TestTheSampleConfigurationIsRead(t *testing.T) {
	name := filepath.Join("..", "packaging", "agent.conf")
	c := Default()
	must(t, conf.Load(name, &c))
	text, err := os.ReadFile(name)
	must(t, err)
	uncommented := strings.ReplaceAll(string(text), "\n#", "\n")
	var settings []string
	for line := range strings.Lines(uncommented) {
		if key, _, ok := strings.Cut(line, " = "); ok && !strings.Contains(strings.TrimSpace(key), " ") {
			settings = append(settings, line)
		}
	}
	full := Default()
	must(t, conf.Parse("agent.conf without comments", strings.NewReader(strings.Join(settings, "")), &full))
	if len(settings) < 13 {
		t.Errorf("only %d settings are documented", len(settings))
	}
}

func TestSenselessSettingsAreRefused(t *testing.T) {
	for key, text := range map[string]string{
		"interval": "interval = 5s", "recipient": "recipient = ssh-ed25519 AAAA", "state": "state = relative", "site": "site = \"a\\u0007b\"",
		"exclude": "exclude = [", "spool_size": "spool_size = 1MiB", "memory": "memory = 1MiB", "boot_spread": "boot_spread = -1s",
	} {
		c := Default()
		if err := conf.Parse("agent.conf", strings.NewReader(text+"\n"), &c); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func sha(s string) fact.Digest { return sha256.Sum256([]byte(s)) }
