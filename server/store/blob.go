package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"rollcall/internal/fact"
)

const (
	// MaxBlob is the size in bytes of the largest content.
	MaxBlob = 16 << 20
	// maxChunk is the size of the payload of one value of a content, well below
	// MaxValue. It is on disk: changing it breaks every existing database.
	maxChunk = 60 << 10
	// blobTx is the number of chunks that one transaction takes, with room for
	// their keys and for other operations of a lane.
	blobTx = 12
)

// ErrNoBlob means that the store has no content of that name.
var ErrNoBlob = errors.New("content is not in the store")

func blobKey(tenant, kind string, name fact.Digest, chunk int) Key {
	var c [2]byte
	binary.BigEndian.PutUint16(c[:], uint16(chunk))
	return At(Blob, tenant, "/", kind, "/", string(name[:]), "/", string(c[:]))
}

// PutBlob stores a content under a tenant, a kind (lower-case word) and a name,
// as the digest of the content is; what already has that name is left alone. It
// takes as many transactions as are needed and must have returned before a
// reference to the content is written. Chunk 0 is written last: a content that
// was interrupted is not there, and is completed by putting it again.
//
// It returns ErrLimit if the content is longer than MaxBlob.
func PutBlob(ctx context.Context, u Updater, tenant, kind string, name fact.Digest, content []byte) error {
	p, err := Pack(content)
	if err != nil {
		return fmt.Errorf("put %s %s: %w", kind, name, err)
	}
	return p.Store(ctx, u, tenant, kind, name)
}

// Store is PutBlob for a content that has been packed.
func (p Packed) Store(ctx context.Context, u Updater, tenant, kind string, name fact.Digest) error {
	for next := p.chunks(); next > 0; {
		from := max(0, next-blobTx)
		has := false
		if err := UpdateAgain(ctx, u, func(tx Tx) error {
			var err error
			if has, err = HasBlob(tx, tenant, kind, name); err != nil || has {
				return err
			}
			return p.putChunks(tx, tenant, kind, name, from, next)
		}); err != nil {
			return fmt.Errorf("put %s %s: %w", kind, name, err)
		}
		if has {
			return nil
		}
		next = from
	}
	return nil
}

// PutTx stores a packed content inside of a transaction, for contents that fit into
// it: ErrLimit otherwise.
func (p Packed) PutTx(tx Tx, tenant, kind string, name fact.Digest) error {
	if has, err := HasBlob(tx, tenant, kind, name); err != nil || has {
		return err
	}
	return p.putChunks(tx, tenant, kind, name, 0, p.chunks())
}

func (p Packed) putChunks(tx Tx, tenant, kind string, name fact.Digest, from, to int) error {
	if kind == "" || strings.Contains(kind, "/") {
		return fmt.Errorf("put content: bad kind %q", kind)
	}
	for i := to - 1; i >= from; i-- {
		k := blobKey(tenant, kind, name, i)
		if err := own(tx, k, Frame(k, recordV1, p.chunk(i))); err != nil {
			return err
		}
	}
	return nil
}

// HasBlob tells whether a whole content of that name is stored.
func HasBlob(g Getter, tenant, kind string, name fact.Digest) (bool, error) {
	v, err := g.Get(blobKey(tenant, kind, name, 0))
	return v != nil, err
}

// GetBlob returns a stored content, which the caller may keep. It returns
// ErrNoBlob if there is none, and a CorruptError if the content is not what was
// stored: every chunk has a checksum, the whole has its SHA-256.
func GetBlob(g Getter, tenant, kind string, name fact.Digest) ([]byte, error) {
	first := blobKey(tenant, kind, name, 0)
	v, err := g.Get(first)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, fmt.Errorf("get %s %s: %w", kind, name, ErrNoBlob)
	}
	head, err := OpenFramed(first, v)
	if err != nil {
		return nil, err
	}
	_, _, stored, ok := sizes(head)
	if !ok {
		return nil, &CorruptError{Key: first, Reason: "not the head of a content"}
	}
	body := head[packHead:]
	if n := chunksOf(stored); n > 1 {
		if body, err = restOf(g, tenant, kind, name, n, body); err != nil {
			return nil, err
		}
	}
	content, reason := unpack(head, body)
	if reason != "" {
		return nil, &CorruptError{Key: first, Reason: reason}
	}
	return content, nil
}

// restOf joins the chunks after the first to body.
func restOf(g Getter, tenant, kind string, name fact.Digest, n int, body []byte) ([]byte, error) {
	keys := make([]Key, 0, n-1)
	for i := 1; i < n; i++ {
		keys = append(keys, blobKey(tenant, kind, name, i))
	}
	values, err := g.GetMany(keys)
	if err != nil {
		return nil, err
	}
	all := append(make([]byte, 0, n*maxChunk), body...)
	for i, v := range values {
		if v == nil {
			return nil, &CorruptError{Key: keys[i], Reason: "it is missing"}
		}
		part, err := OpenFramed(keys[i], v)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	return all, nil
}

// ParseBlobKey returns kind and name of the content that a key in space Blob holds
// a chunk of.
func ParseBlobKey(k []byte, tenant string) (kind string, name fact.Digest, ok bool) {
	rest, ok := strings.CutPrefix(string(k), tenant+"/")
	kind, rest, cut := strings.Cut(rest, "/")
	if !ok || !cut || len(rest) != len(name)+3 {
		return "", name, false
	}
	copy(name[:], rest)
	return kind, name, true
}

// Replace stores a content that has been packed in the place of what has its name
// now, in one transaction: ErrLimit if it does not fit into that.
func (p Packed) Replace(ctx context.Context, e Engine, u Updater, tenant, kind string, name fact.Digest) error {
	keys, err := chunkKeys(ctx, e, tenant, kind, name)
	if err != nil {
		return err
	}
	return UpdateAgain(ctx, u, func(tx Tx) error {
		for _, k := range keys {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
		return p.putChunks(tx, tenant, kind, name, 0, p.chunks())
	})
}

// chunkKeys lists the keys of all chunks of a content that are there.
func chunkKeys(ctx context.Context, e Engine, tenant, kind string, name fact.Digest) (keys []Key, err error) {
	err = e.View(ctx, func(r Reader) error {
		keys = nil
		from := blobKey(tenant, kind, name, 0).K
		prefix := from[:len(from)-2]
		for p, err := range r.Scan(Blob, prefix, PrefixEnd(prefix), 0) {
			if err != nil {
				return err
			}
			keys = append(keys, Key{Blob, append([]byte(nil), p.K...)})
		}
		return nil
	})
	return keys, err
}

// DeleteBlob removes all chunks of a content, also of one that was stored in
// part, in one transaction that check, run in it, agrees with. It returns whether
// it did.
func DeleteBlob(ctx context.Context, e Engine, u Updater, tenant, kind string, name fact.Digest, check func(Tx) (bool, error)) (done bool, err error) {
	keys, err := chunkKeys(ctx, e, tenant, kind, name)
	if err != nil || len(keys) == 0 {
		return false, err
	}
	err = UpdateAgain(ctx, u, func(tx Tx) error {
		if done, err = check(tx); err != nil || !done {
			return err
		}
		for _, k := range keys {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("delete %s %s: %w", kind, name, err)
	}
	return done, nil
}

// Blobs calls fn with every content of a tenant, as GetBlob returns it. It stops
// at the first error, its own or fn's.
func Blobs(r Reader, tenant string, fn func(kind string, name fact.Digest, content []byte) error) error {
	prefix := []byte(tenant + "/")
	for p, err := range r.Scan(Blob, prefix, PrefixEnd(prefix), 0) {
		if err != nil {
			return err
		}
		kind, rest, ok := strings.Cut(string(p.K[len(prefix):]), "/")
		if !ok || len(rest) != len(fact.Digest{})+3 {
			return &CorruptError{Key: Key{Blob, p.K}, Reason: "not a chunk of a content"}
		}
		if rest[len(rest)-2:] != "\x00\x00" {
			continue // a later chunk
		}
		name := fact.Digest([]byte(rest[:len(fact.Digest{})]))
		content, err := GetBlob(r, tenant, kind, name)
		if err == nil {
			err = fn(kind, name, content)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
