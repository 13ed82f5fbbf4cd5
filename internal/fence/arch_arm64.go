package fence

import "golang.org/x/sys/unix"

const (
	audit = unix.AUDIT_ARCH_AARCH64
	x32   = 0x4000_0000 // no call has such a number
)

// ofThisArchitecture is what arm64 has beside the common calls: nothing.
var ofThisArchitecture []int
