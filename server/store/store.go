// Package store is the contract between Rollcall's domain code and whatever
// keeps its bytes: ordered keys in transactions, no more than every engine can
// promise. It owns the contract, the lanes that commit many reports in one
// transaction, and the feed that tells followers which CIs were touched.
//
// What makes an engine an engine is passing storetest. bbolt (store/bolt) is
// the first; domain code is also run on storetest's deliberately weak engine,
// so that nothing leans on a strictness that another engine does not have.
package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// Space separates kinds of keys: a bucket in bbolt, a table in SQL. The numbers
// are on disk: changing one breaks every existing database.
type Space uint8

// The spaces.
const (
	CI     Space = iota + 1 // heads, updated in place
	Event                   // history, append only
	Unique                  // guards: machine key → CI, name → CI, MAC → CI
	Record                  // sites, operators, tokens, outboxes, settings
	Blob                    // fact sets and file contents by digest, chunked
	Feed                    // lanes: which CIs a commit touched
	Meta                    // schema version, leases, counters
)

// Spaces lists all spaces in order.
var Spaces = [...]Space{CI, Event, Unique, Record, Blob, Feed, Meta}

// String names the space, as in a bucket's name.
func (s Space) String() string {
	names := [...]string{"", "ci", "event", "unique", "record", "blob", "feed", "meta"}
	if int(s) < len(names) && s > 0 {
		return names[s]
	}
	return fmt.Sprintf("space-%d", uint8(s))
}

// Limits that every engine and the weak one enforce: the smallest common of the
// engines considered.
const (
	MaxKey     = 1 << 10
	MaxValue   = 64 << 10
	MaxTxBytes = 1 << 20
	MaxTxKeys  = 1000
)

// Errors that callers branch on.
var (
	// ErrUnknown means that the outcome of a commit is not known. Only lanes
	// meet it, and they resolve it.
	ErrUnknown = errors.New("outcome of the commit is unknown")
	// ErrLimit means that a key, a value or a transaction is too large.
	ErrLimit = errors.New("beyond the store's limits")
	// ErrClosed means that the engine has been closed, or that a writer has
	// been stopped. Nothing was written.
	ErrClosed = errors.New("store is closed")
	// ErrBroken means that the disk failed under the engine: what is in memory
	// and what is on disk may differ. It takes no more writes and must be opened
	// again, which after a failed fsync needs a new process.
	ErrBroken = errors.New("store has failed and must be opened again")
	// ErrReadOnly means that there is too little room to write. Nothing was
	// written, reading works, and writing does again once there is room.
	ErrReadOnly = errors.New("nothing is taken in: there is too little room on the disk")
)

// Key names one value. Every K begins with its tenant and a slash.
type Key struct {
	Space Space
	K     []byte
}

// String gives the space and the key, quoted, for messages.
func (k Key) String() string { return fmt.Sprintf("%s %q", k.Space, k.K) }

// At makes a key of a space and its parts, which are joined as they are.
func At(s Space, parts ...string) Key {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	k := make([]byte, 0, n)
	for _, p := range parts {
		k = append(k, p...)
	}
	return Key{Space: s, K: k}
}

// Pair is a key of a known space with its value.
type Pair struct{ K, V []byte }

// Reader is one consistent snapshot. Returned bytes are valid until the View
// function returns and must not be changed.
type Reader interface {
	Get(Key) ([]byte, error) // nil, nil = absent
	GetMany([]Key) ([][]byte, error)
	// Scan yields the pairs of [from, to) in byte order, at most limit (0 = all).
	// A nil to means to the end of the space. After an error it stops.
	Scan(s Space, from, to []byte, limit int) iter.Seq2[Pair, error]
}

// Tx reads and writes in one transaction. It has no Scan by design: ranges are
// found in a View, then re-checked one key at a time. Reads see the
// transaction's own writes. An empty value is stored as such and is not absent.
type Tx interface {
	Get(Key) ([]byte, error) // nil, nil = absent; takes part in conflict detection
	GetMany([]Key) ([][]byte, error)
	Put(Key, []byte) error // the value is copied or kept unchanged until commit
	Delete(Key) error      // deleting what is absent is no error
}

// Engine keeps the bytes.
//
// Update commits durably, or returns an error and changes nothing, or returns
// ErrUnknown. Reads come from one snapshot; it commits only if nothing that fn
// read and that exists has changed, and nothing that it writes was changed
// meanwhile; a key read as absent is protected if it is also written. fn may
// run several times and must have no side effects outside the transaction. An
// error of fn is returned as it is and nothing is written.
type Engine interface {
	View(ctx context.Context, fn func(Reader) error) error
	Update(ctx context.Context, fn func(Tx) error) error
	Close() error
}

// Getter is what Reader and Tx share.
type Getter interface {
	Get(Key) ([]byte, error)
	GetMany([]Key) ([][]byte, error)
}

// PrefixEnd returns the first key after all that begin with prefix, or nil if
// there is none.
func PrefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}
