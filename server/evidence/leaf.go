package evidence

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrLeaf is wrapped by every error about bytes that are no leaf.
var ErrLeaf = errors.New("not a leaf of the log")

// Leaf is one record of the log, as everybody may see it. Its binary form is
// "RCL1", the commitment (32 bytes), the time of the record (milliseconds since
// 1970, 8 bytes big-endian), the report's number (8 bytes big-endian), then kind
// and CI, each as its length in one byte and its bytes. There is one form for each
// leaf and nothing may follow it.
type Leaf struct {
	Commitment [sha256.Size]byte
	At         int64 // server time, milliseconds since 1970
	Seq        uint64
	Kind       Kind
	CI         string
}

const sumSize = sha256.Size

var leafMagic = [4]byte{'R', 'C', 'L', '1'}

const leafHead = len(leafMagic) + sumSize + 8 + 8

// Encode gives the leaf's binary form: what the tree is made of.
func (l Leaf) Encode() []byte {
	b := make([]byte, 0, leafHead+2+len(l.Kind)+len(l.CI))
	b = append(b, leafMagic[:]...)
	b = append(b, l.Commitment[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(l.At))
	b = binary.BigEndian.AppendUint64(b, l.Seq)
	b = append(append(b, byte(len(l.Kind))), l.Kind...)
	return append(append(b, byte(len(l.CI))), l.CI...)
}

// ParseLeaf reads what Encode wrote, and nothing else. Errors wrap ErrLeaf.
func ParseLeaf(b []byte) (Leaf, error) {
	var l Leaf
	if len(b) < leafHead || [4]byte(b[:4]) != leafMagic {
		return l, fmt.Errorf("%w: %d bytes", ErrLeaf, len(b))
	}
	l.Commitment = [sumSize]byte(b[4:])
	l.At = int64(binary.BigEndian.Uint64(b[4+sumSize:]))
	l.Seq = binary.BigEndian.Uint64(b[4+sumSize+8:])
	kind, rest, ok := word(b[leafHead:], maxKind)
	if !ok || !validKind(kind) {
		return Leaf{}, fmt.Errorf("%w: its kind", ErrLeaf)
	}
	ci, rest, ok := word(rest, maxID)
	if !ok || len(rest) != 0 {
		return Leaf{}, fmt.Errorf("%w: its CI, or bytes after it", ErrLeaf)
	}
	l.Kind, l.CI = Kind(kind), ci
	return l, nil
}

// word takes a length and its bytes off b.
func word(b []byte, most int) (w string, rest []byte, ok bool) {
	if len(b) == 0 || int(b[0]) > most || len(b) < 1+int(b[0]) {
		return "", nil, false
	}
	n := 1 + int(b[0])
	return string(b[1:n]), b[n:], true
}

// SaltSize is the length of a leaf's salt in bytes: too long to guess, so that a
// leaf whose salt is gone tells nothing about what it was for.
const SaltSize = 32

// Commit computes a leaf's commitment to the SHA-256 of its content.
func Commit(salt []byte, sum [sumSize]byte) [sumSize]byte {
	h := sha256.New()
	_, _ = h.Write([]byte("rollcall leaf v1")) // never fails, see hash.Hash
	_, _ = h.Write(salt)
	_, _ = h.Write(sum[:])
	return [sumSize]byte(h.Sum(nil))
}
