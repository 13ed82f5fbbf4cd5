package store

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// Overlay is a Tx that keeps its writes in memory above a Getter: it sees its
// own writes, and enforces the limits of a transaction in the same way for all
// engines. An engine applies its writes at commit; who drops it, drops them.
//
// The size of a transaction is the number of distinct keys written or deleted,
// and the sum of their lengths and of the values that they end up with. Reads
// do not count.
type Overlay struct {
	under  Getter
	writes map[place]change
	bytes  int
}

// place is a Key that can be a map's key.
type place struct {
	space Space
	k     string
}

// change is what is to become of a key: value nil means deleted.
type change struct{ value []byte }

// NewOverlay returns an empty overlay above under.
func NewOverlay(under Getter) *Overlay {
	return &Overlay{under: under, writes: map[place]change{}}
}

// Get returns what the overlay wrote, or else what is under it.
func (o *Overlay) Get(k Key) ([]byte, error) {
	if c, ok := o.writes[place{k.Space, string(k.K)}]; ok {
		return c.value, nil
	}
	return o.under.Get(k)
}

// GetMany asks what is under the overlay once, for the keys that it did not
// write itself.
func (o *Overlay) GetMany(keys []Key) ([][]byte, error) {
	values := make([][]byte, len(keys))
	var missing []Key
	var at []int
	for i, k := range keys {
		if c, ok := o.writes[place{k.Space, string(k.K)}]; ok {
			values[i] = c.value
			continue
		}
		missing, at = append(missing, k), append(at, i)
	}
	if len(missing) == 0 {
		return values, nil
	}
	found, err := o.under.GetMany(missing)
	if err != nil {
		return nil, err
	}
	for i, v := range found {
		values[at[i]] = v
	}
	return values, nil
}

// Put keeps a copy of the value.
func (o *Overlay) Put(k Key, v []byte) error {
	if err := checkPut(k, v); err != nil {
		return err
	}
	return o.set(k, append(make([]byte, 0, len(v)), v...)) // never nil: empty is not absent
}

// own is Put for a value that its caller has made for this and never touches again,
// so that it is not copied; tx may be any.
func own(tx Tx, k Key, v []byte) error {
	o, ok := tx.(*Overlay)
	if !ok {
		return tx.Put(k, v)
	}
	if err := checkPut(k, v); err != nil {
		return err
	}
	return o.set(k, v)
}

// Delete marks the key as gone.
func (o *Overlay) Delete(k Key) error {
	if err := CheckKey(k); err != nil {
		return err
	}
	return o.set(k, nil)
}

func (o *Overlay) set(k Key, v []byte) error {
	p := place{k.Space, string(k.K)}
	old, had := o.writes[p]
	grow := len(v) - len(old.value)
	if !had {
		grow += len(k.K)
	}
	if !had && len(o.writes) == MaxTxKeys {
		return fmt.Errorf("write %.200s: %w: a transaction has at most %d keys", k, ErrLimit, MaxTxKeys)
	}
	if o.bytes+grow > MaxTxBytes {
		return fmt.Errorf("write %.200s: %w: a transaction has at most %d bytes", k, ErrLimit, MaxTxBytes)
	}
	o.bytes += grow
	o.writes[p] = change{v}
	return nil
}

// Size returns the number of keys and of bytes written so far.
func (o *Overlay) Size() (keys, bytes int) { return len(o.writes), o.bytes }

// Flush calls put and del for every write, in the order of spaces and keys, and
// stops at the first error. The overlay stays as it is.
func (o *Overlay) Flush(put func(Key, []byte) error, del func(Key) error) error {
	places := make([]place, 0, len(o.writes))
	for p := range o.writes {
		places = append(places, p)
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.space, b.space), cmp.Compare(a.k, b.k))
	})
	for _, p := range places {
		k := Key{Space: p.space, K: []byte(p.k)}
		var err error
		if v := o.writes[p].value; v != nil {
			err = put(k, v)
		} else {
			err = del(k)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fits tells whether the writes of other can join those of o and leave room for
// one more pair of the given size.
func (o *Overlay) fits(other *Overlay, pair int) bool {
	return len(o.writes)+len(other.writes) < MaxTxKeys && o.bytes+other.bytes+pair <= MaxTxBytes
}

// join takes the writes of other over. The caller has asked fits.
func (o *Overlay) join(other *Overlay) {
	for p, c := range other.writes {
		old, had := o.writes[p]
		o.bytes += len(c.value) - len(old.value)
		if !had {
			o.bytes += len(p.k)
		}
		o.writes[p] = c
	}
}

// flushInto hands all writes to a transaction. Where that is an Overlay itself, as
// with most engines, they are not sorted and copied once more.
func (o *Overlay) flushInto(tx Tx) error {
	if under, ok := tx.(*Overlay); ok && under.fits(o, 0) {
		under.join(o)
		return nil
	}
	return o.Flush(tx.Put, tx.Delete)
}

// cache is a Getter that remembers what one GetMany has brought, and the first
// error that the engine gave.
type cache struct {
	under Getter
	known map[place][]byte
	err   error
}

// newCache reads all keys at once.
func newCache(under Getter, keys []Key) (*cache, error) {
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Space, b.Space), bytes.Compare(a.K, b.K))
	})
	keys = slices.CompactFunc(keys, func(a, b Key) bool { return a.Space == b.Space && bytes.Equal(a.K, b.K) })
	values, err := under.GetMany(keys)
	if err != nil {
		return nil, err
	}
	c := &cache{under: under, known: make(map[place][]byte, len(keys))}
	for i, k := range keys {
		c.known[place{k.Space, string(k.K)}] = values[i]
	}
	return c, nil
}

func (c *cache) Get(k Key) ([]byte, error) {
	if v, ok := c.known[place{k.Space, string(k.K)}]; ok {
		return v, nil
	}
	v, err := c.under.Get(k)
	if err != nil && c.err == nil {
		c.err = err
	}
	return v, err
}

func (c *cache) GetMany(keys []Key) ([][]byte, error) {
	values := make([][]byte, len(keys))
	var missing []Key
	var at []int
	for i, k := range keys {
		if v, ok := c.known[place{k.Space, string(k.K)}]; ok {
			values[i] = v
			continue
		}
		missing, at = append(missing, k), append(at, i)
	}
	if len(missing) == 0 {
		return values, nil
	}
	found, err := c.under.GetMany(missing)
	if err != nil {
		if c.err == nil {
			c.err = err
		}
		return nil, err
	}
	for i, v := range found {
		values[at[i]] = v
	}
	return values, nil
}
