package enrol

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
)

// ErrKeys is wrapped by every error about bytes that are no list of keys.
var ErrKeys = errors.New("not a list of keys")

// MaxKeys bounds how many keys a list names.
const MaxKeys = 100_000

// KeyList names keys, rising, each once.
type KeyList []identity.KeyID

var keysMagic = [4]byte{'R', 'C', 'K', '1'}

// Sort puts a list in its order and takes out what is twice.
func (l KeyList) Sort() KeyList {
	slices.SortFunc(l, func(a, b identity.KeyID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(l)
}

// Encode gives the binary form: "RCK1" and the ids, 16 bytes each.
func (l KeyList) Encode() []byte {
	b := append(make([]byte, 0, len(keysMagic)+len(l)*len(identity.KeyID{})), keysMagic[:]...)
	for _, id := range l {
		b = append(b, id[:]...)
	}
	return b
}

// Digest names the list: the SHA-256 of its binary form.
func (l KeyList) Digest() fact.Digest { return sha256.Sum256(l.Encode()) }

// Has tells whether the list names a key by its hexadecimal id.
func (l KeyList) Has(id string) bool {
	k, err := identity.ParseKeyID(id)
	_, found := slices.BinarySearchFunc(l, k, func(a, b identity.KeyID) int { return bytes.Compare(a[:], b[:]) })
	return err == nil && found
}

// ParseKeys reads the binary form of a list, and nothing else. Errors wrap
// ErrKeys.
func ParseKeys(b []byte) (KeyList, error) {
	const size = len(identity.KeyID{})
	body, ok := bytes.CutPrefix(b, keysMagic[:])
	if !ok || len(body)%size != 0 || len(body)/size > MaxKeys {
		return nil, fmt.Errorf("read list of %d bytes: %w, or one of more than %d", len(b), ErrKeys, MaxKeys)
	}
	l := make(KeyList, 0, len(body)/size)
	for ; len(body) > 0; body = body[size:] {
		id := identity.KeyID(body[:size])
		if n := len(l); n > 0 && bytes.Compare(l[n-1][:], id[:]) >= 0 {
			return nil, fmt.Errorf("key %s is out of order: %w", id, ErrKeys)
		}
		l = append(l, id)
	}
	return l, nil
}
