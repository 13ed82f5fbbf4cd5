package mirror

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"

	"go.uber.org/goleak"
)

func TestMissingContentHoldsItsRepositoryAndNoOther(t *testing.T) {
	twin := filepath.Join(tempDir(t), "twin")
	drain(t, smallWorld().mirror(twin))

	w, dir := smallWorld(), filepath.Join(tempDir(t), "m")
	lost := fact.Digest(sha256.Sum256([]byte("Listen 632\nBrowsing On\n")))
	content := w.contents[lost]
	delete(w.contents, lost) // revision 2 of pc07 in elm/north
	m := w.mirror(dir)
	m.page, m.most = 2, 2
	for range 3 {
		_, err := m.Drain(t.Context())
		if err == nil || !strings.Contains(err.Error(), lost.String()) || !strings.Contains(err.Error(), "/etc/cups/cupsd.conf") || !strings.Contains(err.Error(), "elm/north") {
			t.Fatalf("Drain = %v, want an error that names repository, file and content", err)
		}
	}
	if err := m.Trouble(); err == nil || !strings.Contains(err.Error(), lost.String()) {
		t.Errorf("Trouble = %v, want what Drain said", err)
	}
	if n, err := m.Backlog(t.Context()); n != 4 || err != nil {
		t.Errorf("backlog is %d, %v; want 4: what elm/north still lacks", n, err)
	}
	if at, err := m.Watermark(t.Context()); at != w.revs[2].Stamp || err != nil {
		t.Errorf("watermark is %d, %v; want that of the last revision before the one that is held", at, err)
	}
	if got, want := refs(t, dir)["elm/south.git"], refs(t, twin)["elm/south.git"]; got != want {
		t.Errorf("elm/south is at %s, want %s: it lacks nothing", got, want)
	}
	if _, err := m.Verify(t.Context()); err != nil {
		t.Errorf("Verify of a mirror that is behind: %v", err)
	}
	w.contents[lost] = content
	drain(t, m)
	if err := m.Trouble(); err != nil {
		t.Errorf("Trouble = %v after the content has come", err)
	}
	if got, want := refs(t, dir), refs(t, twin); !maps.Equal(got, want) {
		t.Errorf("after the content has come %v, want %v", got, want)
	}
}

func TestFolderThatIsNotThereIsAnError(t *testing.T) {
	w := smallWorld()
	m := w.mirror(tempDir(t))
	drain(t, m)
	r := w.record("pc07", "elm/north", nil)
	r.PrevFolder = "other"
	w.revs[len(w.revs)-1] = r
	if _, err := m.Drain(t.Context()); err == nil || !strings.Contains(err.Error(), "rebuild the mirror") {
		t.Errorf("Drain = %v, want an error that says what to do", err)
	}
}

func TestLateRevisionIsAnError(t *testing.T) {
	w := smallWorld()
	m := w.mirror(tempDir(t))
	drain(t, m)
	w.clock -= 5_000_000_000
	w.record("tjener", "elm/south", map[string]string{"svc/late": "enabled"})
	if _, err := m.Drain(t.Context()); err == nil || !strings.Contains(err.Error(), "older than the newest commit") {
		t.Errorf("Drain = %v, want an error about the order", err)
	}
}

func TestRunFollowsTheOutboxUntilItIsStopped(t *testing.T) {
	defer goleak.VerifyNone(t)
	w := smallWorld()
	wake := make(chan struct{}, 1)
	var log bytes.Buffer
	m := New(Config{
		Store: w, Source: w, Tenant: "t", Dir: tempDir(t), Wake: wake, Every: time.Hour,
		Now: func() time.Time { return time.Unix(1_800_000_000, 0) }, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	waitEmpty(t, m)
	w.mu.Lock()
	w.record("tjener", "elm/south", map[string]string{"svc/new": "enabled"})
	w.mu.Unlock()
	wake <- struct{}{}
	waitEmpty(t, m)
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if got := m.Stats(); got.Commits != 10 || got.Failures != 0 {
		t.Errorf("Stats = %+v, want 10 commits and no failure", got)
	}
	if log.Len() > 0 {
		t.Errorf("log says %s", log.String())
	}
}

func waitEmpty(t *testing.T, m *Mirror) {
	t.Helper()
	for range 500 {
		n, err := m.Backlog(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the outbox does not empty")
}
