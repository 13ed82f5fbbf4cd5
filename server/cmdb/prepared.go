package cmdb

import (
	"context"
	"fmt"
	"sync"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// Prepared is a set on its way into the store: Derive makes it outside of any
// transaction, Put stores it.
type Prepared struct {
	Digest  fact.Digest
	Section string // empty if it is the empty set and starts from nothing
	Len     int    // number of facts

	// News are the facts that may break a rule: the others are those of Base, which
	// were checked when it was stored. A set that is stored has none.
	News []fact.Fact
	Base fact.Digest

	held   *held
	stored bool
	packed func() (store.Packed, error) // once: a report that lacks contents comes again
	size   int
}

// Get returns the value at a path, and whether there is one.
func (p Prepared) Get(path string) (string, bool) { return p.held.whole.get(p.held.patch, path) }

// Facts returns the set, which is shared and must not be changed.
func (p Prepared) Facts() fact.Set { return p.held.set() }

func (p *Prepared) pack(b []byte) {
	p.size = len(b)
	p.packed = sync.OnceValues(func() (store.Packed, error) { return store.Pack(b) })
}

// Pack compresses a prepared set, so that nothing of that happens inside of the
// transaction of Put.
func (p Prepared) Pack() error {
	if p.stored {
		return nil
	}
	_, err := p.packed()
	return err
}

// Put stores a prepared set in a transaction, unless it is there; isNew tells
// which. A set beyond the limits of one transaction must go through PutLarge
// first.
func (s *Sets) Put(tx store.Tx, tenant string, p Prepared) (isNew bool, err error) {
	has, err := store.HasBlob(tx, tenant, setKind, p.Digest)
	if err != nil || has {
		return false, err
	}
	if p.stored {
		return false, fmt.Errorf("store fact set %s: %w: it was there when the report was read", p.Digest, store.ErrNoBlob)
	}
	packed, err := p.packed()
	if err != nil {
		return false, err
	}
	return true, packed.PutTx(tx, tenant, setKind, p.Digest)
}

// Size returns the bytes that a prepared set takes in a transaction at most.
func (p Prepared) Size() int {
	if p.stored {
		return 0
	}
	return p.size + 1<<10
}

// PutLarge stores a prepared set in transactions of its own, before the one that
// refers to it.
func (s *Sets) PutLarge(ctx context.Context, e store.Updater, tenant string, p Prepared) error {
	packed, err := p.packed()
	if err != nil {
		return err
	}
	return packed.Store(ctx, e, tenant, setKind, p.Digest)
}

// Keep caches a prepared set once the transaction in which Put stored it is
// committed. It must not be called for a set that was there already: that one may
// be stored in another form, which those that are built on it must know.
func (s *Sets) Keep(p Prepared) { s.keep(p.Digest, p.held) }
