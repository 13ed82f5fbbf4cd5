package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/internal/failpoint"
	"rollcall/internal/identity"
	"rollcall/server/enrol"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// agentPoints are the failpoints of the agent; all others are the server's.
var agentPoints = map[failpoint.Point]bool{
	failpoint.SpoolContent: true, failpoint.SpoolAppend: true, failpoint.SpoolState: true,
	failpoint.SpoolChain: true, failpoint.SpoolRemove: true, failpoint.SeqReserve: true,
	failpoint.RotateBetween: true, failpoint.RotateKept: true, failpoint.SpoolCarried: true,
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
	switch p {
	case failpoint.RotateBetween, failpoint.RotateKept:
		err = r.rotate(at(p, 1))
	case failpoint.SpoolCarried:
		err = r.exportByFile(at(p, 1))
	default:
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

// exportByFile kills an export while the server is away: no file is there, and what
// waits comes in the next one, is taken in, and its receipts are believed.
func (r *rig) exportByFile(env string) error {
	r.t.Helper()
	agent := func(args ...string) *exec.Cmd {
		return r.command("", "rollcall-agent", append(args, "--config", r.path("agent.conf"), "--state", r.pc.state, "--root", r.pc.root)...)
	}
	r.kill()
	_, _ = r.tryReport() // it waits
	stick := r.path("stick")
	if err := os.MkdirAll(stick, 0o700); err != nil {
		r.t.Fatal(err)
	}
	c := agent("export", stick)
	c.Env = append(c.Env, env)
	died := c.Run()
	if files, _ := filepath.Glob(filepath.Join(stick, "*.rcb")); len(files) != 0 {
		r.t.Errorf("a killed export left %v", files)
	}
	if out, err := agent("export", stick).CombinedOutput(); err != nil {
		r.t.Errorf("the next export: %v\n%s", err, out)
	}
	r.start()
	r.must("rollcall", "bundle", "import", filepath.Join(stick, "rollcall-pc.rcb"))
	out, err := agent("import", filepath.Join(stick, "receipts.rcb")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "reports at the server: 1, waiting: 0") {
		r.t.Errorf("import of the receipts: %v\n%s", err, out)
	}
	return errors.Join(died, os.RemoveAll(stick))
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
	case failpoint.RevokeMany:
		pass = 1
		r.laptops(3)
		more = func() { _ = r.revokeLaptops() } // the server dies of it
		defer r.wantLaptops(0)                  // and goes on when it starts again
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

// laptops enrols so many machines of class laptop, which do not report.
func (r *rig) laptops(n int) {
	r.t.Helper()
	text := r.must("rollcall", "enrol", "token", "--batch", strconv.Itoa(n), "--site", "elm/north/room14", "--class", "laptop", "--net", "127.0.0.0/8")
	token, err := identity.ParseToken(identity.EnrolPrefix, strings.TrimSpace(text))
	if err != nil {
		r.t.Fatal(err)
	}
	for range n {
		r.admit(r.stranger(), token)
	}
}

func (r *rig) revokeLaptops() error {
	_, err := r.try("", "rollcall", "enrol", "revoke", "--filter", "class = laptop", "--reason", "sold", "--yes", "--break-glass", "there is one operator here")
	return err
}

// wantLaptops waits until so many laptops have a key that is not ended.
func (r *rig) wantLaptops(want int) {
	r.t.Helper()
	var got int
	for range 200 {
		var list struct {
			Keys []struct{ Class, State string }
		}
		r.decode(r.must("rollcall", "enrol", "pending", "--all", "--json"), &list)
		got = 0
		for _, k := range list.Keys {
			if k.Class == "laptop" && k.State == "enrolled" {
				got++
			}
		}
		if got == want {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.t.Errorf("%d laptops have a key, want %d", got, want)
}

// TestAKilledServerGoesOnRevokingManyKeys ends the server between two portions:
// some keys are ended, the others once it has started again, each by one leaf.
func TestAKilledServerGoesOnRevokingManyKeys(t *testing.T) {
	r := newRig(t, nil)
	r.restart(at(failpoint.RevokeMany, 3))
	r.laptops(60)
	if err := r.revokeLaptops(); err == nil {
		t.Error("the server died of it and said that it is done")
	}
	if err := r.died(20 * time.Second); !killed(err) {
		t.Fatalf("the server did not die: %v\n%s", err, r.log)
	}
	left := r.laptopKeys()
	if left != 10 {
		t.Errorf("%d keys are left in the middle, want 10", left)
	}
	r.checkAll()
	r.restart()
	r.wantLaptops(0)
	var log struct {
		Actions []struct {
			Key    string
			Kind   string
			Detail map[string]string
		}
	}
	r.decode(r.must("rollcall", "log", "actions", "--json", "--limit", "2000"), &log)
	ended, many := map[string]int{}, map[string]bool{}
	for _, a := range log.Actions {
		if a.Kind == "revoke" {
			ended[a.Key]++
			many[a.Detail["many"]] = true
		}
	}
	for key, n := range ended {
		if n != 1 {
			t.Errorf("%d leaves end key %s", n, key)
		}
	}
	if len(ended) != 60 || len(many) != 1 || many[""] {
		t.Errorf("leaves for %d keys, of %d revocations, want 60 of one", len(ended), len(many))
	}
	if err := r.revokeLaptops(); err == nil || !strings.Contains(err.Error(), "no machine with a key fits") {
		t.Errorf("the same again: %v", err)
	}
	r.end()
}

// laptopKeys counts, while the server does not run, the keys of laptops that are
// not ended.
func (r *rig) laptopKeys() (n int) {
	r.t.Helper()
	e, err := bolt.Open(filepath.Join(r.config().Data, "rollcall.db"), bolt.Options{ReadOnly: true})
	if err != nil {
		r.t.Fatal(err)
	}
	err = e.View(r.t.Context(), func(rd store.Reader) error {
		keys, err := enrol.At(rd, "main").Keys("")
		for _, k := range keys {
			if k.Class == "laptop" && k.State == enrol.Enrolled {
				n++
			}
		}
		return err
	})
	if err := errors.Join(err, e.Close()); err != nil {
		r.t.Fatal(err)
	}
	return n
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
