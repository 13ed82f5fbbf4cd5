package collect

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// mount is one line of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	dev     string // "8:1"
	root    string // the folder of the file system that is mounted
	point   string
	options string // of the mount
	fstype  string
	source  string
	super   string // options of the file system
}

// maxMounts bounds how many mounts are looked at. A machine with containers has
// hundreds.
const maxMounts = 20_000

// readMounts calls f for each mount of a mountinfo file. Lines that do not have
// the kernel's form are left out.
func readMounts(r io.Reader, f func(mount)) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<18) // an overlay's options can be long
	for n := 0; sc.Scan(); n++ {
		if n == maxMounts {
			return fmt.Errorf("read mounts: %w: more than %d", ErrTooBig, maxMounts)
		}
		if m, ok := parseMount(sc.Text()); ok {
			f(m)
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("read mounts: %w", err)
	}
	return nil
}

// openMounts opens the table of what the machine has mounted. A service that
// systemd shuts in has a view of its own, with everything read-only and homes
// covered: what the first process sees is the machine. That one's table is taken
// if both have the same root, which they have not in a container or a chroot.
func openMounts(h Host) (fs.File, error) {
	const own, first = "proc/self/mountinfo", "proc/1/mountinfo"
	mine, found := rootOf(h, own)
	if theirs, ok := rootOf(h, first); ok && found && mine.dev == theirs.dev && mine.root == theirs.root {
		if f, err := h.FS.Open(first); err == nil {
			return f, nil
		}
	}
	return h.FS.Open(own)
}

// rootOf finds what a table says is mounted on "/"; of several the last lies on
// top.
func rootOf(h Host, table string) (root mount, found bool) {
	f, err := h.FS.Open(table)
	if err != nil {
		return mount{}, false
	}
	defer f.Close()
	err = readMounts(f, func(m mount) {
		if m.point == "/" {
			root, found = m, true
		}
	})
	return root, found && err == nil
}

func parseMount(line string) (mount, bool) {
	front, back, ok := strings.Cut(line, " - ")
	left, right := strings.Fields(front), strings.Fields(back)
	if !ok || len(left) < 6 || len(right) < 2 {
		return mount{}, false
	}
	m := mount{
		dev: left[2], root: octal(left[3]), point: octal(left[4]), options: left[5],
		fstype: right[0], source: octal(right[1]),
	}
	if len(right) > 2 {
		m.super = right[2]
	}
	return m, strings.HasPrefix(m.point, "/")
}

// octal undoes the kernel's escapes of space, tab, newline and backslash in
// mount tables, "\040" and so on.
func octal(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] <= '3' && isOctal(s[i+1]) && isOctal(s[i+2]) && isOctal(s[i+3]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

// local tells whether the mount can be touched without waiting for another
// machine or a program. The list names what is known to be safe: a network file
// system that is not invented yet must not hang the agent.
func (m mount) local() bool { return m.onDisk() || m.inMemory() }

// onDisk tells whether the file system lives on a block device of this machine.
func (m mount) onDisk() bool {
	switch m.fstype {
	case "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs", "nilfs2", "bcachefs", "zfs",
		"vfat", "msdos", "exfat", "ntfs3", "hfs", "hfsplus", "udf", "iso9660", "squashfs", "erofs", "minix":
		return true
	}
	return false
}

// inMemory tells whether the kernel itself makes the file system.
func (m mount) inMemory() bool {
	switch m.fstype {
	case "proc", "sysfs", "tmpfs", "ramfs", "rootfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "overlay",
		"aufs", "mqueue", "hugetlbfs", "debugfs", "tracefs", "securityfs", "selinuxfs", "pstore", "efivarfs",
		"bpf", "configfs", "binfmt_misc", "rpc_pipefs", "nfsd", "fusectl", "nsfs", "resctrl", "smackfs":
		return true
	}
	return false
}
