package mirror

import (
	"bufio"
	"bytes"
	"crypto/sha1" // git names its objects by it; what is recorded is kept by SHA-256 in the store
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/klauspost/compress/zlib"

	"rollcall/internal/identity"
)

// Limits of a delta chain: git's own default depth, and no deltas of what is
// too large to hold twice in memory.
const (
	maxDepth     = 50
	maxDeltaSize = 8 << 20
)

const packHeader = 12 // "PACK", version, number of entries

func newHash(s string) Hash { return plumbing.NewHash(s) }

// hashObject gives the id of a git object.
func hashObject(typ plumbing.ObjectType, content []byte) Hash {
	h := sha1.New()
	fmt.Fprintf(h, "%s %d\x00", typ, len(content))
	h.Write(content)
	return Hash(h.Sum(nil))
}

// packed is where an entry lies in a pack being written.
type packed struct {
	offset int64
	depth  int // length of its delta chain
}

// packWriter writes one pack (gitformat-pack(5)) to a temporary file.
type packWriter struct {
	disk  disk
	dir   string // objects/pack
	file  *os.File
	buf   *bufio.Writer
	zip   *zlib.Writer
	room  bytes.Buffer // what zip wrote last
	unzip inflater
	size  int64
	at    map[Hash]packed
	idx   idxfile.Writer
}

func newPackWriter(d disk, dir string) (*packWriter, error) {
	f, err := os.CreateTemp(dir, tempPrefix+"pack_")
	if err != nil {
		return nil, fmt.Errorf("write pack: %w", err)
	}
	p := &packWriter{disk: d, dir: dir, file: f, buf: bufio.NewWriterSize(f, 1<<16), at: map[Hash]packed{}}
	p.zip, _ = zlib.NewWriterLevel(nil, zlib.BestSpeed)
	p.size = packHeader
	// The number of entries is filled in at the end.
	if _, err := p.buf.Write([]byte{'P', 'A', 'C', 'K', 0, 0, 0, 2, 0, 0, 0, 0}); err != nil {
		return nil, errors.Join(fmt.Errorf("write pack: %w", err), p.discard())
	}
	return p, nil
}

// base is an earlier version of what is to be written, for a delta.
type base struct {
	hash    Hash
	content func() ([]byte, error)
	split   func([]byte) int
}

// add writes an entry, unless it is in the pack already. If an earlier version
// is in this pack, only the difference is written.
func (p *packWriter) add(typ plumbing.ObjectType, h Hash, content []byte, b base) error {
	if _, ok := p.at[h]; ok {
		return nil
	}
	from, ok := p.at[b.hash]
	if ok && from.depth < maxDepth && len(content) <= maxDeltaSize {
		old, err := b.content()
		if err != nil {
			return err
		}
		if len(old) <= maxDeltaSize {
			if d := makeDelta(old, content, b.split); len(d) < len(content)*2/3 {
				head := append(entryHead(plumbing.OFSDeltaObject, len(d)), ofsDistance(p.size-from.offset)...)
				return p.put(h, head, d, from.depth+1)
			}
		}
	}
	return p.put(h, entryHead(typ, len(content)), content, 0)
}

// packEntry is one entry in the form that it has in a pack.
type packEntry struct{ head, zipped []byte }

// make gives an entry its form, which holds until the next one is made.
func (p *packWriter) make(head, data []byte) (packEntry, error) {
	p.room.Reset()
	p.zip.Reset(&p.room)
	_, err := p.zip.Write(data)
	if err == nil {
		err = p.zip.Close()
	}
	if err != nil {
		return packEntry{}, fmt.Errorf("compress for pack %s: %w", p.file.Name(), err)
	}
	return packEntry{head, p.room.Bytes()}, nil
}

func (p *packWriter) put(h Hash, head, data []byte, depth int) error {
	e, err := p.make(head, data)
	if err != nil {
		return err
	}
	return p.write(h, e, depth)
}

func (p *packWriter) write(h Hash, e packEntry, depth int) error {
	if _, ok := p.at[h]; ok {
		return nil
	}
	_, err := p.buf.Write(e.head)
	if err == nil {
		_, err = p.buf.Write(e.zipped)
	}
	if err != nil {
		return fmt.Errorf("write pack %s: %w", p.file.Name(), err)
	}
	p.at[h] = packed{offset: p.size, depth: depth}
	p.idx.Add(h, uint64(p.size), crc32.Update(crc32.ChecksumIEEE(e.head), crc32.IEEETable, e.zipped))
	p.size += int64(len(e.head) + len(e.zipped))
	return nil
}

// read gives back an entry of the pack that is still being written.
func (p *packWriter) read(h Hash) (plumbing.ObjectType, []byte, error) {
	at, ok := p.at[h]
	if !ok {
		return 0, nil, errNoObject
	}
	if err := p.buf.Flush(); err != nil {
		return 0, nil, fmt.Errorf("write pack: %w", err)
	}
	return p.unzip.entry(p.file, at.offset, nil)
}

// finish makes the pack and its index durable and gives them their names; git
// sees the pack from the moment when the index, which comes last, is there. It
// returns the pack's name, "pack-HEX".
func (p *packWriter) finish() (string, error) {
	sum, err := p.seal()
	if err != nil {
		return "", errors.Join(err, p.discard())
	}
	if err := p.disk.at("pack written"); err != nil {
		return "", err
	}
	name := "pack-" + hex.EncodeToString(sum[:])
	if err := p.place(name, sum); err != nil {
		return "", err
	}
	return name, identity.SyncDir(p.dir)
}

func (p *packWriter) place(name string, sum Hash) error {
	var idx writeBuffer
	if err := p.idx.OnFooter(sum); err != nil {
		return fmt.Errorf("index %s: %w", name, err)
	}
	index, err := p.idx.Index()
	if err != nil {
		return fmt.Errorf("index %s: %w", name, err)
	}
	if _, err := idxfile.NewEncoder(&idx).Encode(index); err != nil {
		return fmt.Errorf("index %s: %w", name, err)
	}
	path := filepath.Join(p.dir, name)
	if err := os.Rename(p.file.Name(), path+".pack"); err != nil {
		return fmt.Errorf("name pack: %w", err)
	}
	if err := identity.SyncDir(p.dir); err != nil {
		return err
	}
	if err := p.disk.at("pack named"); err != nil {
		return err
	}
	return p.disk.replace(path+".idx", idx, 0o444)
}

// seal fills in the number of entries, appends the checksum and syncs.
func (p *packWriter) seal() (sum Hash, err error) {
	defer func() {
		err = errors.Join(err, p.file.Close())
		if err != nil {
			err = fmt.Errorf("write pack %s: %w", p.file.Name(), err)
		}
	}()
	if err := p.buf.Flush(); err != nil {
		return sum, err
	}
	count := binary.BigEndian.AppendUint32(nil, uint32(len(p.at)))
	if _, err := p.file.WriteAt(count, packHeader-4); err != nil {
		return sum, err
	}
	h := sha1.New()
	if _, err := io.Copy(h, io.NewSectionReader(p.file, 0, p.size)); err != nil {
		return sum, err
	}
	sum = Hash(h.Sum(nil))
	if _, err := p.file.Write(sum[:]); err != nil {
		return sum, err
	}
	if err := p.file.Chmod(0o444); err != nil {
		return sum, err
	}
	return sum, p.file.Sync()
}

// discard removes the unfinished pack.
func (p *packWriter) discard() error {
	err := p.file.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return errors.Join(err, os.Remove(p.file.Name()))
}

// entryHead is the type and inflated size in front of an entry.
func entryHead(typ plumbing.ObjectType, size int) []byte {
	b := []byte{byte(typ)<<4 | byte(size&0xf)}
	for size >>= 4; size > 0; size >>= 7 {
		b[len(b)-1] |= 0x80
		b = append(b, byte(size&0x7f))
	}
	return b
}

// ofsDistance is the distance to a delta's base ("offset encoding").
func ofsDistance(n int64) []byte {
	b := []byte{byte(n & 0x7f)}
	for n >>= 7; n > 0; n >>= 7 {
		n--
		b = append([]byte{byte(n&0x7f) | 0x80}, b...)
	}
	return b
}

// writeBuffer is a bytes.Buffer without its reading half.
type writeBuffer []byte

func (w *writeBuffer) Write(b []byte) (int, error) {
	*w = append(*w, b...)
	return len(b), nil
}
