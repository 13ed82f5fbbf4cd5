package mirror

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"rollcall/internal/identity"
)

// disk does the few operations on files whose order and durability the mirror
// rests on. step is nil outside tests, where it stops the work at a named place
// as a crash would: without any cleaning up.
type disk struct {
	step func(name string) error
}

// at tells tests that the work has come to a place.
func (d disk) at(name string) error {
	if d.step == nil {
		return nil
	}
	return d.step(name)
}

// replace puts data in place of the file: temporary file, fsync, rename, fsync
// of the folder. After a crash the file is the old one or the new one, whole.
func (d disk) replace(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := d.fill(f, data, mode); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	if err := d.at("temp " + filepath.Base(path)); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	if err := d.at("renamed " + filepath.Base(path)); err != nil {
		return err
	}
	return identity.SyncDir(filepath.Dir(path))
}

func (d disk) fill(f *os.File, data []byte, mode fs.FileMode) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// tempPrefix marks files and folders that a crash may leave; git knows and
// ignores files of this name among packs (git-prune-packed(1), tmp_*).
const tempPrefix = "tmp_rollcall_"

// sweep removes what crashes left in dir.
func (d disk) sweep(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, tempPrefix+"*"))
	if err != nil {
		return fmt.Errorf("look for leftovers in %s: %w", dir, err)
	}
	for _, path := range left {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove leftover: %w", err)
		}
	}
	return nil
}

// mkdirAll makes base/rel, where base exists, so that it survives a crash.
func mkdirAll(base, rel string) error {
	path := filepath.Join(base, rel)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	for p := filepath.Dir(path); len(p) >= len(base); p = filepath.Dir(p) {
		if err := identity.SyncDir(p); err != nil {
			return err
		}
		if p == filepath.Dir(p) {
			break
		}
	}
	return nil
}
