package fact

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// The first byte of each encoding is its version. Changing an encoding breaks
// every existing database and every agent: add a new version instead.
const (
	setV1   = 0x01
	deltaV1 = 0x11
)

// ErrEncoding is wrapped by every error about bytes that are not a canonical
// encoding of a set or a delta.
var ErrEncoding = errors.New("not a canonical fact encoding")

// Digest is the SHA-256 of a canonical encoding.
type Digest [sha256.Size]byte

// String gives the digest in lower-case hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero tells whether the digest is unset.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText gives the hexadecimal form, for JSON.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the hexadecimal form.
func (d *Digest) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDigest(string(b))
	return err
}

// ParseDigest reads 64 hexadecimal digits.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != 2*len(d) {
		return d, fmt.Errorf("digest %.80q: want %d hexadecimal digits", s, 2*len(d))
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return d, fmt.Errorf("digest %.80q: %w", s, err)
	}
	return d, nil
}

// Encode returns the canonical encoding: a version byte, then for each fact the
// lengths of path and value as uvarint (encoding/binary) and their bytes.
func (s Set) Encode() []byte {
	n := 1
	for _, f := range s {
		n += len(f.Path) + len(f.Value) + 4
	}
	b := append(make([]byte, 0, n), setV1)
	for _, f := range s {
		b = appendString(b, f.Path)
		b = appendString(b, f.Value)
	}
	return b
}

// Digest returns the SHA-256 of the canonical encoding, without building it:
// sets of some hundred kilobytes are hashed for every report.
func (s Set) Digest() Digest {
	h := sha256.New()
	buf := append(make([]byte, 0, 8<<10), setV1)
	for _, f := range s {
		if len(buf)+len(f.Path)+len(f.Value)+2*binary.MaxVarintLen32 > cap(buf) {
			h.Write(buf)
			buf = buf[:0]
		}
		buf = appendString(appendString(buf, f.Path), f.Value)
	}
	h.Write(buf)
	return Digest(h.Sum(nil))
}

// DecodeSet reads a canonical encoding. The set shares memory with b if that is a
// string, else with one copy of it. Errors wrap ErrEncoding; facts are not
// checked, use Set.Check for that.
func DecodeSet[B []byte | string](b B) (Set, error) {
	if len(b) == 0 || b[0] != setV1 {
		return nil, fmt.Errorf("decode set: %w: unknown version", ErrEncoding)
	}
	d := decoder{rest: string(b[1:])}
	s := make(Set, 0, d.facts())
	for d.rest != "" && d.err == nil {
		if len(s) == MaxFacts {
			return nil, fmt.Errorf("decode set: %w: more than %d facts", ErrEncoding, MaxFacts)
		}
		s = append(s, Fact{Path: d.string(), Value: d.string()})
	}
	if d.err != nil {
		return nil, fmt.Errorf("decode set: %w", d.err)
	}
	if len(s) == 0 {
		return nil, nil
	}
	return s, nil
}

// Delta leads from the set with digest Base to the set with digest Result. A
// zero Base means the empty set: the delta is a full set.
type Delta struct {
	Base, Result Digest
	Put          []Fact   // new or changed facts, sorted by path
	Drop         []string // paths that are gone, sorted
}

// ErrBase is returned by Apply when the delta does not start from the given set
// or does not lead to the set it promises.
var ErrBase = errors.New("delta does not fit the set")

// Diff returns the delta from old to new.
func Diff(old, new Set) Delta {
	d := Delta{Result: new.Digest()}
	if len(old) > 0 {
		d.Base = old.Digest()
	}
	i, j := 0, 0
	for i < len(old) || j < len(new) {
		switch {
		case j == len(new) || i < len(old) && old[i].Path < new[j].Path:
			d.Drop = append(d.Drop, old[i].Path)
			i++
		case i == len(old) || old[i].Path > new[j].Path:
			d.Put = append(d.Put, new[j])
			j++
		default:
			if old[i].Value != new[j].Value {
				d.Put = append(d.Put, new[j])
			}
			i++
			j++
		}
	}
	return d
}

// Empty tells whether the delta changes nothing.
func (d Delta) Empty() bool { return len(d.Put) == 0 && len(d.Drop) == 0 }

// Apply returns the set that d leads to from base. It returns an error that
// wraps ErrBase, and no set, if base or the result is not the promised one.
func (d Delta) Apply(base Set) (Set, error) {
	if d.Base.IsZero() != (len(base) == 0) || len(base) > 0 && base.Digest() != d.Base {
		return nil, fmt.Errorf("apply delta from %.12s: %w: another set is in place", d.Base, ErrBase)
	}
	return d.Onto(base)
}

// Onto is Apply for a base that was found by the digest Base: it is not hashed
// again. The result is.
func (d Delta) Onto(base Set) (Set, error) {
	out := d.merge(base)
	if out.Digest() != d.Result {
		return nil, fmt.Errorf("apply delta to %.12s: %w: another set comes out", d.Result, ErrBase)
	}
	return out, nil
}

func (d Delta) merge(base Set) Set {
	out := make(Set, 0, len(base)+len(d.Put))
	put := d.Put
	for _, f := range base {
		for len(put) > 0 && put[0].Path < f.Path {
			out = append(out, put[0])
			put = put[1:]
		}
		if len(put) > 0 && put[0].Path == f.Path {
			out = append(out, put[0])
			put = put[1:]
			continue
		}
		if _, gone := slices.BinarySearch(d.Drop, f.Path); !gone {
			out = append(out, f)
		}
	}
	return append(out, put...)
}

// Encode returns the canonical encoding of the delta: a version byte, both
// digests, the number of dropped paths, those paths, then the put facts.
func (d Delta) Encode() []byte {
	b := append(make([]byte, 0, 1+2*len(d.Base)+64*len(d.Put)), deltaV1)
	b = append(append(b, d.Base[:]...), d.Result[:]...)
	b = binary.AppendUvarint(b, uint64(len(d.Drop)))
	for _, p := range d.Drop {
		b = appendString(b, p)
	}
	for _, f := range d.Put {
		b = appendString(b, f.Path)
		b = appendString(b, f.Value)
	}
	return b
}

// deltaHead is where the dropped paths begin in an encoded delta.
const deltaHead = 1 + 2*sha256.Size

// DeltaEnds returns the digests that an encoded delta leads from and to, without
// reading its facts. The error wraps ErrEncoding.
func DeltaEnds(b []byte) (base, result Digest, err error) {
	if len(b) < deltaHead || b[0] != deltaV1 {
		return base, result, fmt.Errorf("decode delta: %w: unknown version or too short", ErrEncoding)
	}
	return Digest(b[1:]), Digest(b[1+sha256.Size:]), nil
}

// FullDigest returns the digest of the set that an encoded delta puts on nothing.
// The facts are hashed as they are encoded: a digest that is the one of a set
// proves that they are that set. ok is false for a delta that drops something, or
// is too short to be one.
func FullDigest(b []byte) (d Digest, ok bool) {
	if len(b) <= deltaHead || b[0] != deltaV1 || b[deltaHead] != 0 {
		return d, false
	}
	h := sha256.New()
	h.Write([]byte{setV1})
	h.Write(b[deltaHead+1:])
	return Digest(h.Sum(nil)), true
}

// AppendFact appends the encoding of one fact, as it stands in that of a set.
func AppendFact(b []byte, f Fact) []byte { return appendString(appendString(b, f.Path), f.Value) }

// DecodeDelta reads what Encode wrote. Errors wrap ErrEncoding; the facts are
// not checked, the set that Apply returns can be.
func DecodeDelta(b []byte) (Delta, error) {
	var d Delta
	var err error
	if d.Base, d.Result, err = DeltaEnds(b); err != nil {
		return d, err
	}
	dec := decoder{rest: string(b[deltaHead:])}
	drops := dec.uvarint()
	if drops > MaxFacts {
		return Delta{}, fmt.Errorf("decode delta: %w: %d dropped paths", ErrEncoding, drops)
	}
	for range drops {
		if dec.err != nil {
			break
		}
		d.Drop = append(d.Drop, dec.string())
	}
	if n := dec.facts(); n > 0 {
		d.Put = make([]Fact, 0, n)
	}
	for dec.rest != "" && dec.err == nil {
		if len(d.Put) == MaxFacts {
			return Delta{}, fmt.Errorf("decode delta: %w: more than %d facts", ErrEncoding, MaxFacts)
		}
		d.Put = append(d.Put, Fact{Path: dec.string(), Value: dec.string()})
	}
	if dec.err != nil {
		return Delta{}, fmt.Errorf("decode delta: %w", dec.err)
	}
	if !d.ordered() {
		return Delta{}, fmt.Errorf("decode delta: %w: paths are not in order, or named twice", ErrEncoding)
	}
	return d, nil
}

// ordered tells whether both lists are sorted and no path occurs twice in the
// delta: otherwise a set with a path twice could come out of Apply.
func (d Delta) ordered() bool {
	for i := 1; i < len(d.Drop); i++ {
		if d.Drop[i-1] >= d.Drop[i] {
			return false
		}
	}
	for i, f := range d.Put {
		if i > 0 && d.Put[i-1].Path >= f.Path {
			return false
		}
		if _, both := slices.BinarySearch(d.Drop, f.Path); both {
			return false
		}
	}
	return true
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder reads length-prefixed strings out of one string, so that all facts
// share one allocation.
type decoder struct {
	rest string
	err  error
}

func (d *decoder) uvarint() uint64 {
	var v uint64
	for i := 0; i < len(d.rest) && i < binary.MaxVarintLen32; i++ {
		c := d.rest[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if c == 0 && i > 0 {
				break // not the shortest form
			}
			d.rest = d.rest[i+1:]
			return v
		}
	}
	d.err = fmt.Errorf("%w: bad length", ErrEncoding)
	return 0
}

// facts counts the pairs of strings in rest, so that they need one allocation; a
// bad encoding gives some number that no more can be read than.
func (d *decoder) facts() int {
	count := decoder{rest: d.rest}
	n := 0
	for count.rest != "" && n < 2*MaxFacts && count.err == nil {
		count.string()
		n++
	}
	return n / 2
}

func (d *decoder) string() string {
	n := d.uvarint()
	if d.err != nil || n > uint64(len(d.rest)) {
		d.err = fmt.Errorf("%w: length beyond the end", ErrEncoding)
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}
