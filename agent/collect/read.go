package collect

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Limits of what is read at once.
const (
	maxLine    = 4096   // bytes of a one-line file such as those of sysfs
	maxEntries = 65_536 // entries of one folder
)

// ErrTooBig is wrapped by the error about a file or folder that is larger than
// its reader is ready for.
var ErrTooBig = errors.New("larger than expected")

// ReadFile reads a file of at most limit bytes. The error wraps ErrTooBig when
// there is more.
func (h Host) ReadFile(name string, limit int) ([]byte, error) {
	f, err := h.FS.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Most files here are one short line: the buffer grows only when needed.
	buf := make([]byte, 0, min(limit+1, 512))
	for {
		n, err := f.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > limit:
			return nil, fmt.Errorf("read %s: %w: more than %d bytes", name, ErrTooBig, limit)
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", name, err)
		case len(buf) == cap(buf):
			buf = slices.Grow(buf, min(len(buf), limit+1-len(buf)))
		}
	}
}

// ReadLine reads the first line of a file, without the space around it. A file
// in sysfs and procfs mostly is one line.
func (h Host) ReadLine(name string) (string, error) {
	b, err := h.ReadFile(name, maxLine)
	if err != nil {
		return "", err
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return strings.Trim(string(line), " \t\r\n\x00"), nil
}

// Line is ReadLine for a value that may be missing: it gives "" when there is no
// such file and notes in the sink when it may not be read. Errors that sysfs
// gives for a value that does not apply just now count as missing too.
func (h Host) Line(s *Sink, name string) string {
	line, err := h.ReadLine(name)
	if errors.Is(err, fs.ErrPermission) {
		s.Denied(name)
	}
	if err != nil {
		return ""
	}
	return line
}

// Names lists the entries of a folder in order. The error wraps ErrTooBig when
// there are more than 65,536.
func (h Host) Names(dir string) ([]string, error) {
	f, err := h.FS.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, ok := f.(fs.ReadDirFile)
	if !ok {
		return nil, fmt.Errorf("list %s: %w", dir, syscall.ENOTDIR)
	}
	var names []string
	for {
		entries, err := d.ReadDir(256)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		switch {
		case errors.Is(err, io.EOF):
			slices.Sort(names)
			return names, nil
		case err != nil:
			return nil, fmt.Errorf("list %s: %w", dir, err)
		case len(names) > maxEntries:
			return nil, fmt.Errorf("list %s: %w: more than %d entries", dir, ErrTooBig, maxEntries)
		}
	}
}

// Entries is Names for a folder that may be missing: it gives none then, and notes
// in the sink when it may not be listed.
func (h Host) Entries(s *Sink, dir string) ([]string, error) {
	names, err := h.Names(dir)
	switch {
	case errors.Is(err, fs.ErrPermission):
		s.Denied(dir)
		return nil, nil
	case Absent(err):
		return nil, nil
	}
	return names, err
}

// Content is ReadFile for a file that may be missing: it gives nil then, and notes
// in the sink when it may not be read.
func (h Host) Content(s *Sink, name string, limit int) ([]byte, error) {
	b, err := h.ReadFile(name, limit)
	switch {
	case errors.Is(err, fs.ErrPermission):
		s.Denied(name)
		return nil, nil
	case Absent(err):
		return nil, nil
	}
	return b, err
}

// Link gives the last component of a link's target, "" where there is no link:
// in sysfs the name of a driver, a subsystem or a device.
func (h Host) Link(name string) string {
	target, err := fs.ReadLink(h.FS, name)
	if err != nil {
		return ""
	}
	return path.Base(target)
}

// Exists tells whether there is a file or folder of that name.
func (h Host) Exists(name string) bool {
	_, err := fs.Stat(h.FS, name)
	return err == nil
}

// ReadHead reads at most the first n bytes of a file.
func (h Host) ReadHead(name string, n int) ([]byte, error) {
	f, err := h.FS.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(n)))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

// Lines calls f for each line of a file, which is read piece by piece and may
// have any size, until f returns false. Lines longer than 64 KiB are an error.
func (h Host) Lines(name string, f func(line string) bool) error {
	file, err := h.FS.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	sc := bufio.NewScanner(file)
	for sc.Scan() {
		if !f(sc.Text()) {
			return nil
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// Absent tells whether err means that a thing is not there: no such file or
// folder, a device that is gone or has no such value, or a mount that is not
// looked at.
func Absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, ErrRemote) ||
		errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.ENODATA)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
