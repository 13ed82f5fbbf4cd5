package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheRunningServerIsShutIn asks the kernel about every thread of a server that
// serves.
func TestTheRunningServerIsShutIn(t *testing.T) {
	l := newLab(t, loopback(t), "")
	l.must("rollcall", "status")
	pid := l.server.Process.Pid
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) < 3 {
		t.Fatalf("threads: %v, %v", threads, err)
	}
	for _, thread := range threads {
		b, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
			if !strings.Contains(string(b), want) {
				t.Errorf("%s lacks %q", thread, want)
			}
		}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil || !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0") {
		t.Errorf("core dumps: %v\n%s", err, limits)
	}
	if log := l.log.String(); !strings.Contains(log, `"shut in","secrets":true,"calls":true`) {
		t.Errorf("the log does not say so: %s", log)
	}
	// Neither argv nor the environment has a secret in it: whoever may look there
	// sees the name of a file.
	token, err := os.ReadFile(l.path("kari.login"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cmdline", "environ"} {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name)); err == nil && strings.Contains(string(b), strings.TrimSpace(string(token))) {
			t.Errorf("%s holds a login", name)
		}
	}
}
