package evidence

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"rollcall/server/store"

	"golang.org/x/mod/sumdb/tlog"
)

// Errors about cosignatures that callers branch on.
var (
	// ErrOld means that the same witness has cosigned a newer checkpoint already.
	ErrOld = errors.New("a newer checkpoint is cosigned already")
	// ErrFork means that the checkpoint is not of this log as it is now.
	ErrFork = errors.New("the checkpoint is not of this log")
	// ErrWitnesses means that there are as many witnesses as a log can have.
	ErrWitnesses = errors.New("there are too many witnesses")
)

const maxWitnesses = 16

// Signed is the newest checkpoint that the server signed.
type Signed struct {
	At   int64  `json:"at"` // milliseconds since 1970
	Note []byte `json:"note"`
}

// Witnessed is the newest checkpoint that one witness has cosigned. The server
// keeps it for others: whom to believe is decided by who verifies.
type Witnessed struct {
	Key  string `json:"key"` // verifier key
	At   int64  `json:"at"`  // when it came, milliseconds since 1970
	Size uint64 `json:"size"`
	Note []byte `json:"note"`
}

func checkpointKey(tenant string) store.Key { return store.At(store.Record, tenant, "/checkpoint") }

func witnessesKey(tenant string) store.Key { return store.At(store.Record, tenant, "/witnesses") }

// PutCheckpoint stores a checkpoint that the server signed.
func (l Log) PutCheckpoint(now time.Time, note []byte) error {
	return store.PutJSON(l.tx, checkpointKey(l.tenant), Signed{At: now.UnixMilli(), Note: note})
}

// Checkpoint returns the newest checkpoint that the server signed; its Note is nil
// if it has signed none yet.
func (v View) Checkpoint() (Signed, error) {
	var s Signed
	_, err := store.GetJSON(v.r, checkpointKey(v.tenant), &s)
	return s, err
}

// Witnessed returns the newest checkpoint of each witness.
func (v View) Witnessed() ([]Witnessed, error) { return witnessed(v.r, v.tenant) }

func witnessed(g store.Getter, tenant string) ([]Witnessed, error) {
	var all []Witnessed
	_, err := store.GetJSON(g, witnessesKey(tenant), &all)
	return all, err
}

// PutCosigned stores a checkpoint of this log, as it is now, that a witness has
// cosigned. isNew tells that the witness was not known before. ErrCheckpoint,
// ErrFork, ErrOld or ErrWitnesses is returned if it cannot be taken.
func (l Log) PutCosigned(now time.Time, log string, w Witness, note []byte) (isNew bool, err error) {
	c, cosigned, err := OpenCheckpoint(note, log, w)
	if err == nil && len(cosigned) == 0 {
		err = fmt.Errorf("%w: it is not cosigned by %s", ErrCheckpoint, w.Name())
	}
	if err != nil {
		return false, err
	}
	n, err := size(l.tx, l.tenant)
	if err != nil {
		return false, err
	}
	if c.Size > n {
		return false, fmt.Errorf("checkpoint of %d leaves, there are %d: %w", c.Size, n, ErrFork)
	}
	root, err := tlog.TreeHash(int64(c.Size), hashReader{l.tx, l.tenant})
	if err != nil {
		return false, fmt.Errorf("checkpoint of %d leaves: %w", c.Size, err)
	}
	if root != c.Root {
		return false, fmt.Errorf("checkpoint of %d leaves: %w: their root is another", c.Size, ErrFork)
	}
	all, err := witnessed(l.tx, l.tenant)
	if err != nil {
		return false, err
	}
	entry := Witnessed{Key: w.String(), At: now.UnixMilli(), Size: c.Size, Note: note}
	i := slices.IndexFunc(all, func(x Witnessed) bool { return x.Key == entry.Key })
	switch {
	case i < 0 && len(all) >= maxWitnesses:
		return false, fmt.Errorf("witness %s: %w: %d", w.Name(), ErrWitnesses, len(all))
	case i < 0:
		all = append(all, entry)
	case all[i].Size > c.Size:
		return false, fmt.Errorf("witness %s, %d leaves: %w: of %d leaves", w.Name(), c.Size, ErrOld, all[i].Size)
	default:
		all[i] = entry
	}
	return i < 0, store.PutJSON(l.tx, witnessesKey(l.tenant), all)
}
