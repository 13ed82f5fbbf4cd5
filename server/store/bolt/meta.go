package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// A meta page ends with the number of its transaction and FNV-1a over all that
// stands before it (8 bytes each).
const (
	metaSum  = 56 // where the checksum stands, after the page's head
	metaTook = 3  // reads, since others may be writing one of them
)

// metas checks both meta pages. One is enough for bbolt: if the newer one is
// damaged it takes the older, and the last commit is gone without a word.
func metas(file io.ReaderAt, pageSize int, report func(error)) {
	for page := range 2 {
		var err error
		for range metaTook {
			if err = meta(file, int64(page*pageSize)); err == nil {
				break
			}
		}
		if err != nil {
			report(fmt.Errorf("meta page %d: %w", page, err))
		}
	}
}

func meta(file io.ReaderAt, at int64) error {
	b := make([]byte, metaSum+8)
	if _, err := file.ReadAt(b, at+pageHead); err != nil {
		return err
	}
	h := fnv.New64a()
	_, _ = h.Write(b[:metaSum]) // never fails, see hash.Hash
	if h.Sum64() != binary.NativeEndian.Uint64(b[metaSum:]) {
		return errors.New("its checksum differs: the last commit may be missing")
	}
	return nil
}
