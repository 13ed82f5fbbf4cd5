// Package fence shuts a process in while it is still its own master, so that
// whoever takes it over later, through a flaw in a parser, finds a process that
// can start no program, wait for no connection (unless it is a server), and
// write nowhere but in the folders it named.
//
// Three fences, each of the kernel, none of which can be taken down again:
// Secrets keeps memory out of core dumps and debuggers, Calls refuses the system
// calls that nothing here needs (seccomp), Files refuses writing outside of named
// folders (Landlock). A kernel or container that lacks one is no reason to stop:
// the error says which fence does not stand, and the programs show it. What a
// process may read is not limited here; the systemd units do that.
package fence

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrMissing is wrapped by every error that says that a fence does not stand.
var ErrMissing = errors.New("not shut in")

// State is which fences stand, as the programs keep and show it.
type State struct {
	Secrets bool     `json:"secrets"` // no core dumps, no debugger
	Calls   bool     `json:"calls"`   // needless system calls are refused
	Files   bool     `json:"files"`   // nothing is written outside of named folders
	Missing []string `json:"missing,omitempty"`
}

// Start raises the fences that a program can raise before it knows its
// configuration. listens is for programs that wait for connections.
func Start(listens bool) State {
	var s State
	s.Secrets = s.add(Secrets())
	s.Calls = s.add(Calls(listens))
	return s
}

// Enclose raises the last fence: see Files.
func (s *State) Enclose(writable ...string) { s.Files = s.add(Files(writable...)) }

func (s *State) add(err error) (stands bool) {
	if err != nil {
		s.Missing = append(s.Missing, err.Error())
	}
	return err == nil
}

// Secrets keeps what is in memory, such as private keys, there: no core dump is
// written, and no other process of the same user may attach or read it.
func Secrets() error {
	// The hard limit too: the soft one alone could be raised again. A service
	// manager may have set it already and forbid the call.
	var core unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_CORE, &core)
	if err != nil || core != (unix.Rlimit{}) {
		err = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	}
	if err != nil {
		return fmt.Errorf("memory: %w: forbid core dumps: %w", ErrMissing, err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("memory: %w: forbid debuggers: %w", ErrMissing, err)
	}
	return nil
}

// noNewPrivileges lets no exec raise privileges, on every thread; the kernel asks
// for it before it takes a filter from an unprivileged process. In a program with
// C in it, such as a test with the race detector, only the calling thread can be
// reached: the caller locks it, and seccomp carries it over to the others.
func noNewPrivileges() error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	if errno == syscall.ENOTSUP {
		return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
	if errno != 0 {
		return errno
	}
	return nil
}

// locked runs f on one thread.
func locked(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return f()
}
