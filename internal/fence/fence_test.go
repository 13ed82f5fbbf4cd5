package fence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A fence cannot be taken down, so each test is run by a child: this test program,
// built without C as the programs are, with the name of what to try in its
// environment.
const childVariable = "ROLLCALL_FENCE_CHILD"

func TestMain(m *testing.M) {
	if what := os.Getenv(childVariable); what != "" {
		children[what]()
		return
	}
	os.Exit(m.Run())
}

var children = map[string]func(){"calls": tryCalls, "files": tryFiles, "secrets": trySecrets}

// withoutC builds this test program as the programs are built.
func withoutC(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "fence.test")
	c := exec.Command("go", "test", "-c", "-o", name, ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return name
}

// child returns what the child found: what it tried and how that went.
func child(t *testing.T, program, what, dir string) map[string]string {
	t.Helper()
	c := exec.Command(program)
	c.Env, c.Dir = append(os.Environ(), childVariable+"="+what), dir
	var out, msg bytes.Buffer
	c.Stdout, c.Stderr = &out, &msg
	if err := c.Run(); err != nil {
		t.Fatalf("child: %v\n%s", err, msg.String())
	}
	found := map[string]string{}
	if err := json.Unmarshal(out.Bytes(), &found); err != nil {
		t.Fatalf("child: %v\n%s", err, out.String())
	}
	if why := found["fence"]; why != "" {
		t.Skip(why)
	}
	return found
}

func tell(found map[string]string) {
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		panic(err)
	}
}

func word(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, syscall.EPERM):
		return "EPERM"
	case errors.Is(err, syscall.EACCES):
		return "EACCES"
	}
	return err.Error()
}

func (s State) why() string { return strings.Join(s.Missing, "; ") }

// tryCalls starts threads before and after the fence and tries the same on both.
func tryCalls() {
	ask, answer := make(chan bool), make(chan string)
	var up sync.WaitGroup
	for range 4 {
		up.Add(1)
		go func() {
			runtime.LockOSThread() // a thread of its own, older than the fence
			up.Done()
			<-ask
			answer <- word(syscall.Exec("/bin/true", []string{"true"}, nil))
		}()
	}
	up.Wait()
	found := map[string]string{}
	err := Calls(false)
	if err != nil {
		tell(map[string]string{"fence": err.Error()})
		return
	}
	for i := range 4 {
		ask <- true
		found[fmt.Sprint("exec on older thread ", i)] = <-answer
	}
	found["exec"] = word(syscall.Exec("/bin/true", []string{"true"}, nil))
	found["os/exec"] = word(exec.Command("/bin/true").Run())
	found["mount"] = word(unix.Mount("none", "/", "tmpfs", 0, ""))
	found["ptrace"] = word(unix.PtraceAttach(os.Getppid()))
	_, err = unix.OpenByHandleAt(unix.AT_FDCWD, unix.NewFileHandle(1, []byte("12345678")), 0)
	found["open by handle"] = word(err)
	_, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	found["packet socket"] = word(err)
	_, err = unix.Mmap(-1, 0, 4096, unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	found["executable memory"] = word(err)
	_, err = net.Listen("tcp", "127.0.0.1:0")
	found["listen"] = word(err)
	_, err = os.ReadFile("/proc/self/status")
	found["read"] = word(err)
	found["write"] = word(os.WriteFile("file", []byte("x"), 0o600))
	_, err = net.Interfaces()
	found["netlink"] = word(err)
	var wg sync.WaitGroup
	for range 20 { // new threads
		wg.Go(func() { runtime.LockOSThread() })
	}
	wg.Wait()
	tell(found)
}

func TestAProcessThatIsShutInStartsNothingOnAnyThread(t *testing.T) {
	for kind, program := range map[string]string{"without C": withoutC(t), "with the C of this test": os.Args[0]} {
		for what, got := range child(t, program, "calls", t.TempDir()) {
			want := "EPERM"
			if what == "read" || what == "write" || what == "netlink" {
				want = "done"
			}
			if got != want {
				t.Errorf("%s: %s: %s, want %s", kind, what, got, want)
			}
		}
	}
}

func tryFiles() {
	found := map[string]string{}
	var s State
	if s.Enclose("state"); !s.Files {
		tell(map[string]string{"fence": s.why()})
		return
	}
	try := func(where string) {
		in := func(name string) string { return filepath.Join(where, name) }
		found[in("write a new file")] = word(os.WriteFile(in("new"), []byte("x"), 0o600))
		found[in("append to a file")] = word(appendTo(in("old")))
		found[in("truncate a file")] = word(os.Truncate(in("old"), 0))
		found[in("make a folder")] = word(os.Mkdir(in("folder"), 0o700))
		found[in("make a link")] = word(os.Symlink("x", in("link")))
		found[in("rename")] = word(os.Rename(in("old"), in("older")))
		found[in("remove")] = word(os.Remove(in("gone")))
	}
	try("state")
	try("outside")
	found["move between folders of state"] = word(os.Rename("state/older", "state/folder/older"))
	found["move out"] = word(os.Rename("state/folder/older", "outside/older"))
	found["write through a link that leads out"] = word(appendTo("state/out"))
	found["execute"] = word(syscall.Exec("/bin/true", []string{"true"}, nil))
	_, err := os.ReadFile("outside/old")
	found["read outside"] = word(err)
	tell(found)
}

func appendTo(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

func TestAProcessThatIsShutInWritesNowhereElse(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"state/old", "state/gone", "outside/old", "outside/gone"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../outside/old", filepath.Join(dir, "state/out")); err != nil {
		t.Fatal(err)
	}
	for what, got := range child(t, withoutC(t), "files", dir) {
		allowed := strings.HasPrefix(what, "state/") || what == "read outside" || what == "move between folders of state"
		if allowed != (got == "done") || !allowed && got != "EACCES" && got != syscall.EXDEV.Error() && !strings.HasSuffix(got, syscall.EXDEV.Error()) {
			t.Errorf("%s: %s", what, got)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "outside/old")); err != nil || string(b) != "text" {
		t.Errorf("the file outside is %q, %v", b, err)
	}
}

func trySecrets() {
	err := Secrets()
	var lim unix.Rlimit
	if e := unix.Getrlimit(unix.RLIMIT_CORE, &lim); e != nil {
		err = errors.Join(err, e)
	}
	n, e := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	tell(map[string]string{"raised": word(errors.Join(err, e)), "limits": fmt.Sprint(lim.Cur, lim.Max, n)})
}

func TestAProcessThatIsShutInLeavesNoCoreDump(t *testing.T) {
	found := child(t, os.Args[0], "secrets", t.TempDir())
	if found["raised"] != "done" || found["limits"] != "0 0 0" {
		t.Errorf("got %v, want limits 0 0 and not dumpable", found)
	}
}
