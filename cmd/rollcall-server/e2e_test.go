package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/server"
)

// loopback gives an address that nobody listens at.
func loopback(t *testing.T) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	return lis.Addr().String()
}

// network makes a switch with the server's namespace on it, and a namespace for
// each MAC; it returns their names, the server's first.
func network(t *testing.T, macs ...string) []string {
	t.Helper()
	tag := fmt.Sprintf("rc%d", os.Getpid())
	names := []string{tag + "s"}
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	add := func(ns string) {
		ip("netns", "add", ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
		ip("-n", ns, "link", "set", "lo", "up")
	}
	add(names[0])
	ip("-n", names[0], "link", "add", "br0", "type", "bridge")
	ip("-n", names[0], "addr", "add", "10.77.0.1/24", "dev", "br0")
	ip("-n", names[0], "link", "set", "br0", "up")
	for i, mac := range macs {
		ns := fmt.Sprintf("%sm%d", tag, i)
		add(ns)
		port := fmt.Sprintf("v%d", i)
		ip("-n", names[0], "link", "add", port, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", ns)
		ip("-n", names[0], "link", "set", port, "master", "br0", "up")
		ip("-n", ns, "addr", "add", fmt.Sprintf("10.77.0.%d/24", 10+i), "dev", "eth0")
		ip("-n", ns, "link", "set", "eth0", "up")
		names = append(names, ns)
	}
	return names
}

// TestTwoMachinesOnANetwork is the main job with real processes: each machine in
// a network namespace of its own with its own MAC and root, one server, TLS.
func TestTwoMachinesOnANetwork(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	macs := []string{"52:54:00:aa:00:01", "52:54:00:bb:00:02"}
	ns := network(t, macs...)
	l := newLab(t, "10.77.0.1:7465", ns[0])
	hosts := l.recorded("room12-pc04", "room14-pc03")
	a, b := hosts["room12-pc04"], hosts["room14-pc03"]
	for i, m := range []*machine{a, b} {
		m.netns = ns[i+1]
		m.enter()
		m.enrol("elm/north/"+m.name[:6], "workstation")
		m.once()
	}
	for i, m := range []*machine{a, b} {
		if got := strings.Fields(l.must("rollcall", "find", "--names", "mac = "+macs[i])); len(got) != 1 || got[0] != m.name {
			t.Errorf("mac = %s finds %q, want %s", macs[i], got, m.name)
		}
	}
	time.Sleep(1100 * time.Millisecond) // --since counts whole seconds
	before := time.Now()
	a.edit("etc/motd", "Room 12 is closed on Friday.\n")
	b.upgrade("tar", "1.34+dfsg-1.2+deb12u9")
	a.once()
	b.once()
	revs := l.changes("--since", before.UTC().Format(time.RFC3339))
	if len(revs) != 2 {
		t.Fatalf("%d revisions after one edit and one upgrade, want 2: %s", len(revs), summaries(revs))
	}
	wants := map[string]string{a.name: "etc/motd", b.name: "pkg/tar/version"}
	for _, r := range revs {
		if len(r.Facts) != 1 || r.Facts[0].Path != wants[r.Name] {
			t.Errorf("revision of %s changes %+v, want %s alone", r.Name, r.Facts, wants[r.Name])
		}
		if d := time.Since(r.Recorded); d < 0 || d > time.Minute {
			t.Errorf("revision of %s recorded at %s, which is %s ago", r.Name, r.Recorded, d)
		}
	}
	repo := l.mirrored("elm/north")
	log := l.git("--git-dir", repo, "log", "-p", "-2", "--format=%an %at%n%B")
	for _, want := range []string{"+Room 12 is closed on Friday.", "+tar 1.34+dfsg-1.2+deb12u9", "b/room12-pc04/etc/motd"} {
		if !strings.Contains(log, want) {
			t.Errorf("git log -p lacks %q:\n%s", want, log)
		}
	}
	clone := l.path("clone")
	l.git("clone", "--quiet", repo, clone)
	if out := l.git("-C", clone, "fsck", "--strict"); strings.Contains(out, "error") || strings.Contains(out, "warning") {
		t.Errorf("git fsck --strict says:\n%s", out)
	}
	if b, err := os.ReadFile(filepath.Join(clone, "room12-pc04/etc/motd")); err != nil || string(b) != "Room 12 is closed on Friday.\n" {
		t.Errorf("the clone's motd is %q, %v", b, err)
	}
}

// TestKillingServerOrAgentLosesNothingAcknowledged kills one of them at random
// moments while a file changes, and then asks for every state that an agent was
// told is recorded.
func TestKillingServerOrAgentLosesNothingAcknowledged(t *testing.T) {
	l := newLab(t, loopback(t), "")
	m := l.recorded("room12-pc04")["room12-pc04"]
	m.enrol("elm/north/room12", "workstation")
	m.once()
	m.edit("etc/motd", "before\n")
	began := time.Now()
	m.once()
	took := time.Since(began)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var acked []string
	for round := range 20 {
		text := fmt.Sprintf("round %d\n", round)
		m.edit("etc/motd", text)
		c := l.command("", "rollcall-agent", "once", "--config", l.path("agent.conf"), "--state", m.state, "--root", m.root)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(r.Int64N(int64(took * 3 / 2))))
		if round%2 == 0 {
			l.kill()
			if c.Wait() == nil {
				acked = append(acked, text)
			}
			l.start()
			continue
		}
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		if c.Wait() == nil {
			acked = append(acked, text)
		}
	}
	m.once()
	acked = append(acked, "round 19\n")
	var log strings.Builder
	repo := l.mirrored("elm/north")
	log.WriteString(l.git("--git-dir", repo, "log", "-p", "--format=%H", "--", "room12-pc04/etc/motd"))
	for _, text := range acked {
		if !strings.Contains(log.String(), "+"+text) {
			t.Errorf("%q was acknowledged and is not in the history", text)
		}
	}
	if got := l.must("rollcall", "file", "show", "room12-pc04:/etc/motd"); got != "round 19\n" {
		t.Errorf("the file is %q at the end, want round 19", got)
	}
	if out := l.git("--git-dir", repo, "fsck", "--strict"); strings.Contains(out, "error") {
		t.Errorf("git fsck: %s", out)
	}
	l.stop()
	if out := l.must("rollcall-server", "check", "--config", l.path("server.conf")); !strings.Contains(out, " 0 faults") {
		t.Errorf("check after the kills: %s", out)
	}
	checkAll(t, l.config(), server.Known{}, filepath.Join(m.state, "spool"))
	head := l.git("--git-dir", repo, "rev-parse", "main")
	l.must("rollcall-server", "rebuild-mirror", "--config", l.path("server.conf"))
	if again := l.git("--git-dir", repo, "rev-parse", "main"); again != head {
		t.Errorf("the rebuilt mirror ends at %s, the old one at %s", again, head)
	}
	t.Logf("%d of 20 reports were acknowledged at once", len(acked))
}

// TestIdleMeansIdle runs the agent a hundred times over an unchanged root, then
// changes one thing after another.
func TestIdleMeansIdle(t *testing.T) {
	l := newLab(t, loopback(t), "")
	m := l.recorded("room12-pc04")["room12-pc04"]
	m.enrol("elm/north/room12", "workstation")
	m.once()
	m.once() // what must be seen twice, such as USB devices, is in now
	count := func() int { return len(l.changes("name = room12-pc04")) }
	start := count()
	for range 100 {
		m.once()
	}
	if n := count(); n != start {
		t.Fatalf("%d revisions came of 100 runs over an unchanged root: %s", n-start, summaries(l.changes("name = room12-pc04")[:n-start]))
	}
	for _, change := range []struct {
		what string
		do   func()
	}{
		{"one edited file", func() { m.edit("etc/issue", "edited\n") }},
		{"a pulled DIMM", m.pullDIMM},
		{"a new network card", m.addCard},
	} {
		before := count()
		change.do()
		m.once()
		m.once()
		if n := count(); n != before+1 {
			t.Errorf("%s gives %d revisions, want 1: %s", change.what, n-before, summaries(l.changes("name = room12-pc04")[:max(0, n-before)]))
		}
	}
}
