package main

import (
	"strings"
	"testing"
	"time"

	"rollcall/internal/failpoint"
)

// agentPoints are the failpoints of the agent; all others are the server's.
var agentPoints = map[failpoint.Point]bool{
	failpoint.SpoolContent: true, failpoint.SpoolAppend: true, failpoint.SpoolState: true,
	failpoint.SpoolChain: true, failpoint.SpoolRemove: true, failpoint.SeqReserve: true,
	failpoint.RotateBetween: true, failpoint.RotateKept: true,
}

// TestKillAtEveryFailpointLosesNothing ends agent or server with kill -9 at each
// named place while reports come in, and checks everything that is on disk.
func TestKillAtEveryFailpointLosesNothing(t *testing.T) {
	r := newRig(t, nil)
	points := failpoint.Points()
	n := max(len(points), rounds(t, len(points), 300))
	for round := range n {
		p := points[round%len(points)]
		pass := 1
		if round >= len(points) {
			pass += r.rnd.IntN(4)
		}
		if agentPoints[p] {
			r.killAgentAt(p)
		} else {
			r.killServerAt(p, pass)
		}
		if t.Failed() {
			t.Fatalf("round %d, at %s, pass %d", round, p, pass)
		}
	}
	r.end()
	t.Logf("%d kills at %d places, %d acknowledged reports, %d of the agent", n, len(points), len(r.acked), len(r.told))
}

// killAgentAt ends the agent. It comes to each of its places once.
func (r *rig) killAgentAt(p failpoint.Point) {
	r.t.Helper()
	var err error
	if p == failpoint.RotateBetween || p == failpoint.RotateKept {
		err = r.rotate(at(p, 1))
	} else {
		_, err = r.tryReport(at(p, 1))
	}
	if !killed(err) {
		r.t.Errorf("the agent did not die at %s: %v", p, err)
	}
	r.kill()
	r.checkAll()
	r.start()
	r.report()
}

// rotate replaces the machine's key.
func (r *rig) rotate(env ...string) error {
	c := r.command("", "rollcall-agent", "rotate", "--config", r.path("agent.conf"), "--state", r.pc.state, "--root", r.pc.root)
	c.Env = append(c.Env, env...)
	return c.Run()
}

// killServerAt ends the server on some pass while machines report.
func (r *rig) killServerAt(p failpoint.Point, pass int) {
	r.t.Helper()
	r.relieve()
	more := func() {}
	switch p {
	case failpoint.TokenUse:
		pass = 1
		w, token := r.stranger(), r.token()
		more = func() { _ = r.tryAdmit(w, token) } // the server dies of it
		defer func() { r.admit(w, token) }()       // the same machine may try again
	case failpoint.SnapshotWrite:
		pass = 1
		more = func() {
			out, err := r.try("", "rollcall-server", "backup", "--plain", "--config", r.path("server.conf"), r.path("backup"))
			if err == nil {
				r.t.Errorf("a backup was made by a server that died of it: %s", out)
			}
			if _, err := r.try("", "rollcall-server", "check", "--data", r.path("backup")); err == nil {
				r.t.Error("half a backup passes for one")
			}
		}
	}
	r.kill()
	r.env = []string{at(p, pass)}
	r.launch() // it may die of it at once: some places are passed at the start
	r.during(func() {
		more()
		_, _ = r.tryReport() // the server may be gone by then
		if err := r.died(20 * time.Second); !killed(err) {
			r.t.Errorf("the server did not die at %s, pass %d: %v\n%s", p, pass, err, r.log)
		}
	})
	r.checkAll()
	r.restart()
}

// TestKillAtRandomMomentsLosesNothing ends agent or server at any moment.
func TestKillAtRandomMomentsLosesNothing(t *testing.T) {
	r := newRig(t, nil)
	n := rounds(t, 6, 300)
	for round := range n {
		r.relieve()
		r.during(func() {
			if r.rnd.IntN(2) == 0 {
				r.killAgentAfter(time.Duration(r.rnd.Int64N(int64(150 * time.Millisecond))))
			}
			time.Sleep(time.Duration(r.rnd.Int64N(int64(300 * time.Millisecond))))
			r.kill()
		})
		r.checkAll()
		r.start()
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	r.end()
	t.Logf("%d kills, %d acknowledged reports, %d of the agent", n, len(r.acked), len(r.told))
}

// killAgentAfter kills the agent some time after its start.
func (r *rig) killAgentAfter(d time.Duration) {
	r.t.Helper()
	run := r.startAgent()
	time.Sleep(d)
	r.endAgent(run)
}

// end lets the machine and everybody else report once more, and checks that the
// history holds every text that the agent said is recorded, and that the mirror is
// what a new one would be.
func (r *rig) end() {
	r.t.Helper()
	r.report()
	r.relieve()
	r.during(func() { time.Sleep(300 * time.Millisecond) })
	repo := r.mirrored("elm/north")
	log := r.git("--git-dir", repo, "log", "-p", "--format=%H", "--", "pc/etc/motd")
	for _, text := range r.told {
		if !strings.Contains(log, "+"+text) {
			r.t.Errorf("the agent said that %q is recorded; the history does not have it", text)
		}
	}
	if out := r.git("--git-dir", repo, "fsck", "--strict"); strings.Contains(out, "error") {
		r.t.Errorf("git fsck: %s", out)
	}
	if out := r.must("rollcall", "find", "--names", "cloned = yes"); strings.TrimSpace(out) != "" {
		r.t.Errorf("taken for clones: %s", out)
	}
	r.stop()
	r.checkAll()
	head := r.git("--git-dir", repo, "rev-parse", "main")
	r.must("rollcall-server", "rebuild-mirror", "--config", r.path("server.conf"))
	if again := r.git("--git-dir", repo, "rev-parse", "main"); again != head {
		r.t.Errorf("the rebuilt mirror ends at %s, the old one at %s", again, head)
	}
}
