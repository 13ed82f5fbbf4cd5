package mirror

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"strings"
)

// Changed-path Bloom filters as git computes them (gitformat-commit-graph(5),
// bloom.c): ten bits and seven hashes for each path and folder that a commit
// changed, and none for commits that changed more than bloomMost.
const (
	bloomVersion = 1
	bloomHashes  = 7
	bloomBits    = 10
	bloomMost    = 512
)

var errManyPaths = errors.New("more paths than a filter is made for")

// bloomAny says of every path that it may have changed, bloomNone that none has.
func bloomAny() []byte  { return []byte{0xff} }
func bloomNone() []byte { return []byte{0} }

// changedPaths makes the filter of a commit from the trees before and after it.
func changedPaths(s treeReader, old, new Hash) ([]byte, error) {
	paths := map[string]struct{}{}
	err := diffTrees(s, old, new, "", func(ch change) error {
		paths[ch.path] = struct{}{} // folders are told before what is in them
		if len(paths) > bloomMost {
			return errManyPaths
		}
		return nil
	})
	if errors.Is(err, errManyPaths) {
		return bloomAny(), nil
	}
	if err != nil || len(paths) == 0 {
		return bloomNone(), err
	}
	filter := make([]byte, (len(paths)*bloomBits+7)/8)
	for p := range paths {
		if !ascii(p) {
			// Git's first version hashes such bytes as signed on one processor and as
			// unsigned on another: no filter is better than one that hides a change.
			return bloomAny(), nil
		}
		bloomAdd(filter, p)
	}
	return filter, nil
}

func bloomAdd(filter []byte, path string) {
	h0, h1 := murmur3(0x293ae76f, path), murmur3(0x7e646e2c, path)
	for i := range uint32(bloomHashes) {
		bit := (h0 + i*h1) % uint32(8*len(filter))
		filter[bit/8] |= 1 << (bit % 8)
	}
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}

// murmur3 is MurmurHash3_x86_32.
func murmur3(seed uint32, s string) uint32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	h, b := seed, []byte(s)
	for ; len(b) >= 4; b = b[4:] {
		h ^= bits.RotateLeft32(binary.LittleEndian.Uint32(b)*c1, 15) * c2
		h = bits.RotateLeft32(h, 13)*5 + 0xe6546b64
	}
	var tail uint32
	for i, c := range b {
		tail |= uint32(c) << (8 * i)
	}
	h ^= bits.RotateLeft32(tail*c1, 15) * c2
	h ^= uint32(len(s))
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}
