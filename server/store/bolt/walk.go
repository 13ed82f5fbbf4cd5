package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"rollcall/server/store"
)

// The format of bbolt's pages, version 2: go.etcd.io/bbolt/internal/common
// (page.go, meta.go, bucket.go) and internal/freelist (shared.go). Numbers have
// the machine's byte order.
//
//	page      id 8, flags 2, count 2, overflow 4, then its elements
//	branch    per element: pos 4, key size 4, page 8
//	leaf      per element: flags 4, pos 4, key size 4, value size 4
//	freelist  count page ids of 8; if count is 0xffff, the first is the count
//	meta      magic 4, version 4, page size 4, flags 4, root 8, sequence 8, freelist 8, pages 8, …
//	bucket    root 8, sequence 8; if root is 0, a page follows
//
// A pos counts from its element.
const (
	pageHead   = 16
	elementLen = 16
	bucketHead = 16

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10
	leafBucket   = 0x01 // of a leaf's element

	noFreelist = ^uint64(0)
	maxDepth   = 32

	freePage = "free" // what walk.use says of one
)

// walk reads pages by their numbers and believes none of them.
type walk struct {
	ctx    context.Context // of the check that the walk is
	file   io.ReaderAt
	report func(error)

	inTree bool     // the pages that are read hold data
	outer  bool     // and they are those that list the buckets
	size   uint64   // of a page
	pages  uint64   // number of pages of the snapshot
	use    []string // what each page is used for
}

func (w *walk) faultf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	if w.inTree {
		err = fmt.Errorf("%w: %w", ErrTree, err)
	}
	w.report(err)
}

// all walks from a meta page, which bbolt has verified.
func (w *walk) all(meta []byte) error {
	m := meta[pageHead:]
	w.size = uint64(binary.NativeEndian.Uint32(m[8:]))
	root, freelist := binary.NativeEndian.Uint64(m[16:]), binary.NativeEndian.Uint64(m[32:])
	w.pages = binary.NativeEndian.Uint64(m[40:])
	w.use = make([]string, w.pages)
	w.claim(0, 1, "meta")
	w.claim(1, 1, "meta")
	w.inTree, w.outer = true, true
	if err := w.tree(root, 0, nil, nil); err != nil {
		return err
	}
	w.inTree = false
	if freelist == noFreelist {
		return nil
	}
	w.free(freelist)
	for id, use := range w.use {
		if use == "" {
			w.faultf("page %d is neither used nor free", id)
		}
	}
	return nil
}

// claim notes the use of n pages. It reports, and returns false, if they are not
// there or have a use already.
func (w *walk) claim(id, n uint64, use string) bool {
	if id >= w.pages || n > w.pages-id {
		w.faultf("%s page %d and the %d after it: there are %d pages", use, id, n-1, w.pages)
		return false
	}
	for i := id; i < id+n; i++ {
		if w.use[i] != "" {
			w.faultf("page %d is used twice: %s and %s", i, w.use[i], use)
			return false
		}
		w.use[i] = use
	}
	return true
}

// read returns a page with its overflow, and its flags; nil after a report.
func (w *walk) read(id uint64, use string) (page []byte, flags uint16) {
	if id >= w.pages {
		w.faultf("%s page %d: there are %d pages", use, id, w.pages)
		return nil, 0
	}
	page = make([]byte, w.size)
	if _, err := w.file.ReadAt(page, int64(id*w.size)); err != nil {
		w.faultf("%s page %d: %w", use, id, err)
		return nil, 0
	}
	flags = binary.NativeEndian.Uint16(page[8:])
	if own := binary.NativeEndian.Uint64(page); own != id {
		w.faultf("%s page %d says that it is page %d", use, id, own)
		return nil, 0
	}
	n := uint64(binary.NativeEndian.Uint32(page[12:])) + 1
	if !w.claim(id, n, use) {
		return nil, 0
	}
	if n > 1 {
		page = append(page, make([]byte, (n-1)*w.size)...)
		if _, err := w.file.ReadAt(page[w.size:], int64((id+1)*w.size)); err != nil {
			w.faultf("%s page %d and the %d after it: %w", use, id, n-1, err)
			return nil, 0
		}
	}
	return page, flags
}

// tree walks a page and what is below it. Its keys must lie in [from, to); nil
// means unbounded. An error is the context's.
func (w *walk) tree(id uint64, depth int, from, to []byte) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		w.faultf("page %d lies more than %d levels deep", id, maxDepth)
		return nil
	}
	page, flags := w.read(id, "data")
	switch {
	case page == nil:
		return nil
	case flags == flagBranch:
		return w.branch(id, page, depth, from, to)
	case flags == flagLeaf:
		return w.leaf(fmt.Sprint("page ", id), page, depth, from, to)
	}
	w.faultf("data page %d has the type %#x", id, flags)
	return nil
}

// element is one of a branch or a leaf.
type element struct {
	key, value []byte
	page       uint64 // of a branch
	bucket     bool   // of a leaf
}

// elements reads the elements of a page and checks that their keys and values
// follow the elements and each other, as bbolt writes them, and the order of the
// keys; ok is false after a report. A damaged count shows in where the first one is.
func (w *walk) elements(where string, page []byte, leaf bool, from, to []byte) (es []element, ok bool) {
	n := int(binary.NativeEndian.Uint16(page[10:]))
	if pageHead+n*elementLen > len(page) {
		w.faultf("%s is too short for %d elements", where, n)
		return nil, false
	}
	last, next := from, uint64(pageHead+n*elementLen)
	for i := range n {
		e := page[pageHead+i*elementLen:]
		word := func(i int) uint64 { return uint64(binary.NativeEndian.Uint32(e[4*i:])) }
		pos, ksize, vsize := word(0), word(1), uint64(0)
		el := element{page: binary.NativeEndian.Uint64(e[8:])}
		if leaf {
			el.bucket = word(0)&leafBucket != 0
			pos, ksize, vsize = word(1), word(2), word(3)
		}
		if pos+ksize+vsize > uint64(len(e)) {
			w.faultf("%s: element %d reaches beyond the page", where, i)
			return nil, false
		}
		if uint64(pageHead+i*elementLen)+pos != next {
			w.faultf("%s: element %d is not where the one before it ends", where, i)
			return nil, false
		}
		next += ksize + vsize
		el.key, el.value = e[pos:pos+ksize], e[pos+ksize:pos+ksize+vsize]
		if c := bytes.Compare(el.key, last); c < 0 || c == 0 && i > 0 || to != nil && bytes.Compare(el.key, to) >= 0 {
			w.faultf("%s: the key %.80q of element %d is out of order", where, el.key, i)
			return nil, false
		}
		last = el.key
		es = append(es, el)
	}
	return es, true
}

func (w *walk) branch(id uint64, page []byte, depth int, from, to []byte) error {
	es, ok := w.elements(fmt.Sprint("page ", id), page, false, from, to)
	if ok && len(es) == 0 {
		w.faultf("page %d is a branch without elements", id)
	}
	for i, e := range es {
		end := to
		if i+1 < len(es) {
			end = es[i+1].key
		}
		if err := w.tree(e.page, depth+1, e.key, end); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) leaf(where string, page []byte, depth int, from, to []byte) error {
	es, _ := w.elements(where, page, true, from, to)
	for _, e := range es {
		inner := fmt.Sprintf("bucket %.40q", e.key)
		switch {
		case !w.outer && !e.bucket:
		case !w.outer:
			w.faultf("%s: %s lies in another bucket", where, inner)
		case !e.bucket || !isSpace(e.key):
			w.faultf("%s: %.40q is not the bucket of a space", where, e.key)
		default:
			w.outer = false
			if err := w.bucket(where, inner, e.value, depth); err != nil {
				return err
			}
			w.outer = true
		}
	}
	return nil
}

// isSpace tells whether a space has a bucket of that name.
func isSpace(name []byte) bool {
	return slices.ContainsFunc(store.Spaces[:], func(s store.Space) bool { return s.String() == string(name) })
}

// bucket walks a bucket from the value that it has in the page named where.
func (w *walk) bucket(where, name string, value []byte, depth int) error {
	if len(value) < bucketHead {
		w.faultf("%s: %s has no head", where, name)
		return nil
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return w.tree(root, depth+1, nil, nil)
	}
	inline := value[bucketHead:]
	if len(inline) < pageHead || binary.NativeEndian.Uint16(inline[8:]) != flagLeaf {
		w.faultf("%s: %s has no page", where, name)
		return nil
	}
	return w.leaf(name, inline, depth+1, nil, nil)
}

// free claims the pages of the free list.
func (w *walk) free(id uint64) {
	page, flags := w.read(id, "freelist")
	if page == nil {
		return
	}
	if flags != flagFreelist {
		w.faultf("freelist page %d has the type %#x", id, flags)
		return
	}
	n, ids := uint64(binary.NativeEndian.Uint16(page[10:])), page[pageHead:]
	if n == 0xffff {
		n, ids = binary.NativeEndian.Uint64(ids), ids[8:]
	}
	if n > uint64(len(ids))/8 {
		w.faultf("freelist page %d is too short for %d pages", id, n)
		return
	}
	for c := range slices.Chunk(ids[:8*n], 8) {
		w.claim(binary.NativeEndian.Uint64(c), 1, freePage)
	}
}
