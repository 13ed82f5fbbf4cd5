package restore

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"rollcall/internal/fact"
)

const passwdPath, groupPath = "etc/passwd", "etc/group"

// accounts are the users and groups of the root itself. The name service of the
// running machine is never asked.
type accounts struct{ users, groups map[string]int }

func readAccounts(root *os.Root) (accounts, error) {
	users, err := readIDs(root, passwdPath)
	if err != nil {
		return accounts{}, err
	}
	groups, err := readIDs(root, groupPath)
	return accounts{users, groups}, err
}

// readIDs reads name and number, the first and third field of passwd(5) and
// group(5) alike.
func readIDs(root *os.Root, name string) (map[string]int, error) {
	ids := map[string]int{"root": 0}
	b, err := readFile(root, name, 8<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return ids, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read names: %w", err)
	}
	return parseIDs(b), nil
}

func parseIDs(b []byte) map[string]int {
	ids := map[string]int{}
	for line := range bytes.Lines(b) {
		fields := strings.SplitN(strings.TrimSpace(string(line)), ":", 4)
		if len(fields) < 3 || fields[0] == "" {
			continue
		}
		if id, err := strconv.ParseUint(fields[2], 10, 31); err == nil {
			if _, twice := ids[fields[0]]; !twice {
				ids[fields[0]] = int(id)
			}
		}
	}
	return ids
}

// id finds a name, or a number that a machine without that name reported.
func id(ids map[string]int, name string) (int, bool) {
	if n, ok := ids[name]; ok {
		return n, true
	}
	n, err := strconv.ParseUint(name, 10, 31)
	return int(n), err == nil
}

// missing names what the file needs and this root does not have.
func (a accounts) missing(f fact.File) string {
	var out []string
	if _, ok := id(a.users, f.Owner); !ok {
		out = append(out, "user "+fact.Escape(f.Owner))
	}
	if _, ok := id(a.groups, f.Group); !ok {
		out = append(out, "group "+fact.Escape(f.Group))
	}
	return strings.Join(out, ", ")
}

// reach is what a file can be given here. Where an owner is missing it goes to
// root, loses its set-id bits, and where the group is missing the group's
// rights: nobody gets more than there.
func (a accounts) reach(f fact.File) (uid, gid int, mode fs.FileMode) {
	mode = f.Mode
	uid, ok := id(a.users, f.Owner)
	if !ok {
		uid, mode = 0, mode&^(fs.ModeSetuid|fs.ModeSetgid)
	}
	gid, ok = id(a.groups, f.Group)
	if !ok {
		gid, mode = 0, mode&^(fs.ModeSetuid|fs.ModeSetgid|0o070)
	}
	return uid, gid, mode
}

// attributeDiff tells in words what sets the attributes apart.
func (a accounts) attributeDiff(want, have fact.File) []string {
	var out []string
	uid, gid, mode := a.reach(want)
	if want.Kind != fact.KindLink && fact.UnixMode(mode) != fact.UnixMode(have.Mode) {
		out = append(out, fmt.Sprintf("mode %04o becomes %04o", fact.UnixMode(have.Mode), fact.UnixMode(mode)))
	}
	if n, ok := id(a.users, have.Owner); !ok || n != uid {
		out = append(out, fmt.Sprintf("owner %s becomes %s", fact.Escape(have.Owner), fact.Escape(want.Owner)))
	}
	if n, ok := id(a.groups, have.Group); !ok || n != gid {
		out = append(out, fmt.Sprintf("group %s becomes %s", fact.Escape(have.Group), fact.Escape(want.Group)))
	}
	if want.Kind != fact.KindLink && !maps.Equal(want.Xattr, have.Xattr) {
		names := slices.Sorted(maps.Keys(want.Xattr))
		out = append(out, "extended attributes become "+fact.Escape(strings.Join(names, " ")))
	}
	return out
}

// readDefaults reads dpkg's record of the conffiles that the new installation
// has: the field Conffiles of /var/lib/dpkg/status (deb-conffiles(5)), lines of
// " NAME MD5 [obsolete]".
func readDefaults(root *os.Root) (map[string]fact.Conffile, error) {
	out := map[string]fact.Conffile{}
	b, err := readFile(root, "var/lib/dpkg/status", 256<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read package defaults: %w", err)
	}
	parseDefaults(b, out)
	return out, nil
}

func parseDefaults(status []byte, out map[string]fact.Conffile) {
	pkg, in := "", false
	for raw := range bytes.Lines(status) {
		line := strings.TrimRight(string(raw), "\r\n")
		switch {
		case line == "":
			pkg, in = "", false
		case strings.HasPrefix(line, "Package:"):
			pkg, in = strings.TrimSpace(line[len("Package:"):]), false
		case strings.HasPrefix(line, "Conffiles:"):
			in = true
		case line[0] != ' ' && line[0] != '\t':
			in = false
		case in:
			addDefault(out, pkg, line)
		}
	}
}

func addDefault(out map[string]fact.Conffile, pkg, line string) {
	obsolete := false
	line = strings.TrimSpace(line)
	for _, mark := range []string{" remove-on-upgrade", " obsolete"} {
		if rest, ok := strings.CutSuffix(line, mark); ok {
			line, obsolete = rest, obsolete || mark == " obsolete"
		}
	}
	i := strings.LastIndexByte(line, ' ') // a name may hold blanks
	if i < 0 {
		return
	}
	if sum, ok := parseMD5(line[i+1:]); ok && !obsolete {
		out[strings.TrimSpace(line[:i])] = fact.Conffile{Package: fact.Escape(pkg), MD5: sum}
	}
}

func parseMD5(s string) (sum [16]byte, ok bool) {
	if len(s) != 2*len(sum) {
		return sum, false
	}
	_, err := hex.Decode(sum[:], []byte(s))
	return sum, err == nil
}

func md5Of(b []byte) [16]byte { return md5.Sum(b) }
