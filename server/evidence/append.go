package evidence

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"time"

	"rollcall/server/store"

	"golang.org/x/mod/sumdb/tlog"
)

// Log is the log as seen from a transaction.
type Log struct {
	tx     store.Tx
	tenant string
}

// In returns the log of a tenant as seen from a transaction.
func In(tx store.Tx, tenant string) Log { return Log{tx, tenant} }

// Append writes one leaf and returns its index. An entry that no leaf can hold is
// ErrEntry. The salt comes from the system's randomness, anew in each run of the
// transaction: the run that is committed is the one that counts.
func (l Log) Append(now time.Time, e Entry) (index uint64, err error) {
	if err := e.check(); err != nil {
		return 0, err
	}
	n, err := size(l.tx, l.tenant)
	if err != nil {
		return 0, err
	}
	note, err := explain(e)
	if err != nil {
		return 0, err
	}
	leaf := Leaf{Commitment: Commit(note.Salt, [sumSize]byte(note.Sum)), At: now.UnixMilli(), Seq: e.Seq, Kind: e.Kind, CI: e.CI}.Encode()
	hashes, err := tlog.StoredHashes(int64(n), leaf, hashReader{l.tx, l.tenant})
	if err != nil {
		return 0, fmt.Errorf("append leaf %d: %w", n, err)
	}
	if err := store.PutFramed(l.tx, logKey(l.tenant, n), record{leaf, hashes}.encode()); err != nil {
		return 0, err
	}
	if err := store.PutJSON(l.tx, noteKey(l.tenant, n), note); err != nil {
		return 0, err
	}
	if err := l.index(n, e); err != nil {
		return 0, err
	}
	return n, store.PutFramed(l.tx, headKey(l.tenant), be64(n+1))
}

func explain(e Entry) (explanation, error) {
	salt := make([]byte, SaltSize)
	_, _ = rand.Read(salt) // never fails, see crypto/rand
	if e.Kind.Signed() {
		return explanation{Salt: salt, Sum: e.Subject}, nil
	}
	content, err := e.content()
	sum := sha256.Sum256(content)
	return explanation{Salt: salt, Sum: sum[:], Content: content}, err
}

// index makes a leaf findable.
func (l Log) index(n uint64, e Entry) error {
	if e.Kind.Signed() {
		return store.PutFramed(l.tx, leafOfKey(l.tenant, [sumSize]byte(e.Subject)), be64(n))
	}
	for _, key := range []string{e.Key, e.Ends} {
		if key == "" {
			continue
		}
		if err := store.PutFramed(l.tx, aboutKey(l.tenant, key, n), nil); err != nil {
			return err
		}
	}
	return nil
}

// Erase takes away what explains a leaf: its salt, its content, and the way from
// an envelope to it. The leaf stays and the tree is what it was; that the leaf is
// erased is written down, without what it was. The caller erases the envelope
// itself, and appends a leaf that says who wanted it and why. ErrNotFound is
// returned for an index that no leaf has.
func (l Log) Erase(now time.Time, index uint64) error {
	k := noteKey(l.tenant, index)
	var old explanation
	found, err := store.GetJSON(l.tx, k, &old)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("erase leaf %d: %w", index, ErrNotFound)
	}
	if old.Erased != 0 {
		return nil
	}
	for _, gone := range old.ways(l.tenant, index) {
		if err := l.tx.Delete(gone); err != nil {
			return err
		}
	}
	return store.PutJSON(l.tx, k, explanation{Erased: now.UnixMilli()})
}

// ways lists the records that lead to a leaf.
func (n explanation) ways(tenant string, index uint64) []store.Key {
	if n.Content == nil && len(n.Sum) == sumSize {
		return []store.Key{leafOfKey(tenant, [sumSize]byte(n.Sum))}
	}
	e, err := ParseEntry(n.Content)
	if err != nil {
		return nil // what cannot be read leads nowhere
	}
	var keys []store.Key
	for _, key := range []string{e.Key, e.Ends} {
		if key != "" {
			keys = append(keys, aboutKey(tenant, key, index))
		}
	}
	return keys
}
