package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"rollcall/internal/failpoint"
	"rollcall/internal/identity"

	bolt "go.etcd.io/bbolt"
)

// Backup writes a consistent copy of the database, itself a database, while
// others read and write. It returns ctx's error if that ends meanwhile.
func (e *Engine) Backup(ctx context.Context, w io.Writer) error {
	err := e.snapshot(func(tx *bolt.Tx) error {
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
	return identity.SyncDir(filepath.Dir(name))
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
	n, err := w.w.Write(b)
	failpoint.Hit(failpoint.SnapshotWrite)
	return n, err
}
