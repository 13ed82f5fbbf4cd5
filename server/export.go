package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"rollcall/internal/identity"
	"rollcall/internal/seal"
	"rollcall/server/archive"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// Exported tells what Export has made.
type Exported struct {
	Report // of the snapshot
	Pairs  uint64
	File   archive.Written
}

// Export writes all pairs of the store as the file name, for any engine:
// encrypted to the recipients of the configuration, or plain. The server may
// run. What is exported is a snapshot that was checked; a damaged one is none,
// and the report names the faults.
func Export(ctx context.Context, cfg Config, name string, plain bool) (exp Exported, err error) {
	to, err := seal.ParseRecipients(cfg.BackupRecipients)
	switch {
	case err != nil:
		return exp, fmt.Errorf("backup_recipient: %w", err)
	case plain:
		to = seal.Recipients{}
	case to.Len() == 0:
		return exp, errors.New("export: there is nobody to encrypt it to: set backup_recipient in the configuration, or write it unencrypted with --plain")
	}
	work, err := newWork(cfg, "export")
	if err != nil {
		return exp, err
	}
	defer func() { err = errors.Join(err, work.remove()) }()
	if exp.Report, _, err = snapshot(ctx, cfg, work.dir); err != nil || len(exp.Faults) > 0 {
		return exp, err
	}
	copied := cfg
	copied.Data = work.dir
	e, err := bolt.Open(copied.database(), bolt.Options{ReadOnly: true})
	if err != nil {
		return exp, err
	}
	exp.File, err = archive.Create(ctx, name, to,
		func(w io.Writer) error {
			return e.View(ctx, func(r store.Reader) (err error) {
				exp.Pairs, err = archive.Export(r, w)
				return err
			})
		},
		func(r io.Reader) error {
			_, err := archive.Pairs(r, func(store.Key, []byte) error { return nil })
			return err
		})
	return exp, errors.Join(err, e.Close())
}

// Import fills the empty store of a data folder with an export. The folder must
// hold the server's key, or machines would not know the server, and no store
// with anything in it. The store is checked before it gets its name: an Import
// that was killed is begun again.
func Import(ctx context.Context, cfg Config, name string, ids seal.Identities) (pairs uint64, rep Report, err error) {
	if _, err := identity.LoadKey(cfg.KeyFile()); errors.Is(err, fs.ErrNotExist) {
		return 0, rep, fmt.Errorf("import into %s: there is no server.key: copy the keys of the server that the export is from into it first: machines know it by them", cfg.Data)
	} else if err != nil {
		return 0, rep, err
	}
	if err := noStore(ctx, cfg); err != nil {
		return 0, rep, err
	}
	work, err := newWork(cfg, "import")
	if err != nil {
		return 0, rep, err
	}
	defer func() { err = errors.Join(err, work.remove()) }()
	if err := copyKeys(cfg.Data, work.dir); err != nil {
		return 0, rep, err
	}
	imported := cfg
	imported.Data = work.dir
	e, err := bolt.Open(imported.database(), bolt.Options{})
	if err != nil {
		return 0, rep, err
	}
	err = archive.Open(ctx, name, ids, func(r io.Reader) (err error) {
		pairs, err = archive.Import(ctx, e, r)
		return err
	})
	if err == nil {
		err = store.Schema(ctx, e)
	}
	if err = errors.Join(err, e.Close()); err != nil {
		return pairs, rep, err
	}
	if rep, err = Check(ctx, imported); err != nil || len(rep.Faults) > 0 {
		return pairs, rep, err
	}
	return pairs, rep, place(work.dir, cfg, map[string]archive.Member{archive.Store: {}})
}

// noStore returns ErrNotEmpty if the data folder has a store with more in it
// than the version of its schema.
func noStore(ctx context.Context, cfg Config) error {
	e, err := bolt.Open(cfg.database(), bolt.Options{ReadOnly: true})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = e.View(ctx, func(r store.Reader) error {
		for _, space := range store.Spaces {
			for p, err := range r.Scan(space, nil, nil, 0) {
				if err != nil {
					return err
				}
				if !store.IsSchema(store.Key{Space: space, K: p.K}) {
					return fmt.Errorf("import into %s: %w", cfg.Data, ErrNotEmpty)
				}
			}
		}
		return nil
	})
	return errors.Join(err, e.Close())
}

// Compacted tells what Compact has done.
type Compacted struct{ Before, After int64 }

// Compact writes the store anew without its free pages, in which what was erased
// or pruned lies until it is overwritten. The server must not run. The new store
// is checked before it takes the place of the old one.
func Compact(ctx context.Context, cfg Config) (done Compacted, rep Report, err error) {
	e, err := bolt.Open(cfg.database(), bolt.Options{}) // nobody else has it open
	if errors.Is(err, fs.ErrNotExist) {
		return done, rep, fmt.Errorf("open %s: %w", cfg.Data, ErrNotInitialised)
	}
	if err != nil {
		return done, rep, err
	}
	if err := e.Close(); err != nil {
		return done, rep, err
	}
	work, err := newWork(cfg, "compact")
	if err != nil {
		return done, rep, err
	}
	defer func() { err = errors.Join(err, work.remove()) }()
	if err := copyKeys(cfg.Data, work.dir); err != nil {
		return done, rep, err
	}
	small := cfg
	small.Data = work.dir
	if err := bolt.Compact(ctx, cfg.database(), small.database()); err != nil {
		return done, rep, err
	}
	if rep, err = Check(ctx, small); err != nil || len(rep.Faults) > 0 {
		return done, rep, err
	}
	for _, s := range []struct {
		cfg  Config
		into *int64
	}{{cfg, &done.Before}, {small, &done.After}} {
		info, err := os.Stat(s.cfg.database())
		if err != nil {
			return done, rep, fmt.Errorf("size of the store: %w", err)
		}
		*s.into = info.Size()
	}
	return done, rep, place(work.dir, cfg, map[string]archive.Member{archive.Store: {}})
}
