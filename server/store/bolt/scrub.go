package bolt

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"rollcall/internal/identity"

	bolt "go.etcd.io/bbolt"
)

// Scrub overwrites the free pages of a database file that nobody has open with
// zeros, and returns how many there were: bbolt leaves in them what was deleted
// or replaced. It is for copies: what a crash would need of the version before
// the last commit goes as well.
func Scrub(ctx context.Context, path string) (pages int, err error) {
	e, err := Open(path, Options{})
	if err != nil {
		return 0, err
	}
	err = e.snapshot(func(tx *bolt.Tx) error {
		head, err := metaOf(tx)
		if err != nil {
			return err
		}
		var faults []error
		w := walk{ctx: ctx, file: e.file, report: func(err error) { faults = append(faults, err) }}
		faults = append(faults, w.all(head))
		if err := errors.Join(faults...); err != nil {
			return err // what is free is not known
		}
		zeros := make([]byte, w.size)
		for id, use := range w.use {
			if use != freePage {
				continue
			}
			if _, err := e.file.WriteAt(zeros, int64(id)*int64(w.size)); err != nil {
				return err
			}
			pages++
		}
		return e.file.Sync()
	})
	if err = errors.Join(err, e.Close()); err != nil {
		return pages, fmt.Errorf("overwrite the free pages of %s: %w", path, err)
	}
	return pages, nil
}

// Compact copies a database file that nobody writes into a new one that holds
// what is in use and nothing else, in batches that bound its memory. to must not
// exist; after an error half of it may.
func Compact(ctx context.Context, from, to string) error {
	src, err := Open(from, Options{ReadOnly: true})
	if err != nil {
		return err
	}
	dst := &Engine{path: to}
	if err := dst.open(Options{}, 0); err != nil {
		return errors.Join(fmt.Errorf("make %s: %w", to, err), src.Close())
	}
	err = guard(nil, func() error { return bolt.Compact(dst.db, src.db, compactBatch) })
	if err = errors.Join(ctx.Err(), err, dst.Close(), src.Close()); err != nil {
		return fmt.Errorf("compact %s: %w", from, err)
	}
	return identity.SyncDir(filepath.Dir(to))
}

// compactBatch is how many bytes one transaction of Compact takes.
const compactBatch = 16 << 20
