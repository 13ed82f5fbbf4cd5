package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// SchemaVersion is the version of everything that this program stores. Version 2
// has records in compact form, version 3 reports in the order of the log.
const SchemaVersion = 3

// ErrSchema is wrapped when a store was written by a newer program, or by
// something else.
var ErrSchema = errors.New("store does not fit this program")

// Schema writes the version into an empty store and checks it in any other; one of
// an older program gets the new version, because what is written from now on is
// not for that program. It must be called before anything else is done with an
// engine.
func Schema(ctx context.Context, e Engine) error {
	var version uint64
	var empty bool
	err := e.View(ctx, func(r Reader) error {
		var err error
		version, empty, err = readSchema(r)
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("read the store's schema version: %w", err)
	case version > SchemaVersion:
		return fmt.Errorf("%w: it has version %d, this program knows %d: install a newer rollcall-server", ErrSchema, version, SchemaVersion)
	case version == SchemaVersion:
		return nil
	case version == 0 && !empty:
		return fmt.Errorf("%w: it has no schema version but is not empty: restore a backup, or check the path", ErrSchema)
	}
	k := schemaKey()
	if err := UpdateAgain(ctx, e, func(tx Tx) error {
		return tx.Put(k, Frame(k, recordV1, binary.BigEndian.AppendUint64(nil, SchemaVersion)))
	}); err != nil {
		return fmt.Errorf("write the store's schema version: %w", err)
	}
	return nil
}

// IsSchema tells whether a key is that of the schema's version.
func IsSchema(k Key) bool {
	own := schemaKey()
	return k.Space == own.Space && string(k.K) == string(own.K)
}

// readSchema returns the version, 0 if there is none, and whether the store has
// no key at all.
func readSchema(r Reader) (version uint64, empty bool, err error) {
	k := schemaKey()
	v, err := r.Get(k)
	if err != nil {
		return 0, false, err
	}
	if v == nil {
		for _, s := range Spaces {
			for _, err := range r.Scan(s, nil, nil, 1) {
				return 0, false, err
			}
		}
		return 0, true, nil
	}
	kind, b, err := Unframe(k, v)
	if err != nil {
		return 0, false, err
	}
	if kind != recordV1 || len(b) != 8 {
		return 0, false, &CorruptError{Key: k, Reason: "not a schema version"}
	}
	return binary.BigEndian.Uint64(b), false, nil
}

// UpdateAgain is Update for functions that may be committed twice, which most
// writes outside of lanes are: it runs fn again when the outcome is unknown, and
// returns ErrUnknown after ten such losses in a row.
func UpdateAgain(ctx context.Context, u Updater, fn func(Tx) error) error {
	for range 9 {
		if err := u.Update(ctx, fn); !errors.Is(err, ErrUnknown) || errors.Is(err, ErrBroken) {
			return err
		}
	}
	return u.Update(ctx, fn)
}
