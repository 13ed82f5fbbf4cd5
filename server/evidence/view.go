package evidence

import (
	"bytes"
	"errors"
	"fmt"
	"iter"

	"rollcall/server/store"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrNotFound is returned for what the log does not hold: an index beyond its end,
// an envelope that was recorded before the log began.
var ErrNotFound = errors.New("the log does not hold it")

// ErrErased is returned for the content of a leaf that was erased.
var ErrErased = errors.New("the leaf's content was erased")

// View reads the log from one snapshot.
type View struct {
	r      store.Reader
	tenant string
}

// At returns the log of a tenant as seen from a snapshot.
func At(r store.Reader, tenant string) View { return View{r, tenant} }

// Size returns the number of leaves.
func (v View) Size() (uint64, error) { return size(v.r, v.tenant) }

// Leaf returns the bytes of a leaf.
func (v View) Leaf(index uint64) ([]byte, error) {
	k := logKey(v.tenant, index)
	b, err := v.r.Get(k)
	if err != nil {
		return nil, err
	}
	n, err := v.Size()
	if err == nil && index >= n {
		err = fmt.Errorf("leaf %d of %d: %w", index, n, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	r, err := openRecord(k, index, b)
	return bytes.Clone(r.leaf), err
}

// Numbered is a leaf with its index. Its bytes are valid until the snapshot ends.
type Numbered struct {
	Index  uint64
	Leaf   []byte
	hashes []tlog.Hash
}

// Leaves yields the leaves from index from on, at most limit (0: all). A leaf
// that is missing or damaged comes with a store.CorruptError, after which it goes
// on with the next one.
func (v View) Leaves(from uint64, limit int) iter.Seq2[Numbered, error] {
	return func(yield func(Numbered, error) bool) {
		n, err := v.Size()
		if err != nil {
			yield(Numbered{Index: from}, err)
			return
		}
		end := n
		if limit > 0 && from < n {
			end = min(n, from+uint64(limit))
		}
		next := from
		// lost yields the leaves that are missing before index to.
		lost := func(to uint64) bool {
			for ; next < to; next++ {
				if !yield(Numbered{Index: next}, missing(logKey(v.tenant, next), next)) {
					return false
				}
			}
			return true
		}
		first := logKey(v.tenant, from).K
		prefix := len(first) - 8
		for p, err := range v.r.Scan(store.Record, first, store.PrefixEnd(first[:prefix]), limit) {
			if err != nil {
				yield(Numbered{Index: next}, err)
				return
			}
			k := store.Key{Space: store.Record, K: p.K}
			at, err := number(k, p.K[prefix:])
			if err != nil {
				yield(Numbered{Index: next}, err)
				return
			}
			if !lost(min(at, end)) || at >= end && limit > 0 {
				return
			}
			r, err := openRecord(k, at, p.V)
			if at >= n && err == nil {
				err = &store.CorruptError{Key: k, Reason: fmt.Sprintf("the log has %d leaves", n)}
			}
			if !yield(Numbered{at, r.leaf, r.hashes}, err) {
				return
			}
			next = at + 1
		}
		lost(end)
	}
}

// IndexOf returns the index of the leaf of an envelope, or ErrNotFound.
func (v View) IndexOf(envelope [sumSize]byte) (uint64, error) {
	return IndexOf(v.r, v.tenant, envelope)
}

// IndexOf is View.IndexOf, also within a transaction.
func IndexOf(g store.Getter, tenant string, envelope [sumSize]byte) (uint64, error) {
	k := leafOfKey(tenant, envelope)
	b, err := store.GetFramed(g, k)
	if err != nil {
		return 0, err
	}
	if b == nil {
		return 0, fmt.Errorf("report %x: %w", envelope, ErrNotFound)
	}
	return number(k, b)
}

// Explained is what stands beside a leaf.
type Explained struct {
	Salt    []byte
	Sum     [sumSize]byte // SHA-256 of the content
	Content []byte        // nil for a signed kind: the envelope is the content
}

// Explain returns what a leaf commits to. ErrErased is returned for a leaf that
// was erased.
func (v View) Explain(index uint64) (Explained, error) {
	k := noteKey(v.tenant, index)
	var n explanation
	found, err := store.GetJSON(v.r, k, &n)
	switch {
	case err != nil:
		return Explained{}, err
	case !found:
		return Explained{}, &store.CorruptError{Key: k, Reason: fmt.Sprintf("what explains leaf %d is missing", index)}
	case n.Erased != 0:
		return Explained{}, fmt.Errorf("leaf %d: %w", index, ErrErased)
	case len(n.Salt) != SaltSize || len(n.Sum) != sumSize:
		return Explained{}, &store.CorruptError{Key: k, Reason: "not a note of a leaf"}
	}
	return Explained{Salt: n.Salt, Sum: [sumSize]byte(n.Sum), Content: n.Content}, nil
}

// About returns the indexes of all leaves about a key that are no reports, in
// their order.
func (v View) About(key string) ([]uint64, error) {
	var all []uint64
	from := aboutKey(v.tenant, key, 0).K
	prefix := from[:len(from)-8]
	for p, err := range v.r.Scan(store.Record, prefix, store.PrefixEnd(prefix), 0) {
		if err != nil {
			return nil, err
		}
		n, err := number(store.Key{Space: store.Record, K: p.K}, p.K[len(prefix):])
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// Root returns the root of the tree of the first n leaves.
func (v View) Root(n uint64) (tlog.Hash, error) {
	if err := v.reach(n); err != nil {
		return tlog.Hash{}, err
	}
	h, err := tlog.TreeHash(int64(n), hashReader{v.r, v.tenant})
	if err != nil {
		return h, fmt.Errorf("root of %d leaves: %w", n, err)
	}
	return h, nil
}

// Inclusion proves that a leaf is in the tree of the first n leaves.
func (v View) Inclusion(n, index uint64) (tlog.RecordProof, error) {
	if err := v.reach(n); err != nil {
		return nil, err
	}
	p, err := tlog.ProveRecord(int64(n), int64(index), hashReader{v.r, v.tenant})
	if err != nil {
		return nil, fmt.Errorf("prove leaf %d of %d: %w", index, n, err)
	}
	return p, nil
}

// Consistency proves that the tree of the first n leaves only grew out of that of
// the first old ones.
func (v View) Consistency(n, old uint64) (tlog.TreeProof, error) {
	if err := v.reach(n); err != nil {
		return nil, err
	}
	if old == 0 || old == n {
		return tlog.TreeProof{}, nil
	}
	p, err := tlog.ProveTree(int64(n), int64(old), hashReader{v.r, v.tenant})
	if err != nil {
		return nil, fmt.Errorf("prove that the log of %d leaves grew out of %d: %w", n, old, err)
	}
	return p, nil
}

func (v View) reach(n uint64) error {
	have, err := v.Size()
	if err == nil && n > have {
		err = fmt.Errorf("tree of %d leaves: %w: it has %d", n, ErrNotFound, have)
	}
	return err
}
