package collect

import (
	"os"
	"strings"
	"testing"
	"time"
)

// liveRun looks at the machine that runs the test, with all collectors.
func liveRun(t *testing.T, m Memory) Result {
	t.Helper()
	root, err := OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var r Runner
	return r.Run(t.Context(), Host{FS: root, Live: true, Now: time.Now}, hardware(), m)
}

func TestThisMachineIsReadWithoutFailure(t *testing.T) {
	got := liveRun(t, Memory{})
	for _, s := range got.Status {
		if s.State == Failed || s.State == TimedOut || os.Getuid() == 0 && s.State == NoPermission {
			t.Errorf("%s: %s: %s", s.Name, s.State, s.Detail)
		}
		t.Logf("%-12s %-14s %8v %s", s.Name, s.State, s.Took.Round(time.Microsecond), s.Detail)
	}
	for _, f := range got.Facts {
		if err := f.Check(); err != nil {
			t.Error(err)
		}
		t.Log(f.Path, "=", f.Value)
	}
	for _, f := range got.Measurements {
		t.Log(f.Path, "=", f.Value)
	}
	for _, path := range []string{"id/hostname", "hw/cpu/model", "hw/memory/total", "id/class"} {
		if v, ok := got.Facts.Get(path); !ok || v == "" {
			t.Errorf("no fact %s", path)
		}
	}
	if _, ok := got.Measurements.Get("m/uptime"); !ok {
		t.Error("no measurement m/uptime")
	}
}

func TestTwoRunsOfAnIdleMachineGiveTheSameFacts(t *testing.T) {
	a := liveRun(t, Memory{})
	b := liveRun(t, a.Memory)
	if a.Facts.Digest() == b.Facts.Digest() {
		return
	}
	for _, f := range b.Facts {
		if v, _ := a.Facts.Get(f.Path); v != f.Value && !strings.HasPrefix(f.Path, "m/") {
			t.Errorf("%s was %q, is %q", f.Path, v, f.Value)
		}
	}
}
