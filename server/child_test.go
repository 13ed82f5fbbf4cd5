package server

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"rollcall/internal/faultfs"
	"rollcall/internal/identity"
	"rollcall/server/auth"

	"go.uber.org/goleak"
)

// childEnv names the data folder of a server that this program shall be, instead of
// a test: the memory of a server can be measured only where no attacker shares it.
const childEnv = "ROLLCALL_TEST_SERVER"

func TestMain(m *testing.M) {
	faultfs.Main()
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(serveAsChild(dir))
	}
	if a := os.Getenv(attackEnv); a != "" {
		os.Exit(attackAsChild(a))
	}
	goleak.VerifyTestMain(m)
}

func serveAsChild(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg := Defaults()
	cfg.Data, cfg.Listen, cfg.Metrics = dir, "127.0.0.1:0", ""
	s, err := New(ctx, cfg, "test", slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err == nil {
		err = s.Run(ctx, func(a net.Addr) { fmt.Println(a) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// startChild runs a server as a process of its own.
func startChild(t *testing.T) (*running, *exec.Cmd) {
	t.Helper()
	cfg := folder(t)
	key, err := identity.LoadKey(cfg.KeyFile())
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, cfg: cfg, srv: &Server{key: key}, logs: &logs{}}
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), childEnv+"="+cfg.Data)
	c.Stderr = r.logs
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait() // killed with the test's context at the latest
		if t.Failed() {
			t.Logf("log:\n%.4000s", r.logs.String())
		}
	})
	r.addr, err = bufio.NewReader(out).ReadString('\n')
	if r.addr = strings.TrimSpace(r.addr); err != nil {
		t.Fatalf("the server did not start: %v\n%s", err, r.logs)
	}
	r.kari = r.operator("kari", auth.Everywhere(auth.Roles...)...)
	return r, c
}

// memory tells the resident memory of a process in bytes, now and at its most.
func memory(t *testing.T, pid int) (now, most int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.Atoi(f[1]) // 0 for what is no number
		switch f[0] {
		case "VmRSS:":
			now = kib << 10
		case "VmHWM:":
			most = kib << 10
		}
	}
	return now, most
}
