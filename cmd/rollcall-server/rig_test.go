package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/agent/uplink"
	"rollcall/internal/failpoint"
	"rollcall/internal/identity"
	"rollcall/internal/sim"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server"
	"rollcall/server/store/storetest"
)

// rigCanary is a secret of the rig's machine; no part of the server may show it.
const rigCanary = "canary-77d0c1-on-this-machine-alone"

// A rig is a lab to break things in: programs that can be ended at failpoints,
// one small machine with a real agent, and simulated machines that report all the
// time. It remembers, in the memory of the test, everything that was acknowledged.
type rig struct {
	*lab
	rnd *rand.Rand
	pc  *machine

	told  []string // texts of the machine's motd that the agent said are recorded
	edits int

	mu        sync.Mutex
	acked     []server.Acknowledged
	reporters []*reporter
	made      uint64 // simulated machines
}

// newRig makes one; prepare, if not nil, may put file systems below its folder
// before anything is there.
func newRig(t *testing.T, prepare func(dir string)) *rig {
	t.Helper()
	if testing.Short() {
		t.Skip("builds, runs and kills the programs; not with -short")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root: the end-to-end tests do")
	}
	bin, err := breakable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "rig") // short: there is a socket in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if prepare != nil {
		prepare(dir)
	}
	r := &rig{lab: &lab{t: t, bin: bin, dir: dir, addr: loopback(t), log: &serverLog{}}, rnd: rand.New(rand.NewPCG(storetest.Seed(t), 7))}
	r.settle()
	r.pc = &machine{l: r.lab, name: "pc", root: r.path("root"), state: r.path("state/pc")}
	r.write("root/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
	r.write("root/etc/group", "root:x:0:\n")
	r.write("root/etc/hostname", "pc\n")
	r.write("root/etc/motd", "at first\n")
	r.write("root/etc/ssl/private/pc.key", "-----BEGIN PRIVATE KEY-----\n"+rigCanary+"\n-----END PRIVATE KEY-----\n")
	r.write("root/var/lib/dpkg/status", "Package: cups\nStatus: install ok installed\nVersion: 2.4.2-3\nArchitecture: amd64\n\n")
	r.pc.enrol("elm/north/room12", "workstation")
	r.report()
	r.hire(3)
	return r
}

// rounds is how often something is broken: few in CI, ROLLCALL_ROUNDS or many
// where ROLLCALL_TORTURE is set.
func rounds(t *testing.T, few, many int) int {
	t.Helper()
	if s := os.Getenv("ROLLCALL_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("ROLLCALL_ROUNDS: %v", err)
		}
		return n
	}
	if os.Getenv("ROLLCALL_TORTURE") != "" {
		return many
	}
	return few
}

// report changes the machine and runs its agent to the end, which must be good.
func (r *rig) report() {
	r.t.Helper()
	if outcome, err := r.tryReport(); outcome != "recorded" {
		r.t.Fatalf("the agent's report: %q, %v; the server's log:\n%s", outcome, err, r.log)
	}
}

// tryReport changes the machine and runs its agent, with variables added to its
// environment, and returns what the agent said became of the report.
func (r *rig) tryReport(env ...string) (outcome string, err error) {
	r.t.Helper()
	return r.await(r.startAgent(env...))
}

// agentRun is one run of the real agent.
type agentRun struct {
	*exec.Cmd
	text     string // of the machine's motd
	out, msg bytes.Buffer
}

// startAgent changes the machine and starts its agent.
func (r *rig) startAgent(env ...string) *agentRun {
	r.t.Helper()
	r.edits++
	run := &agentRun{text: fmt.Sprintf("edit %d\n", r.edits)}
	r.pc.edit("etc/motd", run.text)
	run.Cmd = r.command("", "rollcall-agent", "once", "--json", "--config", r.path("agent.conf"), "--state", r.pc.state, "--root", r.pc.root)
	run.Env = append(run.Env, env...)
	run.Stdout, run.Stderr = &run.out, &run.msg
	if err := run.Start(); err != nil {
		r.t.Fatal(err)
	}
	return run
}

// await waits for the agent's end and notes what it said is recorded.
func (r *rig) await(run *agentRun) (outcome string, err error) {
	if err = run.Wait(); err != nil {
		err = fmt.Errorf("%w: %s", err, run.msg.String())
	}
	var sum struct{ Outcome string }
	if json.Unmarshal(run.out.Bytes(), &sum) == nil && sum.Outcome == "recorded" {
		r.told = append(r.told, run.text)
	}
	return sum.Outcome, err
}

// endAgent kills the agent, if it has not ended.
func (r *rig) endAgent(run *agentRun) {
	_ = syscall.Kill(-run.Process.Pid, syscall.SIGKILL) // there may be none any more
	_, _ = r.await(run)
}

// killed tells whether a process was ended by kill -9.
func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// at is the environment variable of a failpoint.
func at(p failpoint.Point, pass int) string { return fmt.Sprintf("ROLLCALL_FAILPOINT=%s:%d", p, pass) }

// reporter is one simulated machine.
type reporter struct {
	m       *sim.Machine
	client  uplink.Client
	pending []byte // made, not yet acknowledged
	sent    int
}

// maxSent is how much one machine reports before another takes its place: a key
// may send 200 envelopes at once.
const maxSent = 150

// hire enrols n simulated machines in place of those at work.
func (r *rig) hire(n int) {
	r.t.Helper()
	r.reporters = nil
	for range n {
		w := r.stranger()
		r.admit(w, r.token())
		r.reporters = append(r.reporters, w)
	}
}

// stranger is a simulated machine that is not enrolled.
func (r *rig) stranger() *reporter {
	r.t.Helper()
	r.made++
	key, err := identity.LoadKey(r.config().KeyFile())
	if err != nil {
		r.t.Fatal(err)
	}
	m, err := sim.NewMachine(r.made, identity.Public(key))
	if err != nil {
		r.t.Fatal(err)
	}
	m.Install(40, 4)
	pin, err := identity.PinOf(identity.Public(key))
	if err != nil {
		r.t.Fatal(err)
	}
	return &reporter{m: m, client: uplink.Client{Addresses: []string{r.addr}, Pins: []string{pin}, Key: m.Key}}
}

func (r *rig) token() identity.Token {
	r.t.Helper()
	token, err := identity.ParseToken(identity.EnrolPrefix, strings.TrimSpace(r.must("rollcall", "enrol", "token", "--site", "elm/north/room14", "--class", "workstation")))
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

// admit enrols a simulated machine; the server may be gone, but not refuse.
func (r *rig) tryAdmit(w *reporter, token identity.Token) error {
	s, err := w.client.Connect(r.t.Context())
	if err != nil {
		return err
	}
	a, err := s.Enrol(r.t.Context(), token, uplink.Hello{Hostname: w.m.Name, Version: "sim"})
	if err == nil && a.Outcome != rollcallv1.EnrolReply_ENROLLED {
		err = fmt.Errorf("enrol %s: %s: %s", w.m.Name, a.Outcome, a.Note)
	}
	return errors.Join(err, s.Close())
}

func (r *rig) admit(w *reporter, token identity.Token) {
	r.t.Helper()
	if err := r.tryAdmit(w, token); err != nil {
		r.t.Fatal(err)
	}
}

// relieve hires others once those at work have reported much. The server must run.
func (r *rig) relieve() {
	r.t.Helper()
	for _, w := range r.reporters {
		if w.sent > maxSent {
			r.hire(len(r.reporters))
			return
		}
	}
}

// during lets the simulated machines report while fn runs.
func (r *rig) during(fn func()) {
	r.t.Helper()
	ctx, stop := context.WithCancel(r.t.Context())
	var all sync.WaitGroup
	for _, w := range r.reporters {
		all.Go(func() { r.work(ctx, w) })
	}
	fn()
	stop()
	all.Wait()
}

// work reports until ctx ends. What was not acknowledged is sent again, the same
// bytes, as an agent does.
func (r *rig) work(ctx context.Context, w *reporter) {
	for ctx.Err() == nil {
		s, err := w.client.Connect(ctx)
		if err != nil {
			if !errors.Is(err, uplink.ErrAway) {
				r.t.Errorf("%s: %v", w.m.Name, err)
			}
			wait(ctx, 5*time.Millisecond)
			continue
		}
		for err == nil && ctx.Err() == nil {
			err = r.submit(ctx, w, s)
			wait(ctx, 10*time.Millisecond)
		}
		if err != nil && !errors.Is(err, uplink.ErrAway) && !errors.Is(err, uplink.ErrBusy) && ctx.Err() == nil {
			r.t.Errorf("%s: %v", w.m.Name, err)
		}
		_ = s.Close() // of a server that may be gone
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (r *rig) submit(ctx context.Context, w *reporter, s *uplink.Session) (err error) {
	if w.pending == nil {
		w.m.Upgrade(w.sent, w.sent)
		if w.pending, err = w.m.Report(w.sent == 0); err != nil {
			return err
		}
	}
	ans, err := s.Submit(ctx, w.pending)
	if err != nil {
		return err
	}
	if ans.Outcome != rollcallv1.SubmitReply_RECORDED {
		return fmt.Errorf("report %d: %s", w.sent, ans.Outcome)
	}
	r.mu.Lock()
	r.acked = append(r.acked, server.Acknowledged{Envelope: w.pending, Receipt: ans.Raw})
	r.mu.Unlock()
	w.pending = nil
	w.sent++
	return nil
}

// restart starts the server with other variables in its environment.
func (r *rig) restart(env ...string) {
	r.t.Helper()
	r.kill()
	r.env = env
	r.start()
}

// died waits for the server to end by itself, as at a failpoint.
func (r *rig) died(within time.Duration) error {
	r.t.Helper()
	done := make(chan error, 1)
	go func() { done <- r.server.Wait() }()
	select {
	case err := <-done:
		r.server = nil
		return err
	case <-time.After(within):
		_ = syscall.Kill(-r.server.Process.Pid, syscall.SIGKILL)
		<-done
		r.server = nil
		return errors.New("it went on")
	}
}

func (r *rig) spoolDir() string { return filepath.Join(r.pc.state, "spool") }
