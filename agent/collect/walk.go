package collect

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many links one way may hold, as in the kernel (path_resolution(7)).
const maxLinks = 40

// open opens a name with the given flags. Names below procfs and sysfs, which
// are most, take one system call; so do all others when nothing remote is
// mounted. Otherwise the way is walked step by step, because a link may lead to
// a remote mount and the kernel could hang (or mount something) on touching it.
func (r *Root) open(name string, flags int) (int, error) {
	if !fs.ValidPath(name) {
		return -1, fs.ErrInvalid
	}
	if dir, rest := r.kernelPart(name); dir >= 0 {
		got, err := openat2(dir, rest, flags, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_XDEV|unix.RESOLVE_NO_MAGICLINKS)
		if !errors.Is(err, unix.EXDEV) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EAGAIN) {
			return got, err
		}
	}
	if !r.anyRemote() {
		got, err := openat2(r.fd, name, flags, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
		if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EAGAIN) {
			return got, err
		}
	}
	return r.walk(name, flags)
}

// kernelPart splits off procfs or sysfs; the descriptor is -1 for other names.
func (r *Root) kernelPart(name string) (dir int, rest string) {
	if rest, ok := strings.CutPrefix(name, "proc/"); ok {
		return r.proc, rest
	}
	if rest, ok := strings.CutPrefix(name, "sys/"); ok {
		return r.sys, rest
	}
	return -1, ""
}

// openat2 opens a name as openat2(2); ENOSYS stands for every refusal of the
// call itself (an old kernel, a system call filter).
func openat2(dir int, name string, flags int, resolve uint64) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: resolve}
	for {
		fd, err := unix.Openat2(dir, name, &how)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EPERM):
			return -1, unix.ENOSYS
		}
		return fd, err
	}
}

// anyRemote tells whether a remote mount lies where a link could lead to it.
// What is mounted inside procfs and sysfs (systemd's binfmt_misc on nearly every
// machine) is out of the way: their links stay inside them.
func (r *Root) anyRemote() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.remote, func(m string) bool {
		return (r.proc < 0 || !strings.HasPrefix(m, "proc/")) && (r.sys < 0 || !strings.HasPrefix(m, "sys/"))
	})
}

func (r *Root) isRemote(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, found := slices.BinarySearch(r.remote, name)
	return found
}

// stage is one folder on a walked way. Its canonical name is what the mounts are
// compared with before the next step is taken.
type stage struct {
	fd   int
	name string
}

// walk opens a name component by component and follows links itself. The
// descriptors of the folders on the way are kept, so that ".." goes where it
// went when the way was walked, even if somebody renames a folder meanwhile.
func (r *Root) walk(name string, flags int) (int, error) {
	trail := []stage{{fd: r.fd, name: ""}}
	defer func() {
		for _, s := range trail[1:] {
			unix.Close(s.fd)
		}
	}()
	back := func(to int) {
		for len(trail) > to {
			unix.Close(trail[len(trail)-1].fd)
			trail = trail[:len(trail)-1]
		}
	}
	todo := strings.Split(name, "/")
	for links := 0; len(todo) > 0; {
		c := todo[0]
		todo = todo[1:]
		here := trail[len(trail)-1]
		last := !slices.ContainsFunc(todo, func(s string) bool { return s != "" && s != "." })
		switch c {
		case "", ".":
			continue
		case "..":
			back(max(1, len(trail)-1))
			continue
		}
		next := path.Join(here.name, c)
		if r.isRemote(next) {
			return -1, ErrRemote
		}
		fd, err := unix.Openat(here.fd, c, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, err
		}
		target, err := readLink(fd)
		switch {
		case err != nil: // no link
			trail = append(trail, stage{fd, next})
		case last && flags&unix.O_NOFOLLOW != 0:
			return fd, nil
		default:
			unix.Close(fd)
			if links++; links > maxLinks {
				return -1, unix.ELOOP
			}
			if strings.HasPrefix(target, "/") {
				back(1)
			}
			todo = append(strings.Split(target, "/"), todo...)
		}
	}
	return reopen(trail, flags)
}

// reopen opens the end of a walked way with the flags that were asked for.
func reopen(trail []stage, flags int) (int, error) {
	end := trail[len(trail)-1]
	if len(trail) == 1 {
		return unix.Openat(end.fd, ".", flags|unix.O_CLOEXEC, 0)
	}
	parent := trail[len(trail)-2]
	return unix.Openat(parent.fd, path.Base(end.name), flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// readLink gives the text of the link that fd, opened with O_PATH, stands for.
func readLink(fd int) (string, error) {
	buf := make([]byte, 256)
	for {
		n, err := unix.Readlinkat(fd, "", buf)
		if err != nil {
			return "", err
		}
		if n < len(buf) {
			return string(buf[:n]), nil
		}
		buf = make([]byte, 2*len(buf))
	}
}
