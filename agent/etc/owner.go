package etc

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxAccounts bounds how much of passwd and group is read, in bytes.
const maxAccounts = 8 << 20

// owners gives users and groups their names as the root's own passwd and group
// have them. The name service is never asked: it is another machine's when the
// root is another machine, and LDAP's when it is not.
type owners struct {
	etc           int // folder to read from
	loaded        bool
	users, groups map[uint32]string
	problem       string // why a number may stand where a name should
}

func (o *owners) user(id uint32) string {
	o.load()
	return nameOf(o.users, id)
}

func (o *owners) group(id uint32) string {
	o.load()
	return nameOf(o.groups, id)
}

func nameOf(names map[uint32]string, id uint32) string {
	if name, ok := names[id]; ok {
		return name
	}
	return strconv.FormatUint(uint64(id), 10)
}

func (o *owners) load() {
	if o.loaded {
		return
	}
	o.loaded = true
	var err, err2 error
	o.users, err = readAccounts(o.etc, "passwd")
	o.groups, err2 = readAccounts(o.etc, "group")
	if err == nil {
		err = err2
	}
	if err != nil {
		o.problem = err.Error() + ": owners are given as numbers"
	}
}

// readAccounts reads the names of a passwd(5) or group(5) file, whose first and
// third fields are name and number in both. The first name of a number counts.
func readAccounts(etc int, name string) (map[uint32]string, error) {
	fd, err := openat(etc, name, 0)
	if err != nil {
		return nil, fmt.Errorf("read names: %w", &os.PathError{Op: "open", Path: "etc/" + name, Err: err})
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("read names: etc/%s is no regular file", name)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxAccounts))
	if err != nil {
		return nil, fmt.Errorf("read names of etc/%s: %w", name, err)
	}
	return parseAccounts(content), nil
}

func parseAccounts(content []byte) map[uint32]string {
	names := map[uint32]string{}
	for line := range bytes.Lines(content) {
		fields := strings.SplitN(strings.TrimRight(string(line), "\n"), ":", 4)
		if len(fields) < 3 || fields[0] == "" || strings.HasPrefix(fields[0], "#") {
			continue
		}
		id, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil { // "+" lines of NIS have none
			continue
		}
		if _, taken := names[uint32(id)]; !taken {
			names[uint32(id)] = fields[0]
		}
	}
	return names
}
