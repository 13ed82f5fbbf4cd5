//go:build amd64 || arm64

package fence

import (
	"encoding/binary"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// call is one system call as the kernel shows it to a filter: struct
// seccomp_data of seccomp(2).
type call struct {
	arch uint32
	nr   int
	args [6]uint64
}

func (c call) bytes() []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(c.nr))
	b = binary.LittleEndian.AppendUint32(b, c.arch)
	b = binary.LittleEndian.AppendUint64(b, 0) // the instruction pointer
	for _, a := range c.args {
		b = binary.LittleEndian.AppendUint64(b, a)
	}
	return b
}

// verdict runs a filter as the kernel would.
func verdict(t *testing.T, filter []unix.SockFilter, c call) uint32 {
	t.Helper()
	data, acc := c.bytes(), uint32(0)
	for pc := 0; pc < len(filter); pc++ {
		var yes bool
		switch in := filter[pc]; in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = binary.LittleEndian.Uint32(data[in.K:])
			continue
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			yes = acc == in.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			yes = acc >= in.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			yes = acc&in.K != 0
		default:
			t.Fatalf("instruction %d: code %#x is not one of ours", pc, in.Code)
		}
		if yes {
			pc += int(filter[pc].Jt)
		} else {
			pc += int(filter[pc].Jf)
		}
	}
	t.Fatal("the filter ends without an answer")
	return 0
}

func TestTheFilterRefusesWhatNothingHereNeeds(t *testing.T) {
	const allow, enosys = unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	threads := uint64(unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD)
	tests := []struct {
		what          string
		call          call
		agent, server uint32
	}{
		{"execve", call{nr: unix.SYS_EXECVE}, refuse, refuse},
		{"execveat", call{nr: unix.SYS_EXECVEAT}, refuse, refuse},
		{"a call of another architecture", call{nr: unix.SYS_READ, arch: unix.AUDIT_ARCH_I386}, refuse, refuse},
		{"execve of another architecture", call{nr: 11, arch: unix.AUDIT_ARCH_I386}, refuse, refuse},
		{"an x32 read", call{nr: x32}, refuse, refuse},
		{"x32 execve", call{nr: x32 + 520}, refuse, refuse},
		{"a number that wraps", call{nr: -1}, refuse, refuse},
		{"a new process", call{nr: unix.SYS_CLONE, args: [6]uint64{uint64(unix.SIGCHLD)}}, refuse, refuse},
		{"a new process like vfork", call{nr: unix.SYS_CLONE, args: [6]uint64{unix.CLONE_VM | unix.CLONE_VFORK}}, refuse, refuse},
		{"a new thread", call{nr: unix.SYS_CLONE, args: [6]uint64{threads}}, allow, allow},
		{"a thread with the upper half set", call{nr: unix.SYS_CLONE, args: [6]uint64{threads | 1<<40}}, allow, allow},
		{"CLONE_THREAD in the upper half", call{nr: unix.SYS_CLONE, args: [6]uint64{unix.CLONE_THREAD << 32}}, refuse, refuse},
		{"clone3", call{nr: unix.SYS_CLONE3}, enosys, enosys},
		{"memory to write", call{nr: unix.SYS_MMAP, args: [6]uint64{0, 4096, unix.PROT_READ | unix.PROT_WRITE}}, allow, allow},
		{"memory to execute", call{nr: unix.SYS_MMAP, args: [6]uint64{0, 4096, unix.PROT_READ | unix.PROT_EXEC}}, refuse, refuse},
		{"memory made executable", call{nr: unix.SYS_MPROTECT, args: [6]uint64{0, 4096, unix.PROT_EXEC}}, refuse, refuse},
		{"a unix socket", call{nr: unix.SYS_SOCKET, args: [6]uint64{unix.AF_UNIX}}, allow, allow},
		{"an IPv6 socket", call{nr: unix.SYS_SOCKET, args: [6]uint64{unix.AF_INET6, unix.SOCK_STREAM}}, allow, allow},
		{"a netlink socket", call{nr: unix.SYS_SOCKET, args: [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW}}, allow, allow},
		{"a packet socket", call{nr: unix.SYS_SOCKET, args: [6]uint64{unix.AF_PACKET, unix.SOCK_RAW}}, refuse, refuse},
		{"a vsock", call{nr: unix.SYS_SOCKET, args: [6]uint64{unix.AF_VSOCK}}, refuse, refuse},
		{"typing into the terminal", call{nr: unix.SYS_IOCTL, args: [6]uint64{0, unix.TIOCSTI}}, refuse, refuse},
		{"the size of the terminal", call{nr: unix.SYS_IOCTL, args: [6]uint64{0, unix.TIOCGWINSZ}}, allow, allow},
		{"listen", call{nr: unix.SYS_LISTEN}, refuse, allow},
		{"accept4", call{nr: unix.SYS_ACCEPT4}, refuse, allow},
		{"bind", call{nr: unix.SYS_BIND}, allow, allow}, // netlink binds, and a filter cannot see to what; the unit can
		{"openat", call{nr: unix.SYS_OPENAT}, allow, allow},
		{"openat2", call{nr: unix.SYS_OPENAT2}, allow, allow},
		{"fsync", call{nr: unix.SYS_FSYNC}, allow, allow},
		{"fchownat", call{nr: unix.SYS_FCHOWNAT}, allow, allow}, // restore
		{"connect", call{nr: unix.SYS_CONNECT}, allow, allow},
		{"futex", call{nr: unix.SYS_FUTEX}, allow, allow},
		{"tgkill", call{nr: unix.SYS_TGKILL}, allow, allow}, // the scheduler of Go
		{"Landlock", call{nr: unix.SYS_LANDLOCK_RESTRICT_SELF}, allow, allow},
	}
	for _, nr := range append(append([]int{}, never...), ofThisArchitecture...) {
		tests = append(tests, struct {
			what          string
			call          call
			agent, server uint32
		}{"a call of the list", call{nr: nr, args: [6]uint64{^uint64(0), ^uint64(0)}}, refuse, refuse})
	}
	agent, server := program(denied(false)), program(denied(true))
	for _, tt := range tests {
		if tt.call.arch == 0 {
			tt.call.arch = audit
		}
		if got := verdict(t, agent, tt.call); got != tt.agent {
			t.Errorf("agent: %s (%d): got %#x, want %#x", tt.what, tt.call.nr, got, tt.agent)
		}
		if got := verdict(t, server, tt.call); got != tt.server {
			t.Errorf("server: %s (%d): got %#x, want %#x", tt.what, tt.call.nr, got, tt.server)
		}
	}
}

// The numbers are the kernel's (arch/x86/entry/syscalls/syscall_64.tbl,
// include/uapi/asm-generic/unistd.h), written out here so that a build for the
// wrong architecture shows.
func TestTheFilterIsForThisArchitecture(t *testing.T) {
	want := map[string][4]int{
		"amd64": {59, 322, 101, 50}, "arm64": {221, 281, 117, 201},
	}[runtime.GOARCH]
	got := [4]int{unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE, unix.SYS_LISTEN}
	if got != want {
		t.Errorf("execve, execveat, ptrace, listen are %v, want %v", got, want)
	}
}
