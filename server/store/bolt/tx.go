package bolt

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"sync/atomic"

	"rollcall/server/store"

	bolt "go.etcd.io/bbolt"
)

// checkEvery is the number of pairs after which a scan looks at its context.
const checkEvery = 256

// reader reads in one transaction of bbolt, whose pages it hands out.
type reader struct {
	ctx context.Context // of the View or Update that the reader lives in
	tx  *bolt.Tx
	// Buckets that were looked for: bbolt remembers them only in transactions that write.
	buckets [len(store.Spaces) + 1]atomic.Pointer[bolt.Bucket]
}

// bucketOf returns nil for a space that the file does not have: all its keys
// are absent, as in a read-only file of an older program.
func (r *reader) bucketOf(s store.Space) *bolt.Bucket {
	if int(s) >= len(r.buckets) {
		return nil
	}
	b := r.buckets[s].Load()
	if b == nil {
		b = r.tx.Bucket(bucket(s))
		r.buckets[s].Store(b)
	}
	return b
}

func (r *reader) Get(k store.Key) (v []byte, err error) {
	err = guard(nil, func() error {
		if b := r.bucketOf(k.Space); b != nil {
			v = b.Get(k.K)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %.200s: %w", k, err)
	}
	return v, nil
}

func (r *reader) GetMany(keys []store.Key) ([][]byte, error) {
	values := make([][]byte, len(keys))
	at := 0
	err := guard(nil, func() error {
		var b *bolt.Bucket
		for i, k := range keys {
			if at = i; i == 0 || k.Space != keys[i-1].Space {
				b = r.bucketOf(k.Space)
			}
			if b != nil {
				values[i] = b.Get(k.K)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %.200s: %w", keys[at], err)
	}
	return values, nil
}

func (r *reader) Scan(s store.Space, from, to []byte, limit int) iter.Seq2[store.Pair, error] {
	return func(yield func(store.Pair, error) bool) {
		var c *bolt.Cursor
		var k, v []byte
		// Only bbolt's own steps are guarded: a panic of the loop's body is not
		// ours to catch here.
		step := func(next func()) bool {
			err := guard(nil, func() error { next(); return nil })
			if err != nil {
				yield(store.Pair{}, fmt.Errorf("scan %s: %w", s, err))
			}
			return err == nil
		}
		if !step(func() {
			if b := r.bucketOf(s); b != nil {
				c = b.Cursor()
				k, v = c.Seek(from)
			}
		}) || c == nil {
			return
		}
		// A damaged page can hold any key. Who scans a prefix cuts it off, so no
		// key outside of the range may get there, and none comes twice.
		least := from
		for n := 0; k != nil && (to == nil || bytes.Compare(k, to) < 0) && (limit <= 0 || n < limit); n++ {
			if order := bytes.Compare(k, least); order < 0 || order == 0 && n > 0 {
				yield(store.Pair{}, fmt.Errorf("scan %s: %w", s, &store.CorruptError{
					Key: store.Key{Space: s, K: bytes.Clone(k)}, Reason: fmt.Sprintf("it stands behind %.200q", least),
				}))
				return
			}
			least = k
			if n%checkEvery == checkEvery-1 && r.ctx.Err() != nil {
				yield(store.Pair{}, fmt.Errorf("scan %s: %w", s, r.ctx.Err()))
				return
			}
			if !yield(store.Pair{K: k, V: v}, nil) || !step(func() { k, v = c.Next() }) {
				return
			}
		}
	}
}

// apply writes what a transaction's function has put and deleted.
func apply(tx *bolt.Tx, o *store.Overlay) error {
	return o.Flush(
		func(k store.Key, v []byte) error {
			if err := tx.Bucket(bucket(k.Space)).Put(k.K, v); err != nil {
				return fmt.Errorf("write %.200s: %w", k, err)
			}
			return nil
		},
		func(k store.Key) error {
			if err := tx.Bucket(bucket(k.Space)).Delete(k.K); err != nil {
				return fmt.Errorf("delete %.200s: %w", k, err)
			}
			return nil
		})
}
