package sitesummary

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Folder is a folder in sitesummary's own form: entries/ETHER-ID/ with the raw files
// of one machine, and tmpstorage/ where they are put together. Entries are replaced
// as a whole, so that a reader sees an old one or a new one.
//
// What reads entries makes shell words and configuration of other programs out of
// what stands in them, often as root. So nothing gets in that could act there, of
// agents no more than of those who sign nothing: see clean.
type Folder struct {
	Dir string // such as /var/lib/sitesummary

	mu sync.Mutex
	by map[string]string // entry → CI, of the entries that this server has written
}

// marker names the CI in an entry. Entries without one are not ours, and stay.
const marker = "rollcall-ci"

// staged begins the names of entries that are being put together.
const staged = "rollcall-"

// open reads which entries are there, and removes what a crash has left.
func (f *Folder) open() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.by = map[string]string{}
	for _, dir := range []string{"entries", "tmpstorage"} {
		if err := os.Mkdir(f.path(dir), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("sitesummary folder: %w", err)
		}
	}
	if err := os.Chmod(f.path("entries"), 0o755); err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("sitesummary folder: %w", err)
	}
	left, err := filepath.Glob(f.path("tmpstorage", staged+"*"))
	for _, name := range left {
		err = errors.Join(err, os.RemoveAll(name))
	}
	if err != nil {
		return fmt.Errorf("sitesummary folder: %w", err)
	}
	there, err := os.ReadDir(f.path("entries"))
	if err != nil {
		return fmt.Errorf("sitesummary folder: %w", err)
	}
	for _, d := range there {
		b, err := os.ReadFile(f.path("entries", d.Name(), marker))
		if err == nil && d.IsDir() {
			f.by[d.Name()] = strings.TrimSpace(string(b))
		}
	}
	return nil
}

func (f *Folder) path(parts ...string) string {
	return filepath.Join(append([]string{f.Dir}, parts...)...)
}

// put writes the entry of a CI, last heard of at a time. An older entry of the same
// CI under another name goes.
func (f *Folder) put(entry, ci string, files map[string][]byte, heard time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, err := f.stage(entry, ci, files)
	if err != nil {
		return errors.Join(fmt.Errorf("write entry %s: %w", entry, err), os.RemoveAll(dir))
	}
	to := f.path("entries", entry)
	err = os.Chtimes(dir, heard, heard)
	if err == nil {
		err = replace(dir, to)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write entry %s: %w", entry, err), os.RemoveAll(dir))
	}
	for _, old := range f.of(ci) {
		if old != entry {
			err = errors.Join(err, f.drop(old))
		}
	}
	f.by[entry] = ci
	return err
}

// stage writes an entry beside the others. Modes are set whatever the umask is: the
// tools that read are other users.
func (f *Folder) stage(entry, ci string, files map[string][]byte) (dir string, err error) {
	dir, err = os.MkdirTemp(f.path("tmpstorage"), staged+entry+"-")
	if err != nil {
		return "", err
	}
	dirs := map[string]bool{dir: true}
	files = maps.Clone(files)
	files[marker] = []byte(ci + "\n")
	for name, b := range files {
		to := filepath.Join(dir, name)
		for parent := filepath.Dir(to); !dirs[parent]; parent = filepath.Dir(parent) {
			dirs[parent] = true
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return dir, err
		}
		if err := errors.Join(os.WriteFile(to, b, 0o600), os.Chmod(to, 0o644)); err != nil {
			return dir, err
		}
	}
	for name := range dirs {
		if err := os.Chmod(name, 0o755); err != nil {
			return dir, err
		}
	}
	return dir, nil
}

// replace gives a folder the name of another, in one step, and removes the other.
func replace(dir, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOENT) {
		return os.Rename(dir, to)
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// of lists the entries of a CI.
func (f *Folder) of(ci string) (entries []string) {
	for entry, id := range f.by {
		if id == ci {
			entries = append(entries, entry)
		}
	}
	return entries
}

// remove removes the entries of a CI.
func (f *Folder) remove(ci string) (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, entry := range f.of(ci) {
		err = errors.Join(err, f.drop(entry))
	}
	return err
}

// drop takes an entry away in one step, and then apart.
func (f *Folder) drop(entry string) error {
	delete(f.by, entry)
	gone := f.path("tmpstorage", staged+entry+"-gone")
	if err := os.Rename(f.path("entries", entry), gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove entry %s: %w", entry, err)
	}
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("remove entry %s: %w", entry, err)
	}
	return nil
}

// holder returns the CI whose entry this is.
func (f *Folder) holder(entry string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.by[entry]
}

// all lists the CIs that have entries.
func (f *Folder) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Compact(slices.Sorted(maps.Values(f.by)))
}

// heard sets the age of a CI's entries, which is what sitesummary goes by.
func (f *Folder) heard(ci string, at time.Time) (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, entry := range f.of(ci) {
		if cerr := os.Chtimes(f.path("entries", entry), at, at); !errors.Is(cerr, fs.ErrNotExist) {
			err = errors.Join(err, cerr)
		}
	}
	return err
}
