package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/server"
)

// TestTheOldestAgentIsServedAndUpgraded builds the first agent of this
// repository's history, lets it enrol and report to today's server, and then puts
// today's agent on its state folder, as an upgrade of the package does.
func TestTheOldestAgentIsServedAndUpgraded(t *testing.T) {
	if os.Getenv("ROLLCALL_TORTURE") == "" {
		t.Skip("builds an agent of another time: make torture runs it")
	}
	l := newLab(t, loopback(t), "")
	first := strings.Fields(l.git("-C", "../..", "log", "--reverse", "--diff-filter=A", "--format=%h", "--", "cmd/rollcall-agent/once.go"))
	if len(first) == 0 {
		t.Skip("the history is not here: a shallow clone")
	}
	old := l.path("old")
	l.git("-C", "../..", "worktree", "add", "--quiet", "--detach", old, first[0])
	t.Cleanup(func() { l.git("-C", "../..", "worktree", "remove", "--force", old) })
	l.bin = l.mixed(old)
	t.Logf("the agent of %s", first[0])

	m := l.recorded("room12-pc04")["room12-pc04"]
	m.enrol("elm/north/room12", "workstation")
	m.once()
	m.edit("etc/motd", "said by the oldest agent\n")
	m.once()
	m.once()
	l.kill() // what it says now waits in its spool
	m.edit("etc/motd", "spooled by the oldest agent\n")
	if out, err := m.agent("once"); err == nil {
		t.Errorf("a server that is not there took a report: %s", out)
	}
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	l.bin = bin
	l.start()
	m.edit("etc/motd", "said by today's agent\n")
	m.once()
	log := l.git("--git-dir", l.mirrored("elm/north"), "log", "-p", "--format=%H", "--", "room12-pc04/etc/motd")
	for _, text := range []string{"said by the oldest agent", "spooled by the oldest agent", "said by today's agent"} {
		if !strings.Contains(log, "+"+text) {
			t.Errorf("the history lacks what was %s:\n%s", text, log)
		}
	}
	if out := l.must("rollcall", "find", "--names", "cloned = yes"); strings.TrimSpace(out) != "" {
		t.Errorf("taken for a clone: %s", out)
	}
	l.stop()
	checkAll(t, l.config(), server.Known{}, filepath.Join(m.state, "spool"))
}

// mixed makes a folder of programs with the agent of another source tree.
func (l *lab) mixed(tree string) string {
	l.t.Helper()
	dir := l.path("mixed")
	if err := os.CopyFS(dir, os.DirFS(l.bin)); err != nil {
		l.t.Fatal(err)
	}
	for _, name := range []string{"rollcall", "rollcall-server", "rollcall-recovery"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			l.t.Fatal(err)
		}
	}
	began := time.Now()
	c := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "rollcall-agent"), "./cmd/rollcall-agent")
	c.Dir, c.Env = tree, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		l.t.Fatalf("build the agent of %s: %v\n%s", tree, err, out)
	}
	l.t.Logf("built in %s", time.Since(began).Round(time.Second))
	return dir
}
