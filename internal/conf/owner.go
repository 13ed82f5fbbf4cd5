package conf

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// CheckOwner refuses to let root work in a private folder of another user, such
// as that of a service: what root leaves in it the service could not change any
// more.
func CheckOwner(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return ownedBy(dir, os.Geteuid(), int(st.Uid))
}

func ownedBy(dir string, us, owner int) error {
	if us != 0 || owner == 0 {
		return nil // of others the mode takes care
	}
	name := strconv.Itoa(owner)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return fmt.Errorf("%s belongs to the user %s: run it as that user: runuser -u %s -- …", dir, name, name)
}
