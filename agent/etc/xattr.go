package etc

import (
	"bytes"
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"rollcall/internal/seal"
)

// Bounds of extended attributes (xattr(7)). With them a value of fact.File stays
// below fact.MaxValue.
const (
	maxXattrs     = 16
	maxXattrValue = 1024 // bytes
	maxXattrTotal = 3072 // bytes of names and values of one entry
)

// xattrs reads the attributes of an open file or folder that a restore needs:
// POSIX ACLs, file capabilities and the user's own. left tells that there were
// more than the bounds allow. User attributes of a secret, or that look like a
// secret, are left out without a word about their content.
func xattrs(fd int, secret bool, buf []byte) (attrs map[string]string, left bool) {
	names, value := buf[:len(buf)-maxXattrValue], buf[len(buf)-maxXattrValue:]
	n, err := unix.Flistxattr(fd, names)
	if n == 0 || err != nil {
		return nil, errors.Is(err, unix.ERANGE) // no support is no attribute
	}
	total := 0
	for name := range bytes.SplitSeq(names[:n], []byte{0}) {
		name := string(name)
		if !wanted(name) {
			continue
		}
		user := strings.HasPrefix(name, "user.")
		size, err := unix.Fgetxattr(fd, name, value)
		switch {
		case errors.Is(err, unix.ENODATA): // gone meanwhile
			continue
		case err != nil, len(attrs) == maxXattrs, total+len(name)+size > maxXattrTotal,
			user && (secret || seal.Sniff(value[:size])):
			left = true
			continue
		}
		if attrs == nil {
			attrs = map[string]string{}
		}
		attrs[name] = string(value[:size])
		total += len(name) + size
	}
	return attrs, left
}

func wanted(name string) bool {
	switch name {
	case "system.posix_acl_access", "system.posix_acl_default", "security.capability":
		return true
	}
	return strings.HasPrefix(name, "user.") && len(name) <= MaxName
}
