package collect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Root gives the files below a folder as if the folder were "/": absolute links
// stay inside, ".." cannot leave it, and more than 40 links on one way are
// refused. It opens nothing below a mount that is not local (network, autofs,
// fuse), so that a dead server cannot hang the caller; the error then is
// ErrRemote. Below a folder other than "/" the procfs and sysfs of the running
// machine, which somebody may have mounted into it for chroot(8), count as remote
// too: they would tell about the wrong machine. Only regular files and folders
// can be opened, and only to read.
//
// It implements fs.FS, fs.ReadLinkFS and fs.StatFS. Its methods are safe for
// concurrent use.
type Root struct {
	dir  string
	fd   int
	proc int // the real procfs and sysfs below the root, or -1
	sys  int

	mu     sync.Mutex
	remote []string // mount points below the root, relative to it, sorted
}

// ErrRemote is wrapped by errors about names below a mount that is not local.
var ErrRemote = errors.New("on a mount that is not local")

// OpenRoot opens the folder dir as a root; "/" is the running machine itself.
// The mounts are those of this moment, see Refresh. Close frees the root.
func OpenRoot(dir string) (*Root, error) {
	abs, err := realDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open root %s: %w", dir, err)
	}
	r := &Root{dir: abs, fd: -1, proc: -1, sys: -1}
	if err := r.Refresh(); err != nil {
		return nil, err
	}
	r.fd, err = unix.Open(abs, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open root %s: %w", dir, err)
	}
	r.proc = r.kernelDir("proc", unix.PROC_SUPER_MAGIC)
	r.sys = r.kernelDir("sys", unix.SYSFS_MAGIC)
	return r, nil
}

// Close frees the root's file descriptors. Files that were opened stay open.
func (r *Root) Close() error {
	for _, fd := range []int{r.fd, r.proc, r.sys} {
		if fd >= 0 {
			if err := unix.Close(fd); err != nil {
				return fmt.Errorf("close root %s: %w", r.dir, err)
			}
		}
	}
	r.fd, r.proc, r.sys = -1, -1, -1
	return nil
}

// Refresh looks again at which mounts there are. Runner.Run calls it.
func (r *Root) Refresh() error {
	// The mounts are those of this process, whatever the root is: what is
	// mounted below a recorded tree hangs as well as below "/".
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("find the mounts below %s: %w", r.dir, err)
	}
	defer f.Close()
	var remote []string
	err = readMounts(f, func(m mount) {
		if name, hidden := r.hides(m); hidden {
			remote = append(remote, name)
		}
	})
	if err != nil {
		return fmt.Errorf("find the mounts below %s: %w", r.dir, err)
	}
	slices.Sort(remote)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remote = remote
	return nil
}

// hides gives the name of a mount point, and whether nothing may be opened there.
func (r *Root) hides(m mount) (name string, hidden bool) {
	name, below := under(r.dir, m.point)
	foreign := r.dir != "/" && (m.fstype == "proc" || m.fstype == "sysfs")
	return name, below && (foreign || !m.local())
}

// Remote lists the mounts at or below a folder of the root that are not local,
// relative to it ("" for the folder itself), as of the last Refresh. Whatever looks
// at files without this Root must stay away from them.
func (r *Root) Remote(dir string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []string
	for _, name := range r.remote {
		if rest, below := strings.CutPrefix(name+"/", dir+"/"); below {
			found = append(found, strings.TrimSuffix(rest, "/"))
		}
	}
	return found
}

// Open opens a regular file or a folder for reading.
func (r *Root) Open(name string) (fs.File, error) {
	fd, err := r.open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	// O_NONBLOCK kept a FIFO from hanging the call above; here it goes again.
	if mode := st.Mode & unix.S_IFMT; mode != unix.S_IFREG && mode != unix.S_IFDIR {
		unix.Close(fd)
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("neither a regular file nor a folder")}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Stat tells about a file or folder, following links.
func (r *Root) Stat(name string) (fs.FileInfo, error) { return r.stat("stat", name, 0) }

// Lstat tells about a file, folder or link.
func (r *Root) Lstat(name string) (fs.FileInfo, error) { return r.stat("lstat", name, unix.O_NOFOLLOW) }

func (r *Root) stat(op, name string, flag int) (fs.FileInfo, error) {
	fd, err := r.open(name, unix.O_PATH|flag)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), path.Base(name))
	defer f.Close()
	return f.Stat()
}

// ReadLink gives the text of a link.
func (r *Root) ReadLink(name string) (string, error) {
	fd, err := r.open(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	defer unix.Close(fd)
	target, err := readLink(fd)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return target, nil
}

// Space tells the size of the file system that holds a folder and what is free
// for ordinary users, in bytes.
func (r *Root) Space(name string) (size, free uint64, err error) {
	fd, err := r.open(name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: name, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: name, Err: err}
	}
	if int64(st.Type) == unix.TMPFS_MAGIC { // systemd covers homes with it; a drive has another type
		return 0, 0, &fs.PathError{Op: "statfs", Path: name, Err: fs.ErrNotExist}
	}
	unit := uint64(st.Frsize)
	return st.Blocks * unit, st.Bavail * unit, nil
}

// kernelDir opens a folder of the root if a kernel file system of the given
// kind is mounted there, otherwise it gives -1.
func (r *Root) kernelDir(name string, magic int64) int {
	fd, err := r.walk(name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil || int64(st.Type) != magic {
		unix.Close(fd)
		return -1
	}
	return fd
}

// under gives point relative to dir, and whether it lies strictly below it.
func under(dir, point string) (string, bool) {
	if dir != "/" {
		dir += "/"
	}
	name, below := strings.CutPrefix(point, dir)
	return name, below && name != ""
}

// realDir gives the canonical absolute name of a folder.
func realDir(dir string) (string, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
}
