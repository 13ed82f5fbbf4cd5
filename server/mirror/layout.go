package mirror

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/go-git/go-git/v5/plumbing"
)

// layout is where the entries of a pack lie.
type layout struct {
	offsets []int64 // rising
	hashes  []Hash  // of the entries there
	end     int64   // of the last entry
}

func (p *pack) layout() (layout, error) {
	l := layout{end: p.size - sha1.Size}
	it, err := p.index.EntriesByOffset()
	if err != nil {
		return l, fmt.Errorf("list %s: %w", p.name, err)
	}
	for {
		e, err := it.Next()
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil {
			return l, fmt.Errorf("list %s: %w", p.name, err)
		}
		l.offsets, l.hashes = append(l.offsets, int64(e.Offset)), append(l.hashes, e.Hash)
	}
}

// copied is an entry of a pack as it lies there.
type copied struct {
	typ     plumbing.ObjectType // of a whole one
	isDelta bool
	base    Hash // of a delta
	size    int  // inflated
	zipped  []byte
}

// raw reads an entry without unpacking it.
func (l layout) raw(p *pack, h Hash) (copied, error) {
	at, err := p.index.FindOffset(h)
	if err != nil {
		return copied{}, fmt.Errorf("read %s in %s: %w", h, p.name, errNoObject)
	}
	i, ok := l.find(at)
	end := l.end
	if i+1 < len(l.offsets) {
		end = l.offsets[i+1]
	}
	if !ok || end <= at || end-at > maxObject {
		return copied{}, fmt.Errorf("read %s in %s: %w", h, p.name, errPack)
	}
	b := make([]byte, end-at)
	if _, err := p.file.ReadAt(b, at); err != nil {
		return copied{}, fmt.Errorf("read %s in %s: %w", h, p.name, err)
	}
	var e rawEntry
	r := bytes.NewReader(b)
	size, err := e.readHead(r)
	if err != nil || size > maxObject {
		return copied{}, fmt.Errorf("read %s in %s: %w", h, p.name, errors.Join(errPack, err))
	}
	c := copied{typ: e.typ, size: int(size), zipped: b[len(b)-r.Len():]}
	switch e.typ {
	case plumbing.OFSDeltaObject:
		c.isDelta = true
		if i, ok = l.find(at - e.distance); !ok {
			return copied{}, fmt.Errorf("read %s in %s: %w", h, p.name, errPack)
		}
		c.base = l.hashes[i]
	case plumbing.REFDeltaObject:
		c.isDelta, c.base = true, e.base
	}
	return c, nil
}

func (l layout) find(at int64) (int, bool) {
	i := sort.Search(len(l.offsets), func(i int) bool { return l.offsets[i] >= at })
	return i, i < len(l.offsets) && l.offsets[i] == at
}
