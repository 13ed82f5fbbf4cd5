package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/store"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestTheReserveIsTwoPercentAtLeast512MiBOrWhatIsConfigured(t *testing.T) {
	const gib = 1 << 30
	tests := []struct {
		name    string
		reserve uint64
		s       space
		closed  bool
	}{
		{"a small disk", 0, space{size: 8 * gib, free: 513 << 20}, false},
		{"a small disk that is nearly full", 0, space{size: 8 * gib, free: 511 << 20}, true},
		{"a large disk", 0, space{size: 1000 * gib, free: 21 * gib}, false},
		{"a large disk that is nearly full", 0, space{size: 1000 * gib, free: 19 * gib}, true},
		{"configured", 10 << 20, space{size: 1000 * gib, free: 11 << 20}, false},
		{"below what is configured", 10 << 20, space{size: 1000 * gib, free: 9 << 20}, true},
		{"no inodes", 0, space{size: 8 * gib, free: 4 * gib, inodes: 500_000, unused: 900}, true},
		{"a small file system without inodes", 1 << 20, space{size: gib, free: gib, inodes: 1000, unused: 19}, true},
		{"a small file system with inodes", 1 << 20, space{size: gib, free: gib, inodes: 1000, unused: 21}, false},
		{"inodes that are made as needed", 0, space{size: 8 * gib, free: 4 * gib}, false},
	}
	for _, tt := range tests {
		r := &room{reserve: tt.reserve, statfs: func(string) (space, error) { return tt.s, nil }, now: time.Now, log: slog.New(slog.DiscardHandler)}
		if err := r.Err(); errors.Is(err, store.ErrReadOnly) != tt.closed {
			t.Errorf("%s: %v, want closed %v", tt.name, err, tt.closed)
		}
	}
}

// Around the reserve the server must not go to and fro, and what says nothing about
// the disk changes nothing.
func TestTheRoomOpensAgainAboveTheReserveOnly(t *testing.T) {
	now, free := time.Unix(1_800_000_000, 0), uint64(99)
	var broken error
	r := &room{reserve: 100, now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler), statfs: func(string) (space, error) {
		return space{size: 1000, free: free}, broken
	}}
	step := func(f uint64, closed bool) {
		t.Helper()
		free, now = f, now.Add(time.Second)
		if err := r.Err(); (err != nil) != closed {
			t.Errorf("%d free: %v, want closed %v", f, err, closed)
		}
	}
	step(99, true)
	since := r.Condition().Since
	step(100, true)
	step(105, true)
	if got := r.Condition(); !got.Since.Equal(since) || !got.ReadOnly || got.Why == "" {
		t.Errorf("%+v, want since %v", got, since)
	}
	step(106, false)
	step(100, false)
	r.Failed(errors.Join(store.ErrReadOnly, errors.New("quota exceeded")))
	step(5000, true)
	if why := r.Condition().Why; !strings.Contains(why, "quota exceeded") {
		t.Errorf("why: %q", why)
	}
	now = now.Add(roomAfterFull)
	step(5000, false)
	r.Failed(errors.New("something else"))
	step(5000, false)
	broken = errors.New("I/O error")
	step(1, false)
}

// withFigures gives a server a port for its figures.
func withFigures(t *testing.T) func(*Config) {
	t.Helper()
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := port.Addr().String()
	if err := port.Close(); err != nil {
		t.Fatal(err)
	}
	return func(c *Config) { c.Metrics = addr }
}

// crowd is what the file system of a server in a test says.
type crowd struct{ free atomic.Uint64 }

func (r *running) crowd(free uint64) *crowd {
	c := &crowd{}
	c.free.Store(free)
	r.srv.room.mu.Lock()
	defer r.srv.room.mu.Unlock()
	r.srv.room.statfs = func(string) (space, error) { return space{size: 100 << 30, free: c.free.Load()}, nil }
	return c
}

// retryOf is what a refusal says about when to try again.
func retryOf(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

func TestAServerWithoutRoomRefusesEarlySaysSoAndGoesOnAnswering(t *testing.T) {
	r := start(t, withFigures(t))
	m, late := r.machine(1), r.stranger(2)
	m.report(t, true)
	disk := r.crowd(3 << 30)
	m.Upgrade(1, 1)
	m.report(t, false)
	disk.free.Store(1 << 30) // of 100 GiB 2 % are the reserve
	time.Sleep(2 * freshRoom)

	m.Upgrade(2, 2)
	env, err := m.Report(false)
	if err != nil {
		t.Fatal(err)
	}
	submit := func() (*rollcallv1.SubmitReply, error) {
		return m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
	}
	_, err = submit()
	wantCode(t, "a report", err, codes.ResourceExhausted)
	if !strings.Contains(err.Error(), "too little room") || retryOf(err) != time.Minute {
		t.Errorf("a report: %v with retry %v, want the reason and a minute", err, retryOf(err))
	}
	st, err := m.Upload(t.Context())
	if err == nil {
		_, err = st.CloseAndRecv()
	}
	wantCode(t, "an upload", err, codes.ResourceExhausted)
	_, err = r.enrol(late, identity.Token{ID: "00", Secret: identity.NewSecret()})
	wantCode(t, "an enrolment", err, codes.ResourceExhausted)
	_, err = r.kari.SetSite(t.Context(), &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: "elm"}})
	wantCode(t, "a site", err, codes.ResourceExhausted)

	// P17: questions are answered.
	if list, err := r.kari.List(t.Context(), &rollcallv1.ListRequest{}); err != nil || len(list.GetItems()) != 1 {
		t.Errorf("list: %d, %v", len(list.GetItems()), err)
	}
	if _, err := r.kari.Manifest(t.Context(), &rollcallv1.ManifestRequest{Ci: m.ci}); err != nil {
		t.Errorf("manifest, for a restore: %v", err)
	}
	reply, err := r.kari.Status(t.Context(), &rollcallv1.StatusRequest{})
	if err != nil || reply.GetState() != "read-only" || !strings.Contains(reply.GetStateWhy(), "free some space") || len(reply.GetWarnings()) == 0 ||
		reply.GetFreeBytes() != 1<<30 || reply.GetReserveBytes() != 2<<30 || reply.GetStateSinceMs() == 0 {
		t.Errorf("status: %v, %v", reply, err)
	}
	if text := scrape(t, "http://"+r.cfg.Metrics+"/metrics"); !strings.Contains(text, "rollcall_read_only 1\n") || !strings.Contains(text, "rollcall_disk_free_bytes 1.073741824e+09\n") {
		t.Error("the figures do not show it")
	}

	disk.free.Store(3 << 30)
	began := time.Now()
	waitFor(t, "writing again", func() bool {
		reply, err := submit()
		return err == nil && reply.GetOutcome() == rollcallv1.SubmitReply_RECORDED
	})
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to take in again", took)
	}
	reply, err = r.kari.Status(t.Context(), &rollcallv1.StatusRequest{})
	if err != nil || reply.GetState() != "serving" || reply.GetStateWhy() != "" {
		t.Errorf("status: %v, %v", reply, err)
	}
	waitFor(t, "the mirror", func() bool {
		reply, err := r.kari.Status(t.Context(), &rollcallv1.StatusRequest{})
		return err == nil && reply.GetMirrorBacklog() == 0 && reply.GetMirrorError() == ""
	})
	for _, want := range []string{"read-only", "there is room again"} {
		if n := strings.Count(r.logs.String(), want); n == 0 {
			t.Errorf("the log does not say %q", want)
		}
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	wantWhole(t, r.cfg, Known{Acknowledged: m.acked})
}

// mounted gives a tmpfs of its own to a test, which ends with it.
func mounted(t *testing.T, option string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a file system")
	}
	dir, err := os.MkdirTemp("", "rc")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", option, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount here: %s", out)
	}
	t.Cleanup(func() {
		if out, err := exec.CommandContext(context.Background(), "umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
		_ = os.Remove(dir)
	})
	return dir
}

// onDisk runs a server whose data folder is on a real small file system.
func onDisk(t *testing.T, option string) (*running, string) {
	t.Helper()
	dir := mounted(t, option)
	cfg := Defaults()
	cfg.Data, cfg.Listen, cfg.Metrics, cfg.Reserve = dir+"/data", "127.0.0.1:0", "", leastConfigured
	if _, err := Init(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return startOn(t, cfg), dir
}

// stuff takes all room that a file system has.
func stuff(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// Not the server's own doing but another program's: all room is gone at once, also
// the reserve. What was acknowledged is there, questions are answered, and it goes
// on by itself.
func TestADiskThatAnotherProgramFillsLosesNothing(t *testing.T) {
	r, dir := onDisk(t, "size=48m")
	m := r.machine(1)
	m.report(t, true)
	r.crowd(1 << 40) // statfs lies, so that the store itself meets the full disk
	stuff(t, dir+"/ballast")
	m.Upgrade(1, 1)
	env, err := m.Report(false)
	if err != nil {
		t.Fatal(err)
	}
	refusals := 0
	for range 50 {
		if _, err := m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env}); status.Code(err) == codes.ResourceExhausted {
			refusals++
		}
		if reply, err := r.kari.Status(t.Context(), &rollcallv1.StatusRequest{}); err != nil || refusals > 0 && reply.GetState() != "read-only" {
			t.Fatalf("status: %v, %v", reply.GetState(), err)
		}
	}
	if refusals == 0 {
		t.Skip("the store found room in its file all the time")
	}
	r.srv.room.mu.Lock()
	r.srv.room.statfs = statfs
	r.srv.room.mu.Unlock()
	if _, err := r.kari.Manifest(t.Context(), &rollcallv1.ManifestRequest{Ci: m.ci}); err != nil {
		t.Errorf("manifest: %v", err)
	}
	if err := os.Remove(dir + "/ballast"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	waitFor(t, "taking in again", func() bool {
		time.Sleep(50 * time.Millisecond)
		reply, err := m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
		if err != nil || reply.GetOutcome() != rollcallv1.SubmitReply_RECORDED {
			return false
		}
		m.acked = append(m.acked, Acknowledged{env, reply.GetReceipt()})
		return true
	})
	t.Logf("%d refused; it took %v to take in again", refusals, time.Since(began).Round(time.Millisecond))
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to take in again, want 10 s at most", took)
	}
	for i := range 5 {
		m.Upgrade(i, i+2)
		m.report(t, false)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	wantWhole(t, r.cfg, Known{Acknowledged: m.acked})
}

// The last inode goes: bbolt needs none, the git mirror and a backup do.
func TestADiskWithoutInodesIsRecognised(t *testing.T) {
	r, dir := onDisk(t, "size=64m,nr_inodes=400")
	m := r.machine(1)
	m.report(t, true)
	n := 0
	for ; ; n++ {
		if err := os.WriteFile(filepath.Join(dir, "f"+time.Duration(n).String()), nil, 0o600); err != nil {
			break
		}
	}
	time.Sleep(2 * freshRoom)
	m.Upgrade(1, 1)
	env, err := m.Report(false)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
	wantCode(t, "a report without inodes", err, codes.ResourceExhausted)
	if !strings.Contains(err.Error(), "inodes") {
		t.Errorf("%v, want a word about inodes", err)
	}
	for i := range n {
		if err := os.Remove(filepath.Join(dir, "f"+time.Duration(i).String())); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "taking in again", func() bool {
		_, err := m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
		return err == nil
	})
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	wantWhole(t, r.cfg, Known{Acknowledged: m.acked})
}

// A copy that would not fit is refused before it is begun: the disk of the data
// folder must not be filled by a check.
func TestACopyThatDoesNotFitIsNotBegun(t *testing.T) {
	dir := mounted(t, "size=1m")
	r := start(t)
	r.machine(1).report(t, true)
	stuff(t, dir+"/ballast")
	_, err := BackupPlain(t.Context(), r.cfg, dir+"/backup")
	if err == nil || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("BackupPlain = %v, want an error that says what to do", err)
	}
	if _, err := os.Stat(dir + "/backup"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the backup was begun: %v", err)
	}
	if _, err := BackupPlain(t.Context(), r.cfg, filepath.Join(t.TempDir(), "b")); err != nil {
		t.Errorf("BackupPlain with room: %v", err)
	}
}
