//go:build amd64 || arm64

package fence

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Calls makes the kernel refuse, with EPERM and on every thread, the system calls
// that neither an observer nor a server of files needs: starting a program or
// another process, tracing, loading kernel code, mounting, opening by handle,
// changing the clock or the user, and the like. listens allows waiting for
// connections. It cannot be undone.
func Calls(listens bool) error {
	return locked(func() error {
		if err := noNewPrivileges(); err != nil {
			return fmt.Errorf("system calls: %w: no_new_privs: %w", ErrMissing, err)
		}
		filter := program(denied(listens))
		prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
		switch {
		case errno != 0:
			return fmt.Errorf("system calls: %w: this kernel or container takes no filter: %w", ErrMissing, errno)
		case thread != 0:
			return fmt.Errorf("system calls: %w: thread %d has a filter of its own", ErrMissing, thread)
		}
		return nil
	})
}

// Offsets into struct seccomp_data (seccomp(2)). Both architectures are little
// endian, so the low half of an argument comes first; what is looked at below
// lies in the low half.
const (
	offCall = 0
	offArch = 4
	offArgs = 16
)

// refuse is what the kernel answers: EPERM, which every library treats as "not
// allowed" and survives. Killing would turn a harmless attempt into an outage.
const refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)

// program makes the filter of the rules in the form of bpf(4), classic.
func program(rules []rule) []unix.SockFilter {
	p := []unix.SockFilter{
		load(offArch), skipIf(unix.BPF_JEQ, audit, 1, 0), ret(refuse), // 32-bit calls of the same processor
		load(offCall), skipIf(unix.BPF_JGE, x32, 0, 1), ret(refuse), // the x32 calls of amd64
	}
	for _, r := range rules {
		body := r.body()
		p = append(p, skipIf(unix.BPF_JEQ, uint32(r.call), 0, uint8(len(body))))
		p = append(p, body...)
	}
	return append(p, ret(unix.SECCOMP_RET_ALLOW))
}

// rule refuses one call, always or for some values of one argument.
type rule struct {
	call   int
	arg    int
	when   condition
	values []uint32
	answer uint32 // 0: refuse
}

type condition int

const (
	always condition = iota
	anyBit           // the argument has a bit of the values
	noBit            // it has none
	oneOf            // it is one of the values
	noneOf           // it is another
)

// body is what runs once the call is the rule's; it always ends in an answer.
func (r rule) body() []unix.SockFilter {
	answer := r.answer
	if answer == 0 {
		answer = refuse
	}
	if r.when == always {
		return []unix.SockFilter{ret(answer)}
	}
	hit, miss, jump := answer, uint32(unix.SECCOMP_RET_ALLOW), uint16(unix.BPF_JEQ)
	if r.when == noBit || r.when == noneOf {
		hit, miss = miss, hit
	}
	if r.when == anyBit || r.when == noBit {
		jump = unix.BPF_JSET
	}
	p := []unix.SockFilter{load(uint32(offArgs + 8*r.arg))}
	for _, v := range r.values {
		p = append(p, skipIf(jump, v, 0, 1), ret(hit))
	}
	return append(p, ret(miss))
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func skipIf(test uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: k, Jt: yes, Jf: no}
}

func ret(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
