package fence

import "golang.org/x/sys/unix"

const (
	audit = unix.AUDIT_ARCH_X86_64
	x32   = 0x4000_0000 // __X32_SYSCALL_BIT: the same calls under other numbers
)

// ofThisArchitecture is what amd64 has beside the common calls.
var ofThisArchitecture = []int{
	unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_USELIB, unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS_MKNOD,
}
