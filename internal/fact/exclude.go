package fact

import (
	"path"
)

// only restricts an exclusion to one kind of entry.
type only int

const (
	anything only = iota
	files         // regular files; a link of that name is kept, its text is configuration
	links
)

// exclusion is one row of the table of what is not configuration.
type exclusion struct {
	pattern string // path.Match; for the whole path if it has a "/" or rooted is set, else for the name
	rooted  bool   // a name directly below /etc
	kind    only
	reason  string
}

// Why something is left out.
const (
	history   = "history of etckeeper and its like: holds earlier contents, secrets too"
	packager  = "left by dpkg or ucf beside the file itself, in the middle of an upgrade too"
	editor    = "left by an editor"
	lock      = "exists while a program runs"
	written   = "rewritten by a program as it runs"
	generated = "generated from other files"
)

// exclusions is the table. What is here never becomes a fact, because it changes
// without anybody configuring anything, or because it is somebody's history with
// secrets in it.
var exclusions = []exclusion{
	{".git", false, anything, history},
	{".etckeeper", false, anything, history},
	{".hg", false, anything, history},
	{".bzr", false, anything, history},
	{"_darcs", false, anything, history},
	{"*.dpkg-*", false, anything, packager},
	{"*.ucf-*", false, anything, packager},
	{"*~", false, anything, editor},
	{"*.sw?", false, anything, editor},
	{".#*", false, anything, editor},
	{"*.lock", false, anything, lock},
	{"mtab", true, files, "a copy of the mount table"},
	{"adjtime", true, anything, written},
	{"fake-hwclock.data", true, anything, written},
	{"ld.so.cache", true, anything, generated},
	{"blkid.tab*", true, anything, written},
	{"cups/printers.conf", true, anything, "cupsd rewrites it with each state of a printer; printers are facts of their own"},
	{"cups/printers.conf.O", true, anything, "as printers.conf"},
	{"cups/classes.conf", true, anything, "as printers.conf"},
	{"cups/classes.conf.O", true, anything, "as printers.conf"},
	{"cups/subscriptions.conf*", true, anything, written},
	{"lvm/archive", true, anything, "LVM's own history"},
	{"lvm/backup", true, anything, "LVM's own history"},
	{"lvm/cache", true, anything, written},
	{"network/run", true, anything, written},
	{"apparmor.d/cache", true, anything, generated},
	{"apparmor.d/cache.d", true, anything, generated},
	{"udev/hwdb.bin", true, anything, generated},
	{"X11/xdm/authdir", true, anything, "session keys"},
	{"NetworkManager/*timestamps", true, anything, written},
	{"NetworkManager/*.state", true, anything, written},
	{"ssl/certs/*.[0-9]", true, links, "OpenSSL's index of the folder by hash; the certificates' own links are kept"},
}

// Excluded tells whether an entry below /etc, at a path relative to it, is none of
// its configuration: see the table. Whether a folder above it is excluded is for the
// caller, who walks the tree.
func Excluded(rel string, regular, link bool) bool {
	name := path.Base(rel)
	for _, row := range exclusions {
		if row.kind == files && !regular || row.kind == links && !link {
			continue
		}
		subject := name
		if row.rooted {
			subject = rel
		}
		if first := row.pattern[0]; first != '*' && first != subject[0] { // spares most of the work
			continue
		}
		if ok, _ := path.Match(row.pattern, subject); ok { // the patterns are tested
			return true
		}
	}
	return false
}
