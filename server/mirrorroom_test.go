package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// noise is facts that no compression makes small.
func noise(rng *rand.Rand) fact.Set {
	var all []fact.Fact
	for i := range 40 {
		value := fmt.Sprintf("%016x%016x%016x%016x", rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64())
		all = append(all, fact.Fact{Path: fmt.Sprintf("hw/noise/n%02d", i), Value: value})
	}
	return fact.NewSet(all)
}

// The mirror has a disk of its own, and it is full: reports are taken in, status and
// figures say what is wrong, and it goes on by itself once there is room.
func TestAFullDiskOfTheMirrorStopsTheMirrorAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a file system")
	}
	cfg := folder(t)
	withFigures(t)(&cfg)
	if err := os.MkdirAll(cfg.mirrorDir(), 0o750); err != nil {
		t.Fatal(err)
	}
	mount := func(option string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", option, "tmpfs", cfg.mirrorDir()).CombinedOutput(); err != nil {
			t.Skipf("cannot mount here: %s", out)
		}
	}
	mount("size=400k")
	t.Cleanup(func() {
		if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "umount", cfg.mirrorDir()).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	})
	r := startOn(t, cfg)
	m := r.machine(1)
	m.report(t, true)
	figure := func(want string) bool {
		return strings.Contains(scrape(t, "http://"+cfg.Metrics+"/metrics"), want+"\n")
	}
	waitFor(t, "the first commit", func() bool { return figure("rollcall_mirror_backlog 0") })
	if !figure("rollcall_mirror_stopped 0") {
		t.Error("the figures say that the mirror has stopped, and it has room")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	stopped := func() bool { return figure("rollcall_mirror_stopped 1") }
	for n := 0; !stopped(); n++ {
		if n == 150 {
			t.Fatal("the mirror fits into 400 KiB")
		}
		m.Facts["hw"] = noise(rng)
		m.report(t, false)
		if n%10 == 9 { // the mirror gives way to reports
			waitFor(t, "the mirror, or its stop", func() bool { return figure("rollcall_mirror_backlog 0") || stopped() })
		}
	}
	for range 3 {
		m.Facts["hw"] = noise(rng)
		m.report(t, false) // is taken in
	}
	st, err := r.kari.Status(t.Context(), &rollcallv1.StatusRequest{})
	if err != nil || !strings.Contains(st.GetMirrorError(), "no space left") || st.GetMirrorBacklog() == 0 || st.GetState() != "serving" {
		t.Errorf("status: state %q, mirror %q, %d behind, %v", st.GetState(), st.GetMirrorError(), st.GetMirrorBacklog(), err)
	}
	if !figure("rollcall_read_only 0") || !figure("rollcall_scrape_failures 0") {
		t.Error("the figures say that the store is in trouble")
	}
	mount("remount,size=64m")
	again := time.Now()
	goesOn := func() bool { return figure("rollcall_mirror_backlog 0") && figure("rollcall_mirror_stopped 0") }
	for !goesOn() && time.Since(again) < 20*time.Second { // it looks every 5 s
		time.Sleep(50 * time.Millisecond)
	}
	if !goesOn() {
		t.Fatal("the mirror does not go on")
	}
	t.Logf("it goes on %.1f s after there was room", time.Since(again).Seconds())
	st, err = r.kari.Status(t.Context(), &rollcallv1.StatusRequest{})
	if err != nil || st.GetMirrorError() != "" || st.GetMirrorBacklog() != 0 {
		t.Errorf("status with room again: mirror %q, %d behind, %v", st.GetMirrorError(), st.GetMirrorBacklog(), err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, cfg, Known{Acknowledged: m.acked})
}
