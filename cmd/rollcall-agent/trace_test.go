package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// built is the folder with the real program, built as it is shipped.
var (
	needsBuilt bool
	built      = sync.OnceValues(func() (string, error) {
		needsBuilt = true
		dir, err := os.MkdirTemp("", "rollcall-agent-")
		if err != nil {
			return "", err
		}
		c := exec.Command("go", "build", "-tags", "grpcnotrace", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", dir, ".")
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := c.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("build: %w\n%s", err, out)
		}
		return dir, err
	})
)

// traced is one call of the real program under strace.
type traced struct {
	code   int
	signal bool
	out    string
	rss    int64 // bytes, the most
	execs  int   // tries to start a program, its own start not among them
	writes []string
	binds  []string
}

// changing are the calls that open or change files, start programs or wait for
// connections; a question mark lets strace not know one.
const changing = "execve,execveat,?fork,?vfork,?open,openat,openat2,?creat,truncate,?mkdir,mkdirat,?mknod,mknodat,?rmdir,?rename,?renameat,renameat2," +
	"?link,linkat,?symlink,symlinkat,?unlink,unlinkat,?chmod,fchmodat,?chown,?lchown,fchownat,setxattr,lsetxattr,listen,bind"

// trace runs the program under strace. Whatever it tries to change outside of the
// allowed folders is in writes.
func trace(t *testing.T, allowed []string, args ...string) traced {
	t.Helper()
	dir, err := built()
	must(t, err)
	log := filepath.Join(t.TempDir(), "trace")
	words := append([]string{"-f", "-qq", "-y", "--seccomp-bpf", "-e", "trace=" + changing, "-e", "signal=none", "-o", log, filepath.Join(dir, "rollcall-agent")}, args...)
	c := exec.Command("strace", words...)
	c.Env = []string{"HOME=/nonexistent", "NO_COLOR=1"}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	must(t, c.Start())
	ended, most := make(chan struct{}), make(chan int64)
	go func() { most <- watch(c.Process.Pid, ended) }()
	_ = c.Wait() // its exit status is looked at by the caller
	close(ended)
	ws, _ := c.ProcessState.Sys().(syscall.WaitStatus)
	r := traced{code: c.ProcessState.ExitCode(), signal: ws.Signaled(), out: out.String(), rss: <-most}
	text, err := os.ReadFile(log)
	must(t, err)
	if len(text) == 0 {
		t.Fatalf("strace saw nothing: %s", out.String())
	}
	r.look(string(text), allowed)
	return r
}

// watch returns the most memory that the child of strace had. The kernel's own
// account (ru_maxrss) begins with the memory of whoever started the process, which
// here is this test.
func watch(strace int, ended <-chan struct{}) (most int64) {
	for {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", strace, strace))
		for child := range strings.FieldsSeq(string(children)) {
			status, _ := os.ReadFile("/proc/" + child + "/status")
			_, rest, _ := strings.Cut(string(status), "\nVmHWM:")
			var kib int64
			if strings.HasPrefix(string(status), "Name:\trollcall-agent") {
				_, _ = fmt.Sscan(rest, &kib) // it may have ended
			}
			most = max(most, kib<<10)
		}
		select {
		case <-ended:
			return most
		case <-time.After(5 * time.Millisecond):
		}
	}
}

var (
	unfinished = regexp.MustCompile(`^(\d+) +(.*?) *<unfinished \.\.\.>$`)
	resumed    = regexp.MustCompile(`^(\d+) +<\.\.\. \S+ resumed>(.*)$`)
	wholeCall  = regexp.MustCompile(`^(\d+) +([a-z_0-9]+)\((.*)$`)
	named      = regexp.MustCompile(`(?:(?:\d+|AT_FDCWD)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"`)
	openedAs   = regexp.MustCompile(` = \d+<([^>]*)>$`)
	forWriting = regexp.MustCompile(`O_(WRONLY|RDWR|CREAT|TRUNC|TMPFILE)`)
)

// look reads what strace wrote.
func (r *traced) look(text string, allowed []string) {
	waiting := map[string]string{}
	r.execs = -1 // its own start
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if f := unfinished.FindStringSubmatch(line); f != nil {
			waiting[f[1]] = f[2]
			continue
		}
		if f := resumed.FindStringSubmatch(line); f != nil {
			line = f[1] + " " + waiting[f[1]] + f[2]
		}
		f := wholeCall.FindStringSubmatch(line)
		if f == nil {
			continue
		}
		switch name, rest := f[2], f[3]; name {
		case "execve", "execveat", "fork", "vfork":
			r.execs++
		case "listen", "bind":
			if name == "listen" || !strings.Contains(rest, "AF_NETLINK") {
				r.binds = append(r.binds, line)
			}
		case "open", "openat", "openat2":
			if !forWriting.MatchString(rest) {
				continue
			}
			if as := openedAs.FindStringSubmatch(rest); as != nil {
				r.judge(as[1], line, allowed)
				continue
			}
			r.judgeNames(rest, line, allowed)
		case "symlink", "symlinkat": // the first name is the text of the link
			_, rest, _ = strings.Cut(rest, `", `)
			r.judgeNames(rest, line, allowed)
		default:
			r.judgeNames(rest, line, allowed)
		}
	}
}

func (r *traced) judgeNames(rest, line string, allowed []string) {
	for _, n := range named.FindAllStringSubmatch(rest, -1) {
		name := n[2]
		if !filepath.IsAbs(name) {
			name = filepath.Join(n[1], name)
		}
		r.judge(name, line, allowed)
	}
}

func (r *traced) judge(name, line string, allowed []string) {
	name = strings.TrimSuffix(name, " (deleted)")
	for _, dir := range allowed {
		if name == dir || strings.HasPrefix(filepath.Clean(name), dir+"/") {
			return
		}
	}
	r.writes = append(r.writes, line)
}

// What the tests of hostile servers rest on.
func TestATraceShowsWhatAProcessTries(t *testing.T) {
	const state = "/s"
	tests := []struct {
		line                 string
		execs, writes, binds int
	}{
		{`7 openat(AT_FDCWD</>, "/s/spool", O_WRONLY|O_CREAT|O_CLOEXEC, 0600) = 5</s/spool>`, 0, 0, 0},
		{`7 openat(AT_FDCWD</>, "/s/spool", O_WRONLY|O_CREAT|O_CLOEXEC, 0600) = 5</x/spool>`, 0, 1, 0}, // through a link
		{`7 openat(9</s>, "../x", O_RDWR|O_CREAT) = -1 EACCES (Permission denied)`, 0, 1, 0},
		{`7 openat(AT_FDCWD</>, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 5</etc/passwd>`, 0, 0, 0},
		{"7 openat(9</x>, \"a\", O_RDWR|O_CREAT <unfinished ...>\n8 listen(3<TCP:[1]>, 128) = 0\n7 <... openat resumed>, 0600) = 5</x/a>", 0, 1, 1},
		{`7 renameat(9</s>, "a", 9</s>, "b") = 0`, 0, 0, 0},
		{`7 renameat(9</s>, "a", 8</x>, "b") = 0`, 0, 1, 0},
		{`7 renameat(AT_FDCWD</>, "/s/a", AT_FDCWD</>, "/s2/b") = 0`, 0, 1, 0},
		{`7 symlinkat("/etc", 9</s>, "a") = 0`, 0, 0, 0},
		{`7 symlinkat("a", 9</x>, "a") = 0`, 0, 1, 0},
		{`7 execve("/bin/sh", ["sh"], 0x1 /* 2 vars */) = -1 EPERM (Operation not permitted)`, 1, 0, 0},
		{`7 bind(3<NETLINK:[1]>, {sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}, 12) = 0`, 0, 0, 0},
		{`7 bind(3<TCP:[1]>, {sa_family=AF_INET, sin_port=htons(80)}, 16) = 0`, 0, 0, 1},
	}
	for _, tt := range tests {
		var r traced
		r.look(`7 execve("rollcall-agent", ["rollcall-agent"], 0x1 /* 2 vars */) = 0`+"\n"+tt.line+"\n", []string{state})
		if r.execs != tt.execs || len(r.writes) != tt.writes || len(r.binds) != tt.binds {
			t.Errorf("%s: %d, %q, %q", tt.line, r.execs, r.writes, r.binds)
		}
	}
}
