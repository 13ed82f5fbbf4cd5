package cmdb

import (
	"context"
	"fmt"
	"sync"

	"rollcall/internal/fact"
	"rollcall/server/store"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Kinds of blob, see keys.go.
const (
	setKind     = "set"
	contentKind = "content"
)

// A stored set begins with a byte that tells its form. Changing a form breaks
// every existing database.
const (
	setFull  = 1 // then the canonical encoding of the set
	setDelta = 2 // then the number of deltas below it, then an encoded fact.Delta
)

// maxChain bounds how many deltas are applied to read one set, and deltaShare
// how large a delta may be beside its set (one part in …) before a full set is
// stored instead.
const (
	maxChain   = 12
	deltaShare = 4
)

// cacheFacts bounds the decoded sets kept in memory, in facts; a fact costs
// about 100 bytes.
const cacheFacts = 600_000

// Sets reads and writes fact sets, which are stored once by digest, and caches
// decoded ones. It is safe for concurrent use. Loaded sets are shared and must
// not be changed.
type Sets struct {
	mu    sync.Mutex
	cache *lru.Cache[fact.Digest, cached]
	facts int
}

type cached struct {
	set   fact.Set
	depth int
}

// NewSets makes an empty cache.
func NewSets() (*Sets, error) {
	s := &Sets{}
	c, err := lru.NewWithEvict(100_000, func(_ fact.Digest, c cached) { s.facts -= len(c.set) + 1 })
	if err != nil {
		return nil, fmt.Errorf("make cache: %w", err)
	}
	s.cache = c
	return s, nil
}

// Load returns the set with a digest. What is stored is checked against the
// digest: damage is store.ErrCorrupt, absence ErrNotFound.
func (s *Sets) Load(g store.Getter, tenant string, d fact.Digest) (fact.Set, error) {
	c, err := s.load(g, tenant, d, 0)
	return c.set, err
}

func (s *Sets) load(g store.Getter, tenant string, d fact.Digest, depth int) (cached, error) {
	s.mu.Lock()
	c, ok := s.cache.Get(d)
	s.mu.Unlock()
	if ok {
		return c, nil
	}
	b, err := store.GetBlob(g, tenant, setKind, d)
	if err != nil {
		return cached{}, fmt.Errorf("read fact set %s: %w", d, err)
	}
	c, err = s.decode(g, tenant, b, depth)
	if err == nil && c.set.Digest() != d {
		err = store.ErrCorrupt
	}
	if err != nil {
		return cached{}, fmt.Errorf("read fact set %s: %w", d, err)
	}
	s.keep(d, c)
	return c, nil
}

func (s *Sets) decode(g store.Getter, tenant string, b []byte, depth int) (cached, error) {
	switch {
	case len(b) > 1 && b[0] == setFull:
		set, err := fact.DecodeSet(b[1:])
		return cached{set: set}, err
	case len(b) > 2 && b[0] == setDelta && depth <= maxChain:
		delta, err := fact.DecodeDelta(b[2:])
		if err != nil {
			return cached{}, err
		}
		base, err := s.load(g, tenant, delta.Base, depth+1)
		if err != nil {
			return cached{}, err
		}
		set, err := delta.Onto(base.set)
		return cached{set: set, depth: int(b[1])}, err
	}
	return cached{}, fmt.Errorf("%w: unknown form", store.ErrCorrupt)
}

// stored reads the form in which a set is kept: either full, or a delta from a
// base that is stored too.
func stored(g store.Getter, tenant string, d fact.Digest) (delta fact.Delta, full fact.Set, err error) {
	b, err := store.GetBlob(g, tenant, setKind, d)
	if err == nil {
		switch {
		case len(b) > 1 && b[0] == setFull:
			full, err = fact.DecodeSet(b[1:])
		case len(b) > 2 && b[0] == setDelta:
			delta, err = fact.DecodeDelta(b[2:])
		default:
			err = fmt.Errorf("%w: unknown form", store.ErrCorrupt)
		}
	}
	if err != nil {
		return fact.Delta{}, nil, fmt.Errorf("read fact set %s: %w", d, err)
	}
	return delta, full, nil
}

func (s *Sets) keep(d fact.Digest, c cached) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cache.Contains(d) {
		return
	}
	s.cache.Add(d, c)
	s.facts += len(c.set) + 1
	for s.facts > cacheFacts && s.cache.Len() > 1 {
		s.cache.RemoveOldest()
	}
}

// Prepared is a set on its way into the store: Encode makes it outside of any
// transaction, Put stores it.
type Prepared struct {
	Digest fact.Digest
	Set    fact.Set
	packed store.Packed
	size   int
	depth  int
}

// Prepare decides how a set is stored: as a delta from a set that is stored
// already where that is much smaller, else in full. base is what delta applies
// to; it is read through g.
func (s *Sets) Prepare(g store.Getter, tenant string, set fact.Set, delta fact.Delta) (Prepared, error) {
	p := Prepared{Digest: delta.Result, Set: set}
	if !delta.Base.IsZero() {
		base, err := s.load(g, tenant, delta.Base, 0)
		if err != nil {
			return p, err
		}
		d := delta.Encode()
		if base.depth < maxChain && len(d)*deltaShare < encodedSize(set) {
			p.depth = base.depth + 1
			return p.pack(append([]byte{setDelta, byte(p.depth)}, d...))
		}
	}
	return p.pack(append([]byte{setFull}, set.Encode()...))
}

func (p Prepared) pack(b []byte) (_ Prepared, err error) {
	p.size = len(b)
	p.packed, err = store.Pack(b)
	return p, err
}

func encodedSize(set fact.Set) int {
	n := 1
	for _, f := range set {
		n += len(f.Path) + len(f.Value) + 2
	}
	return n
}

// Put stores a prepared set in a transaction, unless it is there; stored tells
// which. A set beyond the limits of one transaction must go through PutLarge
// first.
func (s *Sets) Put(tx store.Tx, tenant string, p Prepared) (stored bool, err error) {
	has, err := store.HasBlob(tx, tenant, setKind, p.Digest)
	if err != nil || has {
		return false, err
	}
	return true, p.packed.PutTx(tx, tenant, setKind, p.Digest)
}

// Size returns the bytes that a prepared set takes in a transaction at most.
func (p Prepared) Size() int { return p.size + 1<<10 }

// PutLarge stores a prepared set in transactions of its own, before the one that
// refers to it.
func (s *Sets) PutLarge(ctx context.Context, e store.Updater, tenant string, p Prepared) error {
	return p.packed.Store(ctx, e, tenant, setKind, p.Digest)
}

// Keep caches a prepared set once the transaction in which Put stored it is
// committed. It must not be called for a set that was there already: that one
// may lie at the end of a longer chain than this one would have, and chains
// that are counted too short grow until they cannot be read.
func (s *Sets) Keep(p Prepared) { s.keep(p.Digest, cached{set: p.Set, depth: p.depth}) }
