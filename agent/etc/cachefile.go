package etc

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rollcall/internal/fact"
)

// cacheMagic begins a cache file; its last byte is the version. A file of
// another version is a cold start.
const cacheMagic = "rollcall etc cache\x00\x02"

const maxCache = 64 << 20 // bytes

// ErrCache is wrapped by errors about bytes that are not a whole cache file.
var ErrCache = errors.New("not a cache of this version")

// flags of an entry in the file
const (
	flagTrusted = 1 << iota
	flagCompared
	flagDiffers
	flagStale
	flagResealed
	flagDigest // the value begins with "sha256:" and the digest's raw bytes follow
)

// Encode returns the cache as a file: magic, SHA-256 of the rest, the rules, and
// the entries sorted by path, each with the length of what it has in common with
// the path before.
func (c *Cache) Encode() []byte {
	b := append([]byte(cacheMagic), make([]byte, sha256.Size)...)
	for _, s := range []string{c.rules.policy, c.rules.key, c.rules.recipients} {
		b = appendString(b, s)
	}
	names := make([]string, 0, len(c.entries))
	for name := range c.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	b = binary.AppendUvarint(b, uint64(len(names)))
	last := ""
	for _, name := range names {
		b = c.entries[name].append(b, last)
		last = name
	}
	sum := sha256.Sum256(b[len(cacheMagic)+sha256.Size:])
	copy(b[len(cacheMagic):], sum[:])
	return b
}

func (e *entry) append(b []byte, last string) []byte {
	common := 0
	for common < len(last) && common < len(e.rel) && last[common] == e.rel[common] {
		common++
	}
	b = binary.AppendUvarint(b, uint64(common))
	b = appendString(b, e.rel[common:])
	flags, value := byte(0), e.value
	for flag, set := range map[byte]bool{
		flagTrusted: e.trusted, flagCompared: e.compared, flagDiffers: e.differs, flagStale: e.stale, flagResealed: e.resealed,
	} {
		if set {
			flags |= flag
		}
	}
	var digest [sha256.Size]byte
	if rest, ok := strings.CutPrefix(value, "sha256:"); ok && len(rest) >= 2*len(digest) {
		if _, err := hex.Decode(digest[:], []byte(rest[:2*len(digest)])); err == nil {
			flags, value = flags|flagDigest, rest[2*len(digest):]
		}
	}
	b = append(b, flags)
	if flags&flagDigest != 0 {
		b = append(b, digest[:]...)
	}
	b = appendString(b, value)
	b = appendString(b, e.radar)
	if e.compared {
		b = append(b, e.against[:]...)
	}
	k := e.key
	for _, n := range []uint64{k.dev, k.ino, uint64(k.mode), uint64(k.uid), uint64(k.gid)} {
		b = binary.AppendUvarint(b, n)
	}
	for _, n := range []int64{k.ctime, k.mtime, k.size} {
		b = binary.AppendVarint(b, n)
	}
	return b
}

// DecodeCache reads what Encode wrote. Errors wrap ErrCache.
func DecodeCache(b []byte) (*Cache, error) {
	head := len(cacheMagic) + sha256.Size
	if len(b) < head || !bytes.HasPrefix(b, []byte(cacheMagic)) {
		return nil, fmt.Errorf("decode cache: %w", ErrCache)
	}
	if sum := sha256.Sum256(b[head:]); !bytes.Equal(sum[:], b[len(cacheMagic):head]) {
		return nil, fmt.Errorf("decode cache: %w: its checksum is wrong", ErrCache)
	}
	d := decoder{rest: b[head:]}
	c := &Cache{rules: rules{policy: d.string(), key: d.string(), recipients: d.string()}}
	count := d.uvarint()
	if count > MaxEntries {
		return nil, fmt.Errorf("decode cache: %w: %d entries", ErrCache, count)
	}
	c.entries = make(map[string]*entry, min(count, uint64(len(d.rest)/16)))
	last := ""
	for range count {
		e := d.entry(last)
		if d.bad {
			break
		}
		c.entries[e.rel] = e
		last = e.rel
	}
	if d.bad || len(d.rest) > 0 || uint64(len(c.entries)) != count {
		return nil, fmt.Errorf("decode cache: %w: malformed entries", ErrCache)
	}
	return c, nil
}

// LoadCache reads a cache file. The cache it returns can always be used; the
// error tells why it is empty, and wraps fs.ErrNotExist or ErrCache.
func LoadCache(file string) (*Cache, error) {
	f, err := os.Open(file)
	if err != nil {
		return &Cache{}, fmt.Errorf("load cache of /etc: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCache))
	if err != nil {
		return &Cache{}, fmt.Errorf("load cache of /etc from %s: %w", file, err)
	}
	c, err := DecodeCache(b)
	if err != nil {
		return &Cache{}, fmt.Errorf("load cache of /etc from %s: %w", file, err)
	}
	return c, nil
}

// Save writes the cache file anew, readable for nobody else. It does not wait
// for the disk: a torn file is noticed by its checksum.
func (c *Cache) Save(file string) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("save cache of /etc: %w", err)
	}
	_, err = f.Write(c.Encode())
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("save cache of /etc: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder reads the parts of a cache file. After a fault it gives zero values.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) entry(last string) *entry {
	common := d.uvarint()
	if common > uint64(len(last)) {
		d.bad = true
		return nil
	}
	rel := last[:common] + d.string()
	flags := d.bytes(1)
	if d.bad || rel <= last {
		d.bad = true
		return nil
	}
	value := ""
	if flags[0]&flagDigest != 0 {
		value = "sha256:" + hex.EncodeToString(d.bytes(sha256.Size))
	}
	value += d.string()
	e := newEntry(rel, statKey{}, value)
	e.radar = d.string()
	e.trusted, e.compared, e.differs = flags[0]&flagTrusted != 0, flags[0]&flagCompared != 0, flags[0]&flagDiffers != 0
	e.stale, e.resealed = flags[0]&flagStale != 0, flags[0]&flagResealed != 0
	if e.compared {
		copy(e.against[:], d.bytes(len(e.against)))
	}
	e.key = statKey{
		dev: d.uvarint(), ino: d.uvarint(), mode: uint32(d.uvarint()), uid: uint32(d.uvarint()), gid: uint32(d.uvarint()),
		ctime: d.varint(), mtime: d.varint(), size: d.varint(),
	}
	if _, err := fact.ParseFile(value); value != "" && err != nil || len(value) > fact.MaxValue || len(e.path) > fact.MaxPath ||
		len(radarFacts(e)) != strings.Count(e.radar, "\n") {
		d.bad = true
	}
	return e
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.rest)
	d.bad = d.bad || size <= 0
	d.bytes(size)
	return n
}

func (d *decoder) varint() int64 {
	n, size := binary.Varint(d.rest)
	d.bad = d.bad || size <= 0
	d.bytes(size)
	return n
}

func (d *decoder) string() string {
	n := d.uvarint()
	return string(d.bytes(int(min(n, uint64(len(d.rest)+1)))))
}

// bytes takes the next n bytes.
func (d *decoder) bytes(n int) []byte {
	if d.bad || n > len(d.rest) || n < 0 {
		d.bad = true
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}
