package evidence

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"rollcall/server/store"

	"golang.org/x/mod/sumdb/tlog"
)

// record is one leaf with the hashes that it completes.
type record struct {
	leaf   []byte
	hashes []tlog.Hash
}

func (r record) encode() []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(r.leaf)+len(r.hashes)*tlog.HashSize), uint16(len(r.leaf)))
	b = append(b, r.leaf...)
	for _, h := range r.hashes {
		b = append(b, h[:]...)
	}
	return b
}

// decodeRecord reads the record of leaf n, whose number of hashes follows from n.
func decodeRecord(k store.Key, n uint64, b []byte) (record, error) {
	var r record
	if len(b) < 2 {
		return r, &store.CorruptError{Key: k, Reason: "not a leaf with its hashes"}
	}
	size, count := int(binary.BigEndian.Uint16(b)), 1+bits.TrailingZeros64(n+1)
	b = b[2:]
	if len(b) != size+count*tlog.HashSize {
		return r, &store.CorruptError{Key: k, Reason: "not a leaf with its hashes"}
	}
	r.leaf = b[:size]
	for b = b[size:]; len(b) > 0; b = b[tlog.HashSize:] {
		r.hashes = append(r.hashes, tlog.Hash(b))
	}
	return r, nil
}

// size is the number of leaves; 0 where the log has not begun.
func size(g store.Getter, tenant string) (uint64, error) {
	b, err := store.GetFramed(g, headKey(tenant))
	if err != nil || b == nil {
		return 0, err
	}
	return number(headKey(tenant), b)
}

// hashReader finds hashes in the records of the leaves that completed them. It
// implements tlog.HashReader.
type hashReader struct {
	g      store.Getter
	tenant string
}

// ReadHashes implements tlog.HashReader.
func (h hashReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	keys := make([]store.Key, len(indexes))
	ends := make([]uint64, len(indexes)) // the leaf that completed the hash
	levels := make([]int, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		levels[i], ends[i] = level, uint64(n+1)<<level-1
		keys[i] = logKey(h.tenant, ends[i])
	}
	values, err := h.g.GetMany(keys)
	if err != nil {
		return nil, err
	}
	hashes := make([]tlog.Hash, len(indexes))
	for i, v := range values {
		r, err := openRecord(keys[i], ends[i], v)
		if err != nil {
			return nil, err
		}
		hashes[i] = r.hashes[levels[i]]
	}
	return hashes, nil
}

func openRecord(k store.Key, n uint64, v []byte) (record, error) {
	if v == nil {
		return record{}, missing(k, n)
	}
	b, err := store.OpenFramed(k, v)
	if err != nil {
		return record{}, err
	}
	return decodeRecord(k, n, b)
}

func missing(k store.Key, n uint64) error {
	return &store.CorruptError{Key: k, Reason: fmt.Sprintf("leaf %d of the log is missing", n)}
}

// FromHashes gives the bytes of a proof's hashes, for the wire.
func FromHashes(hashes []tlog.Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i, h := range hashes {
		out[i] = h[:]
	}
	return out
}

// ToHashes reads what FromHashes gave. No proof has more than 2 hashes for each
// level of the tree.
func ToHashes(b [][]byte) ([]tlog.Hash, error) {
	if len(b) > 128 {
		return nil, fmt.Errorf("a proof of %d hashes", len(b))
	}
	out := make([]tlog.Hash, len(b))
	for i, h := range b {
		if len(h) != tlog.HashSize {
			return nil, fmt.Errorf("a hash of %d bytes in a proof", len(h))
		}
		out[i] = tlog.Hash(h)
	}
	return out, nil
}
