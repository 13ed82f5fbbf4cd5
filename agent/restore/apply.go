package restore

import (
	"cmp"
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

// place is where an entry goes: an opened folder, which nobody can exchange for
// another one, and a name in it.
type place struct {
	dir  *os.Root
	path string // of the folder, "etc/cups"
	base string
}

func (p place) name() string { return path.Join(p.path, p.base) }

func (a *applier) one(ctx context.Context, e Entry) (err error) {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("not reached: %w", err)
	}
	name := fileName(e.Path)
	if !safePath(e.Path) {
		return errors.New("the name is not one that a file can have")
	}
	dir, err := a.parents(path.Dir(name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	at := place{dir, path.Dir(name), path.Base(name)}
	if e.Action == Conflict {
		at.base += oldSuffix
		return a.beside(e, at)
	}
	if err := a.unchanged(e, at); err != nil {
		return err
	}
	if e.Have != nil {
		if err := a.backup.keep(at, e); err != nil {
			return err
		}
	}
	switch {
	case e.Want.Kind == fact.KindDir:
		return a.folder(e, at)
	case e.Want.Kind == fact.KindLink && (e.Have == nil || e.Have.Kind != fact.KindLink || e.Have.Target != e.Want.Target):
		return a.link(e, at)
	case e.Want.Kind == fact.KindLink:
		uid, gid, _ := a.accounts.reach(e.Want)
		return at.dir.Lchown(at.base, uid, gid)
	case e.hasContent:
		return a.file(e, at, e.content)
	}
	return a.attributes(e, at)
}

// parents opens a folder, and makes what is missing above it. Each step opens one
// name in the folder before, which is held open: a link that somebody puts in a
// folder's place is noticed, wherever it leads, and what was opened stays the
// folder that it was, whatever its name becomes.
func (a *applier) parents(dir string) (*os.Root, error) {
	at, err := a.root.OpenRoot(".")
	if err != nil {
		return nil, err
	}
	done := ""
	for part := range strings.SplitSeq(dir, "/") {
		next, err := a.step(at, done, part)
		if err = errors.Join(err, at.Close()); err != nil {
			if next != nil {
				err = errors.Join(err, next.Close())
			}
			return nil, err
		}
		at, done = next, path.Join(done, part)
	}
	return at, nil
}

// step opens the folder part in at, whose path is above.
func (a *applier) step(at *os.Root, above, part string) (*os.Root, error) {
	before, err := at.Lstat(part)
	if errors.Is(err, fs.ErrNotExist) {
		if err := at.Mkdir(part, 0o755); err != nil {
			return nil, fmt.Errorf("make folder: %w", err)
		}
		a.touched[cmp.Or(above, ".")] = true
		before, err = at.Lstat(part)
	}
	if err != nil {
		return nil, err
	}
	if !before.IsDir() {
		return nil, fmt.Errorf("/%s is not a folder but a %s", fact.Escape(path.Join(above, part)), before.Mode().Type())
	}
	next, err := at.OpenRoot(part)
	if err != nil {
		return nil, err
	}
	if after, err := next.Stat("."); err != nil || !os.SameFile(before, after) {
		return nil, errors.Join(fmt.Errorf("/%s was exchanged for something else in this moment", fact.Escape(path.Join(above, part))), err, next.Close())
	}
	return next, nil
}

// unchanged makes sure that what will be replaced is what the plan showed.
func (a *applier) unchanged(e Entry, at place) error {
	changed := errors.New("it has changed since the plan was made: plan again")
	info, err := at.dir.Lstat(at.base)
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
		if target, err := at.dir.Readlink(at.base); err != nil || target != e.Have.Target {
			return errors.Join(changed, err)
		}
		return nil
	case e.Have.Kind == fact.KindTooBig && info.Mode().IsRegular():
		return nil
	}
	b, err := readFile(at.dir, at.base, maxFile)
	if err != nil || sha256.Sum256(b) != e.known {
		return errors.Join(changed, err)
	}
	return nil
}

// staging is the name under which a file is written before it takes its place.
// It is the same in every run, so that a crash leaves at most one behind.
func staging(at place) string {
	sum := sha256.Sum256([]byte(at.name()))
	return ".rollcall-new-" + hex.EncodeToString(sum[:8])
}

func (a *applier) file(e Entry, at place, content []byte) (err error) {
	tmp := staging(at)
	if err := at.dir.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := at.dir.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, at.dir.Remove(tmp))
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
	a.touched[at.path] = true
	return at.dir.Rename(tmp, at.base)
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

// attributes changes what is around the content of a file or folder. A file with
// another name beside this one is left alone: it may be one that somebody linked
// here to have it given away.
func (a *applier) attributes(e Entry, at place) error {
	f, err := at.dir.OpenFile(at.base, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() && links(info) > 1 {
		err = errors.New("it has several names (hard links): owner and mode are left as they are")
	}
	if err == nil {
		err = a.dress(f, e.Want)
	}
	if e.Have != nil && err == nil {
		for attr := range e.Have.Xattr {
			if _, stays := e.Want.Xattr[attr]; !stays {
				err = errors.Join(err, unix.Fremovexattr(int(f.Fd()), attr))
			}
		}
	}
	return errors.Join(err, f.Close())
}

func links(info fs.FileInfo) uint64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 1
	}
	return uint64(st.Nlink)
}

func (a *applier) folder(e Entry, at place) error {
	if e.Have == nil {
		// parents may have made it for a file that sorts before it.
		if err := at.dir.Mkdir(at.base, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		a.touched[at.path] = true
	}
	return a.attributes(e, at)
}

func (a *applier) link(e Entry, at place) error {
	tmp := staging(at)
	if err := at.dir.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := at.dir.Symlink(e.Want.Target, tmp); err != nil {
		return err
	}
	uid, gid, _ := a.accounts.reach(e.Want)
	err := at.dir.Lchown(tmp, uid, gid)
	if err == nil {
		err = at.dir.Rename(tmp, at.base)
	}
	if err != nil {
		return errors.Join(err, at.dir.Remove(tmp))
	}
	a.touched[at.path] = true
	return nil
}

// beside lays the old local version next to the newer default.
func (a *applier) beside(e Entry, at place) error {
	if info, err := at.dir.Lstat(at.base); err == nil {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is in the way", fact.Escape(at.name()))
		}
		b, err := readFile(at.dir, at.base, maxFile)
		if err != nil {
			return err
		}
		if string(b) == string(e.content) {
			return a.file(e, at, e.content) // attributes may differ
		}
		if err := a.backup.copy(at); err != nil {
			return err
		}
	}
	return a.file(e, at, e.content)
}

func (a *applier) remove(ctx context.Context, e Entry) (err error) {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("not reached: %w", err)
	}
	name := fileName(e.Path)
	dir, err := a.parents(path.Dir(name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	at := place{dir, path.Dir(name), path.Base(name)}
	if err := a.backup.keep(at, e); err != nil {
		return err
	}
	a.touched[at.path] = true
	return at.dir.Remove(at.base)
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
