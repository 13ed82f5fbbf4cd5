package restore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"rollcall/internal/fact"
)

// oldSuffix names the old local version beside a newer default: dpkg's own name
// for it, which run-parts(8), logrotate(8) and udev(7) do not read.
const oldSuffix = ".dpkg-old"

// Failure is one path that could not be restored.
type Failure struct {
	Path string
	Err  error
}

// Result is what Apply did.
type Result struct {
	Done   int // entries that were written, changed or deleted
	Failed []Failure
	Backup string // folder with what was replaced; empty if nothing was
}

type applier struct {
	root     *os.Root
	accounts accounts
	backup   *backup
	touched  map[string]bool // folders to sync
}

// Apply does what the plan says below root. What it replaces goes to
// backupDir/etc/… first, with its attributes in backupDir/manifest. A path that
// fails, or that has changed since the plan was made, is left alone and named in
// the result; the others go on. The error is for what concerns all.
func Apply(ctx context.Context, p Plan, root *os.Root, backupDir string) (Result, error) {
	a := &applier{root: root, backup: &backup{dir: backupDir}, touched: map[string]bool{}}
	var err error
	if a.accounts, err = readAccounts(root); err != nil {
		return Result{}, err
	}
	var res Result
	var deletions []Entry
	first, rest := accountsFirst(p.Entries)
	for i, e := range append(first, rest...) {
		if i == len(first) { // the names that all others go by
			if a.accounts, err = readAccounts(root); err != nil {
				return res, err
			}
		}
		switch {
		case e.Action == Delete:
			deletions = append(deletions, e)
		case e.acts():
			res.note(e, a.one(ctx, e))
		}
	}
	for i := len(deletions) - 1; i >= 0; i-- { // what is in a folder goes before it
		res.note(deletions[i], a.remove(ctx, deletions[i]))
	}
	if a.backup.used {
		res.Backup = backupDir
	}
	return res, errors.Join(a.syncFolders(), a.backup.close(), ctx.Err())
}

func accountsFirst(entries []Entry) (first, rest []Entry) {
	for _, e := range entries {
		if e.Path == passwdPath || e.Path == groupPath {
			first = append(first, e)
		} else {
			rest = append(rest, e)
		}
	}
	return first, rest
}

func (r *Result) note(e Entry, err error) {
	if err != nil {
		r.Failed = append(r.Failed, Failure{e.Path, err})
		return
	}
	r.Done++
}

func (a *applier) one(ctx context.Context, e Entry) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("not reached: %w", err)
	}
	name := fileName(e.Path)
	if !safePath(e.Path) {
		return errors.New("the name is not one that a file can have")
	}
	if err := a.parents(path.Dir(name)); err != nil {
		return err
	}
	if e.Action == Conflict {
		return a.beside(e, name+oldSuffix)
	}
	if err := a.unchanged(e, name); err != nil {
		return err
	}
	if e.Have != nil {
		if err := a.backup.keep(a.root, name, e); err != nil {
			return err
		}
	}
	switch {
	case e.Want.Kind == fact.KindDir:
		return a.folder(e, name)
	case e.Want.Kind == fact.KindLink && (e.Have == nil || e.Have.Kind != fact.KindLink || e.Have.Target != e.Want.Target):
		return a.link(e, name)
	case e.Want.Kind == fact.KindLink:
		uid, gid, _ := a.accounts.reach(e.Want)
		return a.root.Lchown(name, uid, gid)
	case e.hasContent:
		return a.file(e, name, e.content)
	}
	return a.attributes(e, name)
}

// parents makes sure that every folder above is a real folder: a link, though it
// may stay inside the root, would put the file somewhere else.
func (a *applier) parents(dir string) error {
	at := ""
	for part := range strings.SplitSeq(dir, "/") {
		at = path.Join(at, part)
		info, err := a.root.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			if err := a.root.Mkdir(at, 0o755); err != nil {
				return fmt.Errorf("make folder: %w", err)
			}
			a.touched[path.Dir(at)] = true
			continue
		}
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("/%s is not a folder but a %s", fact.Escape(at), info.Mode().Type())
		}
	}
	return nil
}

// unchanged makes sure that what will be replaced is what the plan showed.
func (a *applier) unchanged(e Entry, name string) error {
	changed := errors.New("it has changed since the plan was made: plan again")
	info, err := a.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		if e.Have != nil {
			return changed
		}
		return nil
	}
	switch {
	case err != nil:
		return err
	case e.Have == nil:
		return changed
	case e.Have.Kind == fact.KindDir && info.IsDir(), e.Have.Kind == fact.KindOther && info.Mode().Type() != 0:
		return nil
	case e.Have.Kind == fact.KindLink:
		if target, err := a.root.Readlink(name); err != nil || target != e.Have.Target {
			return errors.Join(changed, err)
		}
		return nil
	case e.Have.Kind == fact.KindTooBig && info.Mode().IsRegular():
		return nil
	}
	b, err := readFile(a.root, name, maxFile)
	if err != nil || sha256.Sum256(b) != e.known {
		return errors.Join(changed, err)
	}
	return nil
}

// staging is the name under which a file is written before it takes its place.
// It is the same in every run, so that a crash leaves at most one behind.
func staging(name string) string {
	sum := sha256.Sum256([]byte(name))
	return path.Join(path.Dir(name), ".rollcall-new-"+hex.EncodeToString(sum[:8]))
}

func (a *applier) file(e Entry, name string, content []byte) (err error) {
	tmp := staging(name)
	if err := a.root.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := a.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.root.Remove(tmp))
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = a.dress(f, e.Want)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	a.touched[path.Dir(name)] = true
	return a.root.Rename(tmp, name)
}

// dress gives an open file or folder its owner, mode and extended attributes.
// The owner comes first: chown(2) clears set-id bits and capabilities.
func (a *applier) dress(f *os.File, want fact.File) error {
	uid, gid, mode := a.accounts.reach(want)
	if err := f.Chown(uid, gid); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	for name, value := range want.Xattr {
		if err := unix.Fsetxattr(int(f.Fd()), name, []byte(value), 0); err != nil {
			return fmt.Errorf("set attribute %s: %w", fact.Escape(name), err)
		}
	}
	return nil
}

// attributes changes what is around the content of a file or folder.
func (a *applier) attributes(e Entry, name string) error {
	f, err := a.root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	err = a.dress(f, e.Want)
	if e.Have != nil && err == nil {
		for attr := range e.Have.Xattr {
			if _, stays := e.Want.Xattr[attr]; !stays {
				err = errors.Join(err, unix.Fremovexattr(int(f.Fd()), attr))
			}
		}
	}
	return errors.Join(err, f.Close())
}

func (a *applier) folder(e Entry, name string) error {
	if e.Have == nil {
		// parents may have made it for a file that sorts before it.
		if err := a.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		a.touched[path.Dir(name)] = true
	}
	return a.attributes(e, name)
}

func (a *applier) link(e Entry, name string) error {
	tmp := staging(name)
	if err := a.root.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := a.root.Symlink(e.Want.Target, tmp); err != nil {
		return err
	}
	uid, gid, _ := a.accounts.reach(e.Want)
	err := a.root.Lchown(tmp, uid, gid)
	if err == nil {
		err = a.root.Rename(tmp, name)
	}
	if err != nil {
		return errors.Join(err, a.root.Remove(tmp))
	}
	a.touched[path.Dir(name)] = true
	return nil
}

// beside lays the old local version next to the newer default.
func (a *applier) beside(e Entry, name string) error {
	if info, err := a.root.Lstat(name); err == nil {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is in the way", fact.Escape(name))
		}
		b, err := readFile(a.root, name, maxFile)
		if err != nil {
			return err
		}
		if string(b) == string(e.content) {
			return a.file(e, name, e.content) // attributes may differ
		}
		if err := a.backup.copy(a.root, name); err != nil {
			return err
		}
	}
	return a.file(e, name, e.content)
}

func (a *applier) remove(ctx context.Context, e Entry) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("not reached: %w", err)
	}
	name := fileName(e.Path)
	if err := a.backup.keep(a.root, name, e); err != nil {
		return err
	}
	a.touched[path.Dir(name)] = true
	return a.root.Remove(name)
}

func (a *applier) syncFolders() error {
	var errs []error
	for dir := range a.touched {
		f, err := a.root.Open(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
