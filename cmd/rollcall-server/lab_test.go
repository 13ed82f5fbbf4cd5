package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The end-to-end tests run the real programs as their users do: a lab has one
// server, operators' commands, and machines with roots and, where asked for,
// network namespaces of their own.

// programs are those that are released; breakable ones can be ended at the places
// of package failpoint.
var (
	programs  = sync.OnceValues(func() (string, error) { return buildPrograms() })
	breakable = sync.OnceValues(func() (string, error) { return buildPrograms("-tags", "failpoint") })
)

func buildPrograms(args ...string) (string, error) {
	dir, err := os.MkdirTemp("", "rollcall-e2e-")
	if err != nil {
		return "", err
	}
	builtPrograms = append(builtPrograms, dir)
	for _, p := range []string{"rollcall", "rollcall-agent", "rollcall-server", "rollcall-recovery"} {
		words := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", filepath.Join(dir, p)}, args...)
		c := exec.Command("go", append(words, "./cmd/"+p)...)
		c.Dir, c.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("build %s: %w\n%s", p, err, out)
		}
	}
	return dir, nil
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, made := range builtPrograms {
		_ = os.RemoveAll(made)
	}
	os.Exit(code)
}

// builtPrograms are folders to be removed at the end.
var builtPrograms []string

type lab struct {
	t      *testing.T
	bin    string
	dir    string
	addr   string
	netns  string // of the server and the operators; "" = the test's own
	server *exec.Cmd
	log    *serverLog
	env    []string // of the server alone
}

// newLab makes a server's folder with an operator who is logged in. The server
// listens at addr, inside of the network namespace netns if that is not empty.
func newLab(t *testing.T, addr, netns string) *lab {
	t.Helper()
	if testing.Short() {
		t.Skip("end-to-end tests build and run the programs; not with -short")
	}
	if os.Getuid() != 0 {
		t.Skip("end-to-end tests need root: trees with owners, network namespaces")
	}
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, bin: bin, dir: t.TempDir(), addr: addr, netns: netns, log: &serverLog{}}
	l.settle()
	return l
}

// settle makes the server's folder and its operator, and starts it.
func (l *lab) settle() {
	l.t.Helper()
	// A small reserve: some labs put the data on small disks.
	l.write("server.conf", fmt.Sprintf("data = %s/server\nlisten = %s\naddress = %s\nmetrics =\nreserve = 16MiB\n", l.dir, l.addr, l.addr))
	l.write("agent.conf", "")
	token := l.must("rollcall-server", "init", "--config", l.path("server.conf"), "--operator", "kari")
	l.write("kari.login", token)
	l.start()
	l.t.Cleanup(l.kill)
	l.must("rollcall", "login", "--token-file", l.path("kari.login"))
	for _, site := range []string{"elm", "elm/north", "elm/north/room12", "elm/north/room14"} {
		l.must("rollcall", "site", "add", site)
	}
}

// serverLog is what the server has said; it may be read while the server runs.
type serverLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *serverLog) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *serverLog) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

func (l *lab) write(name, text string) {
	l.t.Helper()
	if err := os.MkdirAll(filepath.Dir(l.path(name)), 0o700); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(l.path(name), []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// command prepares one of the programs.
func (l *lab) command(netns, program string, args ...string) *exec.Cmd {
	words := append([]string{filepath.Join(l.bin, program)}, args...)
	if netns != "" {
		words = append([]string{"ip", "netns", "exec", netns}, words...)
	}
	c := exec.Command(words[0], words[1:]...)
	c.Env = append(os.Environ(), "XDG_CONFIG_HOME="+l.path("config"), "NO_COLOR=1", "TZ=UTC")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return c
}

// must runs a program beside the server and returns its standard output.
func (l *lab) must(program string, args ...string) string {
	l.t.Helper()
	out, err := l.try(l.netns, program, args...)
	if err != nil {
		l.t.Fatalf("%s %s: %v\nserver log:\n%s", program, strings.Join(args, " "), err, l.log)
	}
	return out
}

func (l *lab) try(netns, program string, args ...string) (string, error) {
	var out, msg bytes.Buffer
	c := l.command(netns, program, args...)
	c.Stdout, c.Stderr = &out, &msg
	if err := c.Run(); err != nil {
		return out.String(), fmt.Errorf("%w\n%s%s", err, out.String(), msg.String())
	}
	return out.String(), nil
}

// start runs the server and waits until it answers.
func (l *lab) start() {
	l.t.Helper()
	if !l.launch() {
		l.t.Fatalf("the server does not answer; its log:\n%s", l.log)
	}
}

// launch runs the server and waits until it answers, or has ended: false.
func (l *lab) launch() bool {
	l.t.Helper()
	l.server = l.command(l.netns, "rollcall-server", "run", "--config", l.path("server.conf"))
	l.server.Stderr = l.log
	l.server.Env = append(l.server.Env, l.env...)
	if err := l.server.Start(); err != nil {
		l.t.Fatal(err)
	}
	for range 400 {
		if _, err := os.Stat(l.path("server/control.sock")); err == nil {
			if c, err := net.Dial("unix", l.path("server/control.sock")); err == nil {
				_ = c.Close()
				return true
			}
		}
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.server.Process.Pid)); err != nil || bytes.Contains(b, []byte(") Z ")) {
			return false // proc(5): a zombie, until it is waited for
		}
		time.Sleep(25 * time.Millisecond)
	}
	return false
}

// kill ends the server as a power cut of the process would.
func (l *lab) kill() {
	if l.server == nil {
		return
	}
	_ = syscall.Kill(-l.server.Process.Pid, syscall.SIGKILL)
	_ = l.server.Wait()
	l.server = nil
}

// stop ends the server as an administrator does.
func (l *lab) stop() {
	l.t.Helper()
	if err := l.server.Process.Signal(syscall.SIGTERM); err != nil {
		l.t.Fatal(err)
	}
	if err := l.server.Wait(); err != nil {
		l.t.Fatalf("the server stopped with %v; its log:\n%s", err, l.log)
	}
	l.server = nil
}

// revision is what rollcall history --json says of one.
type revision struct {
	Name     string    `json:"name"`
	Revision uint64    `json:"revision"`
	Recorded time.Time `json:"recorded"`
	Summary  string    `json:"summary"`
	Facts    []struct {
		Path, Old, New string
	} `json:"facts"`
}

func (l *lab) changes(args ...string) []revision {
	l.t.Helper()
	var reply struct {
		Revisions []revision `json:"revisions"`
	}
	l.decode(l.must("rollcall", append([]string{"changes", "--json", "--limit", "1000"}, args...)...), &reply)
	return reply.Revisions
}

// summaries shows revisions in a line each.
func summaries(revs []revision) string {
	var b strings.Builder
	for _, r := range revs {
		fmt.Fprintf(&b, "\n  %s %d at %s: %s", r.Name, r.Revision, r.Recorded.Format(time.TimeOnly), r.Summary)
		for _, f := range r.Facts[:min(5, len(r.Facts))] {
			fmt.Fprintf(&b, "\n    %s: %q → %q", f.Path, f.Old, f.New)
		}
	}
	return b.String()
}

func (l *lab) decode(text string, into any) {
	l.t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		l.t.Fatalf("JSON: %v\n%s", err, text)
	}
}

// mirrored waits until the git mirror has caught up, and returns the
// repository's folder.
func (l *lab) mirrored(repo string) string {
	l.t.Helper()
	var status struct {
		Backlog uint64 `json:"mirror_backlog"`
	}
	for range 400 {
		l.decode(l.must("rollcall", "status", "--json"), &status)
		if status.Backlog == 0 {
			return l.path("server/mirror/" + repo + ".git")
		}
		time.Sleep(25 * time.Millisecond)
	}
	l.t.Fatalf("the mirror does not catch up: %d revisions behind\n%s", status.Backlog, l.log)
	return ""
}

// git runs the real git.
func (l *lab) git(args ...string) string {
	l.t.Helper()
	c := exec.Command("git", args...)
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C", "TZ=UTC")
	out, err := c.CombinedOutput()
	if err != nil {
		l.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
