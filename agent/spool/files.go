package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"rollcall/internal/identity"
)

// files is where a spool keeps its records: a folder, or memory on a machine
// without a disk of its own. Names are "name" or "folder/name".
type files interface {
	// write replaces a file durably and in one step.
	write(name string, b []byte) error
	// add writes a file that is durable only after sync.
	add(name string, b []byte) error
	sync() error
	// read returns an error that wraps fs.ErrNotExist if there is no such file.
	read(name string) ([]byte, error)
	// list returns the names and sizes of a folder's files; "" is the top.
	list(folder string) (map[string]int64, error)
	remove(name string) error
	// quarantine puts a file aside, for a person to look at.
	quarantine(name string) error
	close() error
}

// maxBad bounds what quarantine keeps.
const maxBad = 16

type disk struct {
	dir  string
	lock *os.File
}

// openDisk makes the folders and takes the lock: two agents on one spool would
// use one sequence number twice.
func openDisk(dir string) (*disk, error) {
	for _, d := range []string{dir, filepath.Join(dir, contentDir), filepath.Join(dir, badDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("open spool: %w", err)
		}
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("open spool %s: %w", dir, ErrBusy), lock.Close())
	}
	d := &disk{dir: dir, lock: lock}
	return d, d.sweep()
}

// sweep removes the temporary files of a write that a crash cut short.
func (d *disk) sweep() error {
	left, err := filepath.Glob(filepath.Join(d.dir, ".new-*"))
	if err != nil {
		return fmt.Errorf("open spool: %w", err)
	}
	for _, name := range left {
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("open spool: %w", err)
		}
	}
	return nil
}

func (d *disk) path(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

func (d *disk) write(name string, b []byte) error { return identity.WriteFile(d.path(name), b) }

func (d *disk) add(name string, b []byte) error {
	if err := os.WriteFile(d.path(name), b, 0o600); err != nil {
		return fmt.Errorf("write spool: %w", err)
	}
	return nil
}

// sync makes all added files durable at once: one syncfs(2) instead of an fsync
// for each of some thousand small files of a first report.
func (d *disk) sync() error {
	if err := unix.Syncfs(int(d.lock.Fd())); err != nil {
		return fmt.Errorf("sync spool %s: %w", d.dir, err)
	}
	return nil
}

func (d *disk) read(name string) ([]byte, error) {
	b, err := os.ReadFile(d.path(name))
	if err != nil {
		return nil, fmt.Errorf("read spool: %w", err)
	}
	return b, nil
}

func (d *disk) list(folder string) (map[string]int64, error) {
	entries, err := os.ReadDir(d.path(folder))
	if err != nil {
		return nil, fmt.Errorf("list spool: %w", err)
	}
	out := make(map[string]int64, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list spool: %w", err)
		}
		if info.Mode().IsRegular() {
			out[e.Name()] = info.Size()
		}
	}
	return out, nil
}

func (d *disk) remove(name string) error {
	if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("tidy spool: %w", err)
	}
	return nil
}

func (d *disk) quarantine(name string) error {
	bad, err := d.list(badDir)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(bad))
	for n := range bad {
		names = append(names, n)
	}
	slices.Sort(names)
	for len(names) >= maxBad {
		if err := d.remove(badDir + "/" + names[0]); err != nil {
			return err
		}
		names = names[1:]
	}
	to := d.path(badDir + "/" + strings.ReplaceAll(name, "/", "_"))
	if err := os.Rename(d.path(name), to); err != nil {
		return fmt.Errorf("quarantine in spool: %w", err)
	}
	return identity.SyncDir(d.dir)
}

func (d *disk) close() error {
	if err := d.lock.Close(); err != nil {
		return fmt.Errorf("close spool: %w", err)
	}
	return nil
}

// memory is the spool of a diskless machine; a reboot ends it, and its key.
type memory map[string][]byte

func (m memory) write(name string, b []byte) error {
	m[name] = slices.Clone(b)
	return nil
}

func (m memory) add(name string, b []byte) error { return m.write(name, b) }
func (m memory) sync() error                     { return nil }
func (m memory) close() error                    { return nil }

func (m memory) read(name string) ([]byte, error) {
	b, ok := m[name]
	if !ok {
		return nil, fmt.Errorf("read spool: %s: %w", name, fs.ErrNotExist)
	}
	return b, nil
}

func (m memory) list(folder string) (map[string]int64, error) {
	out := map[string]int64{}
	for name, b := range m {
		dir, base, ok := strings.Cut(name, "/")
		if !ok {
			dir, base = "", name
		}
		if dir == folder {
			out[base] = int64(len(b))
		}
	}
	return out, nil
}

func (m memory) remove(name string) error {
	delete(m, name)
	return nil
}

func (m memory) quarantine(name string) error { return m.remove(name) }
