// Package bolt is the store's engine on one machine: a bbolt file. It promises
// what store.Engine asks for, with an fsync before Update returns; every limit
// is enforced, and a damaged page is an error that matches store.ErrCorrupt
// instead of a crash.
//
// Beyond the contract it makes hot copies (Backup, CopyTo) and checks the
// file's structure (Check). What the values mean is left to package store and
// to the domain.
package bolt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"rollcall/internal/failpoint"
	"rollcall/internal/identity"
	"rollcall/server/store"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// lockTimeout is how long Open waits for another process to leave the file.
const lockTimeout = time.Second

// Options change how a file is opened. The zero value is what a server uses.
type Options struct {
	// ReadOnly opens an existing file for reading, next to other readers; Update
	// returns an error.
	ReadOnly bool

	// For tests only, no program can set these: without fsync, with a small disk,
	// with a disk that fails.
	noSync   bool
	maxSize  int
	openFile func(string, int, fs.FileMode) (*os.File, error)
}

// Engine is an open file. It is safe for concurrent use.
type Engine struct {
	db     *bolt.DB
	file   *os.File // bbolt's own
	path   string
	broken atomic.Pointer[error] // the first failed write that was not undone
	stuck  atomic.Bool           // bbolt died with its locks held
}

// Open opens the file, or makes it with mode 0600 if there is none (and
// ReadOnly is not set). It returns an error that says so if another process has
// the file open, and store.ErrCorrupt if the file cannot be understood.
func Open(path string, o Options) (e *Engine, err error) {
	if o.ReadOnly {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("open database: %w", err)
		}
	}
	e = &Engine{path: path}
	err = e.open(o, mapSize)
	if errors.Is(err, syscall.ENOMEM) { // a limit on address space
		err = e.open(o, 0)
	}
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("open database %s: another rollcall-server uses it: stop that one, or use another data folder", path)
	case noDatabase(err):
		return nil, fmt.Errorf("open database %s: %w: %w: restore a backup", path, store.ErrCorrupt, err)
	case err != nil:
		if e.file != nil {
			err = errors.Join(err, release(e.file))
		}
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	if err := e.prepare(o.ReadOnly); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), e.Close())
	}
	return e, nil
}

// noDatabase tells whether bbolt could not make sense of a file.
func noDatabase(err error) bool {
	return errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrVersionMismatch) || errors.Is(err, berrors.ErrChecksum) ||
		err != nil && strings.Contains(err.Error(), "file size too small") // has no sentinel
}

// mapSize is the address space that the file is mapped into from the start. A
// write that outgrows the map waits for all readers to end before it is made
// larger. Address space costs nothing on 64-bit machines; others get a map as
// large as the file.
const mapSize = (64 << 30) * (math.MaxInt >> 62)

// open opens the file with bbolt.
func (e *Engine) open(o Options, mapped int) error {
	openFile := o.openFile
	if openFile == nil {
		openFile = os.OpenFile
	}
	return guard(nil, func() (err error) {
		e.db, err = bolt.Open(e.path, 0o600, &bolt.Options{
			Timeout:  lockTimeout,
			ReadOnly: o.ReadOnly,
			NoSync:   o.noSync || failpoint.NoSync(),
			MaxSize:  o.maxSize,
			OpenFile: func(name string, flag int, mode fs.FileMode) (f *os.File, err error) {
				f, err = openFile(name, flag, mode)
				e.file = f
				return f, err
			},
			// A map, because an array is slow once a large file has many free
			// pages. The free list is written at each commit: NoFreelistSync would
			// save a little then and cost a scan of the whole file at each start.
			FreelistType:    bolt.FreelistMapType,
			InitialMmapSize: mapped,
		})
		return err
	})
}

// prepare makes the buckets and makes the new file's name durable.
func (e *Engine) prepare(readOnly bool) error {
	if readOnly {
		return nil
	}
	missing := false
	if err := e.snapshot(func(tx *bolt.Tx) error {
		for _, s := range store.Spaces {
			missing = missing || tx.Bucket(bucket(s)) == nil
		}
		return nil
	}); err != nil || !missing {
		return err
	}
	err := guard(nil, func() error {
		return e.db.Update(func(tx *bolt.Tx) error {
			for _, s := range store.Spaces {
				if _, err := tx.CreateBucketIfNotExists(bucket(s)); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	return identity.SyncDir(filepath.Dir(e.path))
}

func bucket(s store.Space) []byte { return []byte(s.String()) }

// Path returns the name of the file.
func (e *Engine) Path() string { return e.path }

// Size returns the length of the file in bytes.
func (e *Engine) Size() (int64, error) {
	info, err := os.Stat(e.path)
	if err != nil {
		return 0, fmt.Errorf("size of database: %w", err)
	}
	return info.Size(), nil
}

// Used returns the bytes of the file's pages that hold something; the rest is free
// for what comes.
func (e *Engine) Used() (n int64, err error) {
	err = e.snapshot(func(tx *bolt.Tx) error {
		st := e.db.Stats()
		n = tx.Size() - int64(st.FreePageN+st.PendingPageN)*int64(e.db.Info().PageSize)
		return nil
	})
	return n, err
}

// Close waits for running transactions and closes the file. Closing twice is no
// error.
func (e *Engine) Close() error {
	closeDB := e.db.Close
	if e.stuck.Load() {
		closeDB = func() error { return release(e.file) } // bbolt's would wait for ever
	}
	if err := guard(nil, closeDB); err != nil {
		return fmt.Errorf("close database %s: %w", e.path, err)
	}
	return nil
}

// release unlocks and closes a file that bbolt has left open in a panic. To
// close it is not enough: it is mapped, and stays locked as long as it is.
func release(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	if err = cmp.Or(err, f.Close()); errors.Is(err, fs.ErrClosed) || errors.Is(err, syscall.EBADF) {
		return nil // closed before
	}
	return err
}

// View runs fn on a snapshot.
func (e *Engine) View(ctx context.Context, fn func(store.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	foreign := false
	return closed(guard(&foreign, func() error {
		return e.db.View(func(tx *bolt.Tx) error {
			foreign = true
			err := fn(&reader{ctx: ctx, tx: tx})
			foreign = false // not deferred: a panic of fn stays fn's
			return err
		})
	}))
}

// snapshot is View for functions of this package.
func (e *Engine) snapshot(fn func(*bolt.Tx) error) error {
	return closed(guard(nil, func() error { return e.db.View(fn) }))
}

// Update runs fn and commits. Updates of one process run one after the other.
//
// A commit that fails because the disk is full changes nothing, can be tried again
// and returns store.ErrReadOnly. After any other failed write the file and its copy in memory may
// differ: the outcome is unknown, and all later Updates return
// store.ErrBroken, because a second fsync would claim success for pages that the
// kernel has dropped. View goes on working.
func (e *Engine) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := e.usable(ctx); err != nil {
		return err
	}
	u := update{e: e, ctx: ctx, fn: fn}
	err := closed(guard(&u.foreign, func() error { return e.db.Update(u.run) }))
	switch {
	case err == nil, errors.Is(err, errNothing):
		return nil
	case u.tx != nil && u.tx.DB() != nil: // not even the rollback went well
		e.stuck.Store(true)
	case !u.committing:
		return err
	case fullDisk(err):
		return fmt.Errorf("%w: commit to %s: %w: free some space", store.ErrReadOnly, e.path, err)
	}
	err = fmt.Errorf("commit to %s: %w", e.path, err)
	e.broken.CompareAndSwap(nil, &err)
	if errors.Is(err, store.ErrCorrupt) { // found before anything was written
		return fmt.Errorf("%w: %w", store.ErrBroken, err)
	}
	return fmt.Errorf("%w: %w: %w", store.ErrUnknown, store.ErrBroken, err)
}

// errNothing spares a transaction that wrote nothing its fsync.
var errNothing = errors.New("nothing to commit")

// update is one run of Update.
type update struct {
	e          *Engine
	ctx        context.Context
	fn         func(store.Tx) error
	tx         *bolt.Tx
	foreign    bool // fn runs
	committing bool
}

func (u *update) run(tx *bolt.Tx) error {
	u.tx = tx
	if err := u.e.usable(u.ctx); err != nil { // it waited for its turn
		return err
	}
	o := store.NewOverlay(&reader{ctx: u.ctx, tx: tx})
	u.foreign = true
	err := u.fn(o)
	u.foreign = false
	if err = cmp.Or(err, u.ctx.Err()); err != nil {
		return err
	}
	if keys, _ := o.Size(); keys == 0 {
		return errNothing
	}
	if err := apply(tx, o); err != nil {
		return err
	}
	u.committing = true
	failpoint.Hit(failpoint.BeforeCommit)
	return nil
}

// usable tells why nothing can be written now.
func (e *Engine) usable(ctx context.Context) error {
	if why := e.broken.Load(); why != nil {
		return fmt.Errorf("%w: %w", store.ErrBroken, *why)
	}
	return ctx.Err()
}

// fullDisk tells whether a write failed for lack of room, in which case bbolt has
// undone it. A lack of room that only an fsync finds is none: what the kernel has
// dropped then is not known.
func fullDisk(err error) bool {
	var write *fs.PathError // fdatasync(2) gives a bare number
	switch {
	case errors.Is(err, berrors.ErrMaxSizeReached):
		return true
	case errors.As(err, &write):
		return errors.Is(write, syscall.ENOSPC) || errors.Is(write, syscall.EDQUOT) || errors.Is(write, syscall.EFBIG)
	}
	text := err.Error() // bbolt wraps this one with %s
	return strings.HasPrefix(text, "file resize error") && strings.Contains(text, syscall.ENOSPC.Error())
}

// closed turns bbolt's errors into those of the contract.
func closed(err error) error {
	switch {
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return store.ErrClosed
	case errors.Is(err, berrors.ErrDatabaseReadOnly):
		return fmt.Errorf("database was opened for reading only: %w", fs.ErrPermission)
	}
	return err
}
