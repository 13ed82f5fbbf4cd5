package fence

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// minLandlock is the first version of Landlock that lets files move between the
// folders below a writable one (Linux 5.19); older ones would break the spool.
const minLandlock = 2

// changing is what Landlock calls the ways to change a file system, by the version
// that brought each; executing is among them for being as unwanted.
var changing = []struct {
	since  uintptr
	rights uint64
}{
	{1, unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR},
	{2, unix.LANDLOCK_ACCESS_FS_REFER},
	{3, unix.LANDLOCK_ACCESS_FS_TRUNCATE},
}

// nowhere is what is not even allowed below a writable folder: devices, and
// anything to run.
const nowhere = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR

// Files makes the kernel refuse, on every thread and with EACCES, to change any
// file outside of the writable folders, which must exist, and to execute any file
// anywhere. Files that are open already stay as they are, such as standard error.
// It cannot be undone.
func Files(writable ...string) error {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch {
	case errno != 0:
		return fmt.Errorf("files: %w: this kernel or container has no Landlock: %w", ErrMissing, errno)
	case abi < minLandlock:
		return fmt.Errorf("files: %w: Landlock version %d of this kernel is older than %d", ErrMissing, abi, minLandlock)
	}
	var attr unix.LandlockRulesetAttr
	for _, c := range changing {
		if abi >= c.since {
			attr.Handled_access_fs |= c.rights
		}
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return fmt.Errorf("files: %w: %w", ErrMissing, errno)
	}
	rules := os.NewFile(fd, "landlock")
	defer rules.Close()
	for _, dir := range writable {
		if err := allow(fd, dir, attr.Handled_access_fs&^nowhere); err != nil {
			return fmt.Errorf("files: %w: allow %s: %w", ErrMissing, dir, err)
		}
	}
	err := locked(func() error {
		if err := noNewPrivileges(); err != nil {
			return err
		}
		// Every thread has a domain of its own, and Go moves between them.
		if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
			return errno
		}
		return nil
	})
	switch {
	case errors.Is(err, syscall.ENOTSUP):
		return fmt.Errorf("files: %w: this build has C in it", ErrMissing)
	case err != nil:
		return fmt.Errorf("files: %w: %w", ErrMissing, err)
	}
	return nil
}

func allow(rules uintptr, dir string, rights uint64) error {
	parent, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC|unix.O_DIRECTORY, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(parent)
	beneath := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(parent)}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, rules, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&beneath)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
