// Package faultfs is a file system for tests whose n-th operation fails: a folder
// behind FUSE, on which a program works as on any other.
//
// It promises that the failing operation is not done, that those after it succeed
// (a disk that fails once is harder on a program than one that stays dead), and that
// all operations that change anything are counted: create, write, truncate, fsync of
// files and folders, rename, link, mkdir, unlink. No program contains it.
//
// The file system is a process of its own, the test program started again: a program
// that maps files of a file system that it serves itself waits for itself when it
// touches them.
package faultfs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// childEnv holds the two folders of a file system that this program shall be.
const childEnv = "ROLLCALL_TEST_FAULTFS"

// FS is a mounted folder. It is used by one goroutine at a time.
type FS struct {
	child *exec.Cmd
	ask   io.WriteCloser
	tell  *bufio.Reader
}

// Main serves the file system and ends the program, if that is what it was started
// for. TestMain of a package that mounts calls it first.
func Main() {
	from, to, ok := strings.Cut(os.Getenv(childEnv), "\n")
	if !ok {
		return
	}
	if err := serve(from, to); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Mount shows folder from at folder to, which must exist. It needs root and
// /dev/fuse.
func Mount(from, to string) (*FS, error) {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childEnv+"="+from+"\n"+to)
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := c.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", to, err)
	}
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", to, err)
	}
	f := &FS{child: c, ask: in, tell: bufio.NewReader(out)}
	if _, err := f.answer(); err != nil {
		return nil, errors.Join(fmt.Errorf("mount %s: %w", to, err), f.Unmount())
	}
	return f, nil
}

func (f *FS) answer() (string, error) {
	line, err := f.tell.ReadString('\n')
	line = strings.TrimSpace(line)
	if text, bad := strings.CutPrefix(line, "error: "); bad {
		return "", errors.New(text)
	}
	return line, err
}

// Unmount ends it. All files in it must have been closed.
func (f *FS) Unmount() error {
	if err := errors.Join(f.ask.Close(), f.child.Wait()); err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	return nil
}

// Fail lets the n-th of the operations to come fail with an error, once. Operations
// are counted from 0 again; n is 1 or more, 0: none fails.
func (f *FS) Fail(n int, with syscall.Errno) error {
	if _, err := fmt.Fprintf(f.ask, "%d %d\n", n, with); err != nil {
		return fmt.Errorf("ask for a fault: %w", err)
	}
	_, err := f.answer()
	return err
}

// Count returns how many operations there were since Fail, and which one failed,
// empty if none did.
func (f *FS) Count() (n int, failed string, err error) {
	if _, err := fmt.Fprintln(f.ask, "?"); err != nil {
		return 0, "", fmt.Errorf("ask for the count: %w", err)
	}
	line, err := f.answer()
	if err != nil {
		return 0, "", fmt.Errorf("ask for the count: %w", err)
	}
	number, failed, _ := strings.Cut(line, " ")
	if _, err := fmt.Sscan(number, &n); err != nil {
		return 0, "", fmt.Errorf("count %q: %w", line, err)
	}
	return n, failed, nil
}
