package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"rollcall/server/store"

	bolt "go.etcd.io/bbolt"
)

// Backup writes a consistent copy of the database, itself a database, while
// others read and write. It returns ctx's error if that ends meanwhile.
func (e *Engine) Backup(ctx context.Context, w io.Writer) error {
	err := e.view(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(&writer{ctx, w})
		return err
	})
	if ctx.Err() != nil && err != nil { // bbolt hides what the writer said
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("copy database %s: %w", e.path, err)
	}
	return nil
}

// CopyTo makes a backup as a new file with mode 0600, durably and in one step:
// the name exists only once the copy is complete. An existing file is replaced.
func (e *Engine) CopyTo(ctx context.Context, name string) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".copy-*")
	if err != nil {
		return fmt.Errorf("copy database %s: %w", e.path, err)
	}
	err = e.Backup(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("copy database to %s: %w", name, err), os.Remove(f.Name()))
	}
	return syncParent(name)
}

// writer stops a long copy when its context ends.
type writer struct {
	ctx context.Context
	w   io.Writer
}

func (w *writer) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(b)
}

// Check reads the whole structure of the file: every page is used once or free,
// all keys are in order and can be read. It calls report for every fault and
// returns how many there were. What values say is checked by those who know
// them: most flipped bits lie in values.
//
// In a large file it takes a second for some GiB, and writes go on meanwhile.
func (e *Engine) Check(ctx context.Context, report func(error)) (faults int, err error) {
	found := func(err error) {
		faults++
		report(fmt.Errorf("check %s: %w: %w", e.path, store.ErrCorrupt, err))
	}
	// A walk of our own first: bbolt's check runs in a goroutine of its own,
	// where a fault on a page that is not there would end the process.
	for _, s := range store.Spaces {
		err := e.View(ctx, func(r store.Reader) error {
			sum := byte(0)
			for p, err := range r.Scan(s, nil, nil, 0) {
				if err != nil {
					return err
				}
				for _, c := range p.V {
					sum ^= c // touches the page
				}
			}
			_ = sum
			return nil
		})
		if errors.Is(err, store.ErrCorrupt) {
			found(err)
		} else if err != nil {
			return faults, fmt.Errorf("check %s: %w", e.path, err)
		}
	}
	if faults > 0 {
		return faults, nil
	}
	err = e.view(func(tx *bolt.Tx) error {
		for err := range tx.Check() { // must be read to its end
			found(err)
		}
		return nil
	})
	if err != nil {
		return faults, fmt.Errorf("check %s: %w", e.path, err)
	}
	return faults, nil
}
