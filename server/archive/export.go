package archive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"rollcall/server/store"
)

// An export is every pair of a store in the order of spaces and keys, so that
// two stores with the same pairs have the same export, byte for byte, on
// whatever engine:
//
//	magic   "rollcall export v1\n"
//	pair    space 1, key length uvarint, key, value length uvarint, value
//	end     0x00, number of pairs 8, SHA-256 of all that stands before it 32
//
// Numbers are big-endian.
const (
	exportMagic = "rollcall export v1\n"
	exportEnd   = 0
)

// Bounds of one transaction of an import, well below the store's.
const (
	importKeys  = 400
	importBytes = 400 << 10
)

// Export writes all pairs of one snapshot and returns their number.
func Export(r store.Reader, w io.Writer) (pairs uint64, err error) {
	h := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, h), 64<<10)
	_, err = out.WriteString(exportMagic)
	var head []byte
	for _, space := range store.Spaces {
		if err != nil {
			break
		}
		for p, serr := range r.Scan(space, nil, nil, 0) {
			if err = serr; err != nil {
				break
			}
			head = append(head[:0], byte(space))
			head = binary.AppendUvarint(head, uint64(len(p.K)))
			head = append(head, p.K...)
			head = binary.AppendUvarint(head, uint64(len(p.V)))
			if _, err = out.Write(head); err == nil {
				_, err = out.Write(p.V)
			}
			if err != nil {
				break
			}
			pairs++
		}
	}
	if err == nil {
		_, err = out.Write(binary.BigEndian.AppendUint64([]byte{exportEnd}, pairs))
	}
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		_, err = w.Write(h.Sum(nil))
	}
	if err != nil {
		return pairs, fmt.Errorf("export after %d pairs: %w", pairs, err)
	}
	return pairs, nil
}

// Pairs reads an export and gives each pair, whose bytes are the receiver's. It
// returns an error that wraps ErrFormat unless the keys rise, every key and value
// is one that a store takes, every record has the checksum of its key, and number
// and SHA-256 at the end are right. What each was given before that is known to
// be of an export only when Pairs has returned nil.
func Pairs(in io.Reader, each func(store.Key, []byte) error) (pairs uint64, err error) {
	r := &hashed{r: bufio.NewReaderSize(in, 64<<10), h: sha256.New()}
	magic := make([]byte, len(exportMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != exportMagic {
		return 0, fmt.Errorf("read export: %w: it does not begin as one of version 1", ErrFormat)
	}
	var last store.Key
	for {
		k, v, more, err := pair(r)
		if err != nil {
			return pairs, fmt.Errorf("read export after %d pairs: %w: %w", pairs, ErrFormat, err)
		}
		if !more {
			return pairs, exportTail(r, pairs)
		}
		if k.Space < last.Space || k.Space == last.Space && bytes.Compare(k.K, last.K) <= 0 {
			return pairs, fmt.Errorf("read export: %w: key %.200s is out of order", ErrFormat, k)
		}
		if _, _, err := store.Unframe(k, v); err != nil {
			return pairs, fmt.Errorf("read export: %w: %w", ErrFormat, err)
		}
		if err := each(k, v); err != nil {
			return pairs, err
		}
		last = k
		pairs++
	}
}

// pair reads one pair; more is false at the end mark.
func pair(r *hashed) (k store.Key, v []byte, more bool, err error) {
	space, err := r.ReadByte()
	if err != nil || space == exportEnd {
		return k, nil, false, err
	}
	k.Space = store.Space(space)
	if k.K, err = counted(r, store.MaxKey); err != nil {
		return k, nil, false, err
	}
	if err := store.CheckKey(k); err != nil {
		return k, nil, false, err
	}
	v, err = counted(r, store.MaxValue)
	return k, v, true, err
}

// counted reads a length and as many bytes.
func counted(r *hashed, most uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if n > most {
		return nil, fmt.Errorf("%d bytes, at most %d", n, most)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r, b)
	return b, err
}

func exportTail(r *hashed, pairs uint64) error {
	var n [8]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return fmt.Errorf("read end of export: %w: %w", ErrFormat, err)
	}
	want := r.h.Sum(nil)
	var sum [sha256.Size]byte
	if _, err := io.ReadFull(r.r, sum[:]); err != nil {
		return fmt.Errorf("read end of export: %w: %w", ErrFormat, err)
	}
	if !bytes.Equal(sum[:], want) || binary.BigEndian.Uint64(n[:]) != pairs {
		return fmt.Errorf("read export: %w: it has %d pairs; number or SHA-256 at its end differ", ErrFormat, pairs)
	}
	return atEnd(r.r)
}

// hashed hashes what is read.
type hashed struct {
	r *bufio.Reader
	h hash.Hash
	b [1]byte
}

func (h *hashed) Read(b []byte) (int, error) {
	n, err := h.r.Read(b)
	_, _ = h.h.Write(b[:n]) // never fails, see hash.Hash
	return n, err
}

// ReadByte implements io.ByteReader.
func (h *hashed) ReadByte() (byte, error) {
	c, err := h.r.ReadByte()
	if err == nil {
		h.b[0] = c
		_, _ = h.h.Write(h.b[:])
	}
	return c, err
}

// ErrNotEmpty is returned by Import of an engine that holds anything.
var ErrNotEmpty = errors.New("the store is not empty")

// Import puts all pairs of an export into an empty engine, in many transactions.
// The record of the schema comes last, so that no program takes half an import
// for a store.
func Import(ctx context.Context, e store.Engine, in io.Reader) (pairs uint64, err error) {
	if err := empty(ctx, e); err != nil {
		return 0, err
	}
	b := batch{e: e}
	var last []write
	pairs, err = Pairs(in, func(k store.Key, v []byte) error {
		if store.IsSchema(k) {
			last = append(last, write{k, v})
			return nil
		}
		return b.add(ctx, k, v)
	})
	if err == nil && len(last) == 0 {
		err = fmt.Errorf("import: %w: there is no schema version in it", ErrFormat)
	}
	if err == nil {
		err = b.flush(ctx)
	}
	if err == nil {
		b.all = last
		err = b.flush(ctx)
	}
	return pairs, err
}

func empty(ctx context.Context, e store.Engine) error {
	return e.View(ctx, func(r store.Reader) error {
		for _, space := range store.Spaces {
			for p, err := range r.Scan(space, nil, nil, 0) {
				if err != nil {
					return err
				}
				return fmt.Errorf("import: %w: it has %.200s", ErrNotEmpty, store.Key{Space: space, K: p.K})
			}
		}
		return nil
	})
}

// batch collects what one transaction puts.
type batch struct {
	e    store.Engine
	all  []write
	size int
}

func (b *batch) add(ctx context.Context, k store.Key, v []byte) error {
	if len(b.all) == importKeys || b.size+len(k.K)+len(v) > importBytes {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	b.all, b.size = append(b.all, write{k, v}), b.size+len(k.K)+len(v)
	return nil
}

func (b *batch) flush(ctx context.Context) error {
	if len(b.all) == 0 {
		return nil
	}
	err := store.UpdateAgain(ctx, b.e, func(tx store.Tx) error {
		for _, w := range b.all {
			if err := tx.Put(w.key, w.value); err != nil {
				return err
			}
		}
		return nil
	})
	b.all, b.size = nil, 0
	return err
}

type write struct {
	key   store.Key
	value []byte
}
