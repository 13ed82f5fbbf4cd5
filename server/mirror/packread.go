package mirror

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/klauspost/compress/zlib"
)

// maxObject bounds what a damaged size in a pack can make us allocate: the
// largest content is 16 MiB, the largest manifest somewhat more.
const maxObject = 1 << 30

var (
	errNoObject = errors.New("no such git object")
	errPack     = errors.New("malformed pack")
)

// pack is a finished pack with its index, open for reading.
type pack struct {
	name  string // "pack-HEX"
	file  *os.File
	index *idxfile.MemoryIndex
	size  int64
	count int64
	zip   inflater
}

// openPack opens dir/name.pack. The index's own checksum is verified, that of
// the pack is not (see check).
func openPack(dir, name string) (*pack, error) {
	raw, err := os.ReadFile(filepath.Join(dir, name+".idx"))
	if err != nil {
		return nil, fmt.Errorf("open pack: %w", err)
	}
	p := &pack{name: name, index: idxfile.NewMemoryIndex()}
	if err := idxfile.NewDecoder(bytes.NewReader(raw)).Decode(p.index); err != nil {
		return nil, fmt.Errorf("read %s.idx: %w", name, err)
	}
	if p.count, err = p.index.Count(); err != nil {
		return nil, fmt.Errorf("read %s.idx: %w", name, err)
	}
	if p.file, err = os.Open(filepath.Join(dir, name+".pack")); err != nil {
		return nil, fmt.Errorf("open pack: %w", err)
	}
	st, err := p.file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open pack: %w", err), p.file.Close())
	}
	p.size = st.Size()
	return p, nil
}

// listPacks names the packs of a folder that have an index.
func listPacks(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list packs: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".idx"); ok && strings.HasPrefix(name, "pack-") {
			names = append(names, name)
		}
	}
	return names, nil
}

// dropUnindexed removes packs that a crash left without their index; the branch
// never led into them.
func dropUnindexed(dir string) error {
	packs, err := filepath.Glob(filepath.Join(dir, "pack-*.pack"))
	if err != nil {
		return fmt.Errorf("list packs: %w", err)
	}
	for _, path := range packs {
		_, err := os.Stat(strings.TrimSuffix(path, ".pack") + ".idx")
		if errors.Is(err, fs.ErrNotExist) {
			err = os.Remove(path)
		}
		if err != nil {
			return fmt.Errorf("remove unfinished pack: %w", err)
		}
	}
	return nil
}

func (p *pack) has(h Hash) bool {
	ok, err := p.index.Contains(h)
	return ok && err == nil
}

func (p *pack) read(h Hash) (plumbing.ObjectType, []byte, error) {
	at, err := p.index.FindOffset(h)
	if err != nil {
		return 0, nil, errNoObject
	}
	typ, content, err := p.zip.entry(p.file, at, p.index.FindOffset)
	if err != nil {
		return 0, nil, fmt.Errorf("read %s in %s: %w", h, p.name, err)
	}
	return typ, content, nil
}

// hashes lists everything in the pack, in the order in which it lies there.
func (p *pack) hashes() ([]Hash, error) {
	it, err := p.index.EntriesByOffset()
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", p.name, err)
	}
	all := make([]Hash, 0, p.count)
	for {
		e, err := it.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", p.name, err)
		}
		all = append(all, e.Hash)
	}
}

// commits lists the commits in the pack. The mirror never writes one as a delta;
// those that git itself packed otherwise are not found here.
func (p *pack) commits() ([]Hash, error) {
	it, err := p.index.Entries()
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", p.name, err)
	}
	var all []Hash
	for {
		e, err := it.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		var head [1]byte
		if err == nil {
			_, err = p.file.ReadAt(head[:], int64(e.Offset))
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", p.name, err)
		}
		if plumbing.ObjectType(head[0]>>4&7) == plumbing.CommitObject {
			all = append(all, e.Hash)
		}
	}
}

// check compares the pack with the checksum at its end and in its index.
func (p *pack) check() error {
	h := sha1.New()
	if p.size < packHeader+sha1.Size {
		return fmt.Errorf("check %s: %w: it has only %d bytes", p.name, errPack, p.size)
	}
	if _, err := io.Copy(h, io.NewSectionReader(p.file, 0, p.size-sha1.Size)); err != nil {
		return fmt.Errorf("check %s: %w", p.name, err)
	}
	var end Hash
	if _, err := p.file.ReadAt(end[:], p.size-sha1.Size); err != nil {
		return fmt.Errorf("check %s: %w", p.name, err)
	}
	if sum := Hash(h.Sum(nil)); sum != end || sum != Hash(p.index.PackfileChecksum) {
		return fmt.Errorf("check %s: %w: the checksum differs", p.name, errPack)
	}
	return nil
}

// inflater is a zlib reader that is used again and again.
type inflater struct{ z io.ReadCloser }

func (i *inflater) read(r io.Reader, size int64) ([]byte, error) {
	var err error
	if i.z == nil {
		i.z, err = zlib.NewReader(r)
	} else {
		err = i.z.(zlib.Resetter).Reset(r, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPack, err)
	}
	data := bytes.NewBuffer(make([]byte, 0, min(size, 1<<20)+bytes.MinRead))
	if _, err = io.Copy(data, io.LimitReader(i.z, size+1)); err != nil {
		return nil, fmt.Errorf("%w: %w", errPack, err)
	}
	if int64(data.Len()) != size {
		return nil, fmt.Errorf("%w: %d bytes where %d were promised", errPack, data.Len(), size)
	}
	return data.Bytes(), nil
}

// entry reads the entry at an offset and resolves its deltas. find is asked for
// bases that are named by hash, which only git itself writes here.
func (i *inflater) entry(r io.ReaderAt, at int64, find func(Hash) (int64, error)) (plumbing.ObjectType, []byte, error) {
	var deltas [][]byte
	seen := map[Hash]bool{}
	for {
		e, err := i.raw(r, at)
		if err != nil {
			return 0, nil, err
		}
		switch e.typ {
		case plumbing.OFSDeltaObject:
			deltas = append(deltas, e.data)
			at -= e.distance
		case plumbing.REFDeltaObject:
			deltas = append(deltas, e.data)
			if find == nil || seen[e.base] { // a circle
				return 0, nil, errPack
			}
			seen[e.base] = true
			if at, err = find(e.base); err != nil {
				return 0, nil, fmt.Errorf("delta base %s: %w", e.base, err)
			}
		case plumbing.CommitObject, plumbing.TreeObject, plumbing.BlobObject, plumbing.TagObject:
			data, err := patch(e.data, deltas)
			return e.typ, data, err
		default:
			return 0, nil, errPack
		}
	}
}

// patch applies deltas, the last one first.
func patch(data []byte, deltas [][]byte) ([]byte, error) {
	for _, d := range slices.Backward(deltas) {
		_, n := binary.Uvarint(d)
		size, m := binary.Uvarint(d[max(0, n):])
		if n <= 0 || m <= 0 || size > maxObject {
			return nil, errPack
		}
		var err error
		if data, err = packfile.PatchDelta(data, d); err != nil {
			return nil, fmt.Errorf("apply delta: %w", err)
		}
	}
	return data, nil
}

type rawEntry struct {
	typ      plumbing.ObjectType
	data     []byte
	distance int64 // OFS_DELTA
	base     Hash  // REF_DELTA
}

func (i *inflater) raw(r io.ReaderAt, at int64) (rawEntry, error) {
	var e rawEntry
	if at < packHeader {
		return e, errPack
	}
	var head [64]byte
	n, err := r.ReadAt(head[:], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return e, err
	}
	b := bytes.NewReader(head[:n])
	size, err := e.readHead(b)
	if err != nil || size > maxObject {
		return e, errors.Join(errPack, err)
	}
	e.data, err = i.read(io.NewSectionReader(r, at+b.Size()-int64(b.Len()), 1<<62-at), size)
	return e, err
}

func (e *rawEntry) readHead(b *bytes.Reader) (size int64, err error) {
	c, err := b.ReadByte()
	if err != nil {
		return 0, err
	}
	e.typ = plumbing.ObjectType(c >> 4 & 7)
	size = int64(c & 0xf)
	for shift := 4; c&0x80 != 0 && shift < 60; shift += 7 {
		if c, err = b.ReadByte(); err != nil {
			return 0, err
		}
		size |= int64(c&0x7f) << shift
	}
	switch e.typ {
	case plumbing.OFSDeltaObject:
		if c, err = b.ReadByte(); err != nil {
			return 0, err
		}
		e.distance = int64(c & 0x7f)
		for i := 0; c&0x80 != 0 && i < 8; i++ {
			if c, err = b.ReadByte(); err != nil {
				return 0, err
			}
			e.distance = (e.distance+1)<<7 | int64(c&0x7f)
		}
		if e.distance <= 0 {
			return 0, errPack
		}
	case plumbing.REFDeltaObject:
		_, err = io.ReadFull(b, e.base[:])
	}
	return size, err
}
