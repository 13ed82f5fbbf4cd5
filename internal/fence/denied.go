//go:build amd64 || arm64

package fence

import "golang.org/x/sys/unix"

// denied lists what is refused. A list of what is allowed would be shorter to
// argue for and would break with each release of Go or the kernel; the systemd
// units have such a list, and whoever runs without them still has this one.
func denied(listens bool) []rule {
	rules := append(refused(never...), refused(ofThisArchitecture...)...)
	rules = append(rules,
		// Threads are made, processes are not.
		rule{call: unix.SYS_CLONE, arg: 0, when: noBit, values: []uint32{unix.CLONE_THREAD}},
		// Its flags lie in memory, where a filter cannot look. ENOSYS makes a C
		// library fall back to clone.
		rule{call: unix.SYS_CLONE3, answer: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		// Nothing here makes code at run time.
		rule{call: unix.SYS_MMAP, arg: 2, when: anyBit, values: []uint32{unix.PROT_EXEC}},
		rule{call: unix.SYS_MPROTECT, arg: 2, when: anyBit, values: []uint32{unix.PROT_EXEC}},
		rule{call: unix.SYS_PKEY_MPROTECT, arg: 2, when: anyBit, values: []uint32{unix.PROT_EXEC}},
		rule{call: unix.SYS_SOCKET, arg: 0, when: noneOf, values: []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}},
		// Typing into the terminal of the administrator who started it.
		rule{call: unix.SYS_IOCTL, arg: 1, when: oneOf, values: []uint32{unix.TIOCSTI, unix.TIOCLINUX}},
	)
	if !listens {
		rules = append(rules, refused(unix.SYS_LISTEN, unix.SYS_ACCEPT, unix.SYS_ACCEPT4)...)
	}
	return rules
}

func refused(calls ...int) []rule {
	rules := make([]rule, len(calls))
	for i, c := range calls {
		rules[i].call = c
	}
	return rules
}

// never is what no program of Rollcall does.
var never = []int{
	// start a program
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_MEMFD_CREATE,
	// look into or act in another process
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP,
	// change what is mounted where, or the namespace
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_FSOPEN, unix.SYS_FSPICK, unix.SYS_FSCONFIG,
	unix.SYS_FSMOUNT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_MOUNT_SETATTR, unix.SYS_UNSHARE, unix.SYS_SETNS,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD,
	// pass by the permissions of folders: with CAP_DAC_READ_SEARCH, a handle reaches any file of a file system
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_FANOTIFY_INIT,
	// change the kernel
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_BPF,
	unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_PERSONALITY, unix.SYS_SYSLOG, unix.SYS_ACCT, unix.SYS_REBOOT,
	// do calls where no filter sees them
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	// keys of the kernel
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	// the name and the time of the machine
	unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX,
	// become somebody else
	unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID, unix.SYS_SETRESGID, unix.SYS_SETGROUPS,
	unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_CAPSET,
	// make devices
	unix.SYS_MKNODAT,
}
