package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
)

// seed is ROLLCALL_SEED, or of the moment; it is printed, so that a run can be
// repeated.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if text := os.Getenv("ROLLCALL_SEED"); text != "" {
		var err error
		n, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	t.Logf("repeat with ROLLCALL_SEED=%d", n)
	return n
}

// torture tells whether the long form is asked for, see make torture.
func torture() bool { return os.Getenv("ROLLCALL_TORTURE") != "" }

const canary = "CANARY-dont-tell-anybody"

// victim is a machine whose agent deals with mallory.
type victim struct {
	t                    *testing.T
	m                    *mallory
	dir, root, state     string
	token, login, before string
	config               string // names a policy key, which mallory has not
	most                 int64  // bytes of memory
	restored             int    // how often a restore did what it may do
}

func newVictim(t *testing.T, seed uint64) *victim {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and traces the program; not with -short")
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed")
	}
	v := &victim{t: t, m: startMallory(t, seed, canary), dir: t.TempDir()}
	v.root, v.state = filepath.Join(v.dir, "root"), filepath.Join(v.dir, "state")
	must(t, os.Rename(tree(t, map[string]string{
		"etc/motd": "hello\n", "etc/hosts": "127.0.0.1 localhost\n", "etc/shadow": "root:" + canary + ":1::::::\n", "root/secret": canary + " at home\n",
		"etc/ssl/private/key.pem": "-----BEGIN PRIVATE KEY-----\n" + canary + "\n-----END PRIVATE KEY-----\n", "outside/secret": canary + " outside\n",
	}), v.root))
	for _, name := range []string{"etc/shadow", "root/secret", "etc/ssl/private/key.pem", "outside/secret"} {
		b, err := os.ReadFile(filepath.Join(v.root, name))
		must(t, err)
		v.m.wanted = append(v.m.wanted, sha256.Sum256(b))
	}
	var path fact.Digest
	copy(path[:], "../../../../../../etc/shadow\x00\x00\x00\x00")
	v.m.wanted = append(v.m.wanted, path)
	v.token, v.login = filepath.Join(v.dir, "token"), filepath.Join(v.dir, "login")
	must(t, os.WriteFile(v.login, []byte(v.m.token(t, identity.LoginPrefix)), 0o600))
	v.config = filepath.Join(v.dir, "agent.conf")
	must(t, os.WriteFile(v.config, []byte("policy_key = sha256:"+strings.Repeat("0a", 32)+"\npolicy_file = "+filepath.Join(v.dir, "none")+"\n"), 0o644))
	v.before = v.outside()
	return v
}

// outside is what must stay as it is: everything but the state folder and /etc.
func (v *victim) outside() string {
	v.t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(v.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name == v.token {
			return nil
		}
		if name == v.state || name == filepath.Join(v.root, "etc") {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err == nil && !d.IsDir() { // a folder's time changes with what is in it
			_, err = fmt.Fprintln(&b, name, info.Mode(), info.Size(), info.ModTime())
		}
		return err
	})
	must(v.t, err)
	return b.String()
}

// run calls the agent under strace and checks what it must never do.
func (v *victim) run(allowed []string, args ...string) traced {
	v.t.Helper()
	start := time.Now()
	r := trace(v.t, allowed, append(args, "--config", v.config, "--root", v.root, "--state", v.state)...)
	v.most = max(v.most, r.rss)
	bad := func(what string, detail any) { v.t.Errorf("%s, %q: %s: %v\n%s", args[0], v.m.act, what, detail, r.out) }
	switch {
	case r.execs != 0:
		bad("tries to start programs", r.execs)
	case len(r.writes) > 0:
		bad("tries to change files outside", strings.Join(r.writes, "\n"))
	case len(r.binds) > 0:
		bad("waits for connections", strings.Join(r.binds, "\n"))
	case r.signal || r.code != 0 && r.code != 1 || strings.Contains(r.out, "panic:") || strings.Contains(r.out, "goroutine "):
		bad("does not end well", r.code)
	case strings.ContainsAny(r.out, "\x1b\x07\x00") || strings.Contains(r.out, "\u202e"):
		bad("prints what a terminal acts upon", "")
	case r.rss > 64<<20: // the default of the setting "memory"
		bad("takes memory", r.rss)
	case time.Since(start) > time.Minute:
		bad("takes time", time.Since(start))
	}
	if now := v.outside(); now != v.before {
		bad("files outside of state and /etc have changed", now)
		v.before = now
	}
	return r
}

// enrol uses a token, whose file the agent removes if it was admitted.
func (v *victim) enrol() traced {
	v.t.Helper()
	must(v.t, os.WriteFile(v.token, []byte(v.m.token(v.t, identity.EnrolPrefix)), 0o600))
	return v.run([]string{v.state, v.token}, "enrol", "--token-file", v.token)
}

func (v *victim) once() traced {
	v.t.Helper()
	motd := filepath.Join(v.root, "etc/motd")
	must(v.t, os.RemoveAll(motd)) // a restore may have made a folder of it
	must(v.t, os.WriteFile(motd, []byte(time.Now().String()), 0o644))
	return v.run([]string{v.state}, "once")
}

// restore asks for an /etc that mallory made up.
func (v *victim) restore(apply bool) {
	v.t.Helper()
	args, allowed := []string{"restore", "--from", "pc07", "--login", v.login, "--all", "--delete", "--unsigned"}, []string{}
	if apply {
		args, allowed = append(args, "--apply"), []string{v.state, filepath.Join(v.root, "etc")}
	}
	v.run(allowed, args...)
	must(v.t, os.MkdirAll(filepath.Join(v.root, "etc"), 0o755))
	if _, err := os.Stat(filepath.Join(v.root, "etc/fine")); err == nil {
		v.restored++
	}
}

func TestAHostileServerGetsNothingDone(t *testing.T) {
	v := newVictim(t, seed(t))
	v.m.play("")
	if r := v.enrol(); r.code != 0 {
		t.Fatalf("enrol: %s", r.out)
	}
	if r := v.once(); r.code != 0 || !strings.Contains(r.out, "recorded") {
		t.Fatalf("an honest server: %s", r.out)
	}
	for _, act := range slices.Concat(acts, wireActs) {
		v.m.play(act)
		v.once()
	}
	v.m.play("")
	for range 3 {
		v.restore(true)
	}
	v.m.play("anything")
	deadline, rounds := time.Now().Add(2*time.Second), 0
	if torture() {
		deadline = time.Now().Add(10 * time.Minute)
	}
	for ; rounds < 4 || time.Now().Before(deadline); rounds++ {
		switch rounds % 4 {
		case 0, 1:
			v.once()
		case 2:
			v.enrol()
		case 3:
			v.restore(rounds%8 == 3)
		}
	}
	if v.restored == 0 {
		t.Error("no restore got as far as to write")
	}
	for _, d := range v.m.damages {
		t.Error(d)
	}
	v.m.play("") // it comes to its senses: nothing is lost and nobody has to help
	if r := v.once(); r.code != 0 || !strings.Contains(r.out, "recorded") {
		t.Errorf("after all that an honest server gets no report: %d %s", r.code, r.out)
	}
	st, err := agent.ReadStatus(agent.Config{State: v.state})
	if err != nil || st.Last == nil || st.Last.Fence == nil || !st.Last.Fence.Calls || !st.Last.Fence.Secrets {
		t.Errorf("the process was not shut in: %+v, %v", st.Last, err)
	} else if !st.Last.Fence.Files {
		t.Logf("this kernel cannot bound writing: %v", st.Last.Fence.Missing)
	}
	if _, err := os.Stat(filepath.Join(v.state, "policy")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a policy was taken: %v", err)
	}
	t.Logf("%d random rounds, at most %.1f MiB; mallory: %v", rounds, float64(v.most)/(1<<20), v.m.calls)
}

func TestAServerThatNeverAnswersHoldsNobody(t *testing.T) {
	v := newVictim(t, 1)
	v.m.play("")
	if r := v.enrol(); r.code != 0 {
		t.Fatalf("enrol: %s", r.out)
	}
	v.m.play("never ends")
	v.m.hang = time.Minute
	dir, err := built()
	must(t, err)
	c := exec.Command(filepath.Join(dir, "rollcall-agent"), "once", "--root", v.root, "--state", v.state)
	must(t, c.Start())
	for range 400 { // until the call hangs
		v.m.mu.Lock()
		hangs := v.m.calls["submit: never ends"] > 0
		v.m.mu.Unlock()
		if hangs {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	start := time.Now()
	must(t, c.Process.Signal(syscall.SIGTERM))
	err = c.Wait()
	if took := time.Since(start); took > 5*time.Second || c.ProcessState.ExitCode() < 0 {
		t.Errorf("it ended after %s: %v", took, err)
	}
	st, err := agent.ReadStatus(agent.Config{State: v.state})
	if err != nil || st.Spool.Waiting != 1 {
		t.Errorf("the report does not wait: %+v, %v", st.Spool, err)
	}
}
