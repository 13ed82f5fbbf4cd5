package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
)

// process is a server of our own: a process, and the folder that it lives in.
type process struct {
	program string
	folder  string
	remove  bool
	config  string
	metrics string // address
	command *exec.Cmd
	ended   chan error
	log     *os.File
}

// openProcess founds and starts a server, and gives the logins of two people.
func openProcess(ctx context.Context, p plan) (h *process, logins [2]identity.Token, err error) {
	if h, logins, err = newProcess(ctx, p.program, p.folder, p.clients); err != nil {
		return nil, logins, err
	}
	if err = h.start(); err != nil {
		return nil, logins, errors.Join(err, h.close())
	}
	return h, logins, nil
}

// newProcess founds a server in a new folder, or in a temporary one.
func newProcess(ctx context.Context, program, folder string, clients int) (h *process, logins [2]identity.Token, err error) {
	h = &process{folder: folder, remove: folder == ""}
	if h.program, err = serverProgram(program); err != nil {
		return nil, logins, err
	}
	if h.remove {
		h.folder, err = os.MkdirTemp("", "rollcall-bench-")
	} else {
		err = os.Mkdir(h.folder, 0o700)
	}
	if err != nil {
		return nil, logins, fmt.Errorf("make folder of the server: %w", err)
	}
	if h.folder, err = filepath.Abs(h.folder); err == nil {
		err = h.configure(clients)
	}
	if err == nil {
		logins, err = h.found(ctx)
	}
	if err != nil {
		return nil, logins, errors.Join(err, h.close())
	}
	return h, logins, nil
}

// serverProgram finds rollcall-server.
func serverProgram(named string) (string, error) {
	if named != "" {
		return filepath.Abs(named)
	}
	if own, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(own), "rollcall-server")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	file, err := exec.LookPath("rollcall-server")
	return file, cmdline.Hinted(err, "name it with --server-program FILE; 'make build' puts it beside this program")
}

// configure writes the configuration, with addresses that are free.
func (h *process) configure(clients int) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	if h.metrics, err = freeAddress(); err != nil {
		return err
	}
	h.config = filepath.Join(h.folder, "server.conf")
	text := fmt.Sprintf("data = %s\nlisten = %s\naddress = %s\nmetrics = %s\n"+
		"# Room for the clients, and for as many connections that are just ending.\nconnections = %d\nconnections_per_host = %d\n"+
		"# Many machines enrol at once, those of a school from one address.\nhandshakes = 5000\nenrolments_per_host = 6000\n",
		h.data(), address, address, h.metrics, max(4000, 8*clients), max(500, 4*clients))
	if err := os.WriteFile(h.config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

func (h *process) data() string { return filepath.Join(h.folder, "data") }

// found makes the data folder and two operators.
func (h *process) found(ctx context.Context) (logins [2]identity.Token, err error) {
	for i, args := range [][]string{{"init", "--operator", "kari"}, {"operator", "add", "--role", "approver", "ola"}} {
		var out, trouble bytes.Buffer
		c := exec.CommandContext(ctx, h.program, append(args, "--config", h.config)...)
		c.Stdout, c.Stderr = &out, &trouble
		if err := c.Run(); err != nil {
			return logins, fmt.Errorf("%s %s: %w\n%s", h.program, args[0], err, trouble.String())
		}
		if logins[i], err = identity.ParseToken(identity.LoginPrefix, out.String()); err != nil {
			return logins, fmt.Errorf("%s %s: %w", h.program, args[0], err)
		}
	}
	return logins, nil
}

// freeAddress finds a port that nobody listens on just now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// start runs the server; its log goes into the folder. It is killed by nothing
// but stop: an interrupt of this program lets it end in order.
func (h *process) start() (err error) {
	if h.log, err = os.OpenFile(filepath.Join(h.folder, "server.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	h.command = exec.Command(h.program, "run", "--config", h.config)
	h.command.Stderr = h.log
	h.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := h.command.Start(); err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	h.ended = make(chan error, 1)
	go func() { h.ended <- h.command.Wait() }()
	return nil
}

// alive returns an error with the end of the log if the server has ended.
func (h *process) alive() error {
	select {
	case err := <-h.ended:
		h.ended <- err
		log, _ := os.ReadFile(filepath.Join(h.folder, "server.log"))
		return fmt.Errorf("the server has ended: %w\n%s", err, log[max(0, len(log)-2000):])
	default:
		return nil
	}
}

// stop ends the server in order.
func (h *process) stop() error {
	if h.command == nil || h.command.Process == nil {
		return nil
	}
	if err := h.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop server: %w", err)
	}
	defer h.log.Close()
	select {
	case err := <-h.ended:
		h.command = nil
		if err != nil {
			return fmt.Errorf("stop server: %w", err)
		}
		return nil
	case <-time.After(settle):
		return errors.Join(fmt.Errorf("stop server: it did not end within %s", settle), h.command.Process.Kill())
	}
}

// close stops the server and removes its folder if it is a temporary one.
func (h *process) close() error {
	err := h.stop()
	if h.remove {
		err = errors.Join(err, os.RemoveAll(h.folder))
	}
	return err
}

// usage is what the server's process costs and keeps.
type usage struct {
	rss, peak     uint64 // bytes; the pages of the store's file that are mapped count
	private       uint64 // of them what is no file's
	cpu           time.Duration
	store, mirror uint64 // bytes on disk
}

// usage reads /proc (proc(5)) and the folder. A mirror of many files takes a
// moment; it is looked at only if asked for.
func (h *process) usage(mirror bool) (u usage, err error) {
	pid := strconv.Itoa(h.command.Process.Pid)
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return u, fmt.Errorf("look at the server: %w", err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name before may hold anything
	f := strings.Fields(rest)
	if len(f) < 13 {
		return u, fmt.Errorf("look at the server: /proc/%s/stat has %d fields", pid, len(f))
	}
	for _, n := range f[11:13] { // utime, stime: hundredths of a second on Linux
		ticks, err := strconv.ParseUint(n, 10, 63)
		if err != nil {
			return u, fmt.Errorf("look at the server: /proc/%s/stat: %w", pid, err)
		}
		u.cpu += time.Duration(ticks) * 10 * time.Millisecond
	}
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return u, fmt.Errorf("look at the server: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		w := strings.Fields(line)
		if len(w) != 3 || !slices.Contains([]string{"VmRSS:", "VmHWM:", "RssAnon:"}, w[0]) {
			continue
		}
		kib, err := strconv.ParseUint(w[1], 10, 53)
		if err != nil {
			return u, fmt.Errorf("look at the server: /proc/%s/status: %w", pid, err)
		}
		switch w[0] {
		case "VmRSS:":
			u.rss = kib << 10
		case "VmHWM:":
			u.peak = kib << 10
		case "RssAnon:":
			u.private = kib << 10
		}
	}
	if info, err := os.Stat(filepath.Join(h.data(), "rollcall.db")); err == nil {
		u.store = uint64(info.Size())
	}
	if mirror {
		u.mirror, err = sizeOf(filepath.Join(h.data(), "mirror"))
	}
	return u, err
}

// sizeOf adds up the files below a folder. What goes away meanwhile does not
// count.
func sizeOf(dir string) (total uint64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if info, err := d.Info(); err == nil {
			total += uint64(info.Size())
		}
		return nil
	})
	return total, err
}
