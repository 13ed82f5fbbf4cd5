package index

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash/maphash"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Values are kept in a form that takes less room: digests, addresses and other
// runs of hexadecimal digits as bytes, and what follows them, such as
// " 0644 root:root", as a number. Facts hold no control characters, so that these
// can mark what is packed.
const (
	markByte   = 0 // then a byte as it is
	markHex    = 1 // then half the number of digits, then the bytes
	markTail   = 2 // then the number of a tail; it ends the value
	markDigest = 3 // then the number of a prefix, then 32 bytes of 64 digits
	markMAC    = 4 // then 6 bytes of six pairs of digits with colons between
	markUUID   = 5 // then 16 bytes of 8-4-4-4-12 digits
	markKey    = 6 // then 32 bytes: the fingerprint of an SSH key, SHA256: and base64
	markShort  = 7 // then the number of a prefix, then a hash of the 32 bytes of 64 digits
	lastMark   = markShort

	minHex   = 8
	maxTails = 1 << 14
	maxTail  = 64
)

// tails are the ends of values that many share.
type tails struct {
	byText map[string]uint32
	texts  []string
}

// digestPrefixes come before 64 hexadecimal digits.
var digestPrefixes = []string{"sha256:", "keyed:", "sealed:"}

// digestAt returns the number of the prefix of a digest that the value begins with,
// or -1.
func digestAt(value string) int {
	return slices.IndexFunc(digestPrefixes, func(p string) bool {
		rest, ok := strings.CutPrefix(value, p)
		return ok && len(rest) >= 64 && hexRun(rest[:64]) == 64
	})
}

// separated reads pairs of lower-case hexadecimal digits with one-byte separators
// as the form has them: every "x" is a digit, the rest stands for itself.
func separated(form, s string) ([]byte, bool) {
	if len(s) < len(form) {
		return nil, false
	}
	digits := make([]byte, 0, 32)
	for i := range len(form) {
		switch {
		case form[i] != 'x' && form[i] != s[i]:
			return nil, false
		case form[i] == 'x':
			digits = append(digits, s[i])
		}
	}
	b, err := hex.AppendDecode(nil, digits)
	return b, err == nil && hexRun(string(digits)) == len(digits) // no capitals
}

const (
	formMAC  = "xx:xx:xx:xx:xx:xx"
	formUUID = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
	keyText  = "SHA256:"
	keyLen   = 43 // of 32 bytes in base64 without padding
)

// special packs what a value begins with, if it is of one of the usual forms, and
// returns how much of it that was.
func special(dst []byte, value string) ([]byte, int) {
	if i := digestAt(value); i >= 0 {
		n := len(digestPrefixes[i])
		dst, _ = hex.AppendDecode(append(dst, markDigest, byte(i)), []byte(value[n:n+64])) // they are digits
		return dst, n + 64
	}
	if b, ok := separated(formMAC, value); ok {
		return append(append(dst, markMAC), b...), len(formMAC)
	}
	if b, ok := separated(formUUID, value); ok {
		return append(append(dst, markUUID), b...), len(formUUID)
	}
	if rest, ok := strings.CutPrefix(value, keyText); ok && len(rest) >= keyLen {
		b, err := base64.RawStdEncoding.Strict().DecodeString(rest[:keyLen])
		if err == nil && base64.RawStdEncoding.EncodeToString(b) == rest[:keyLen] { // it may hold what decoding skips
			return append(append(dst, markKey), b...), len(keyText) + keyLen
		}
	}
	return dst, 0
}

// pack appends the packed form of a value.
func (t *tails) pack(dst []byte, value string) []byte { return t.packed(dst, value, true) }

// packed is pack which, without add, gives no tail a number.
func (t *tails) packed(dst []byte, value string, add bool) []byte {
	dst, done := special(dst, value)
	packed := done > 0
	for i := done; i < len(value); {
		if value[i] == ' ' && packed {
			if n, ok := t.number(value[i:], add); ok {
				return binary.AppendUvarint(append(dst, markTail), uint64(n))
			}
			packed = false
		}
		if n := hexRun(value[i:]); n >= minHex {
			dst = append(dst, markHex, byte(n/2))
			dst, _ = hex.AppendDecode(dst, []byte(value[i:i+n])) // they are digits
			i += n
			packed = true
			continue
		}
		if value[i] <= lastMark {
			dst = append(dst, markByte)
		}
		dst = append(dst, value[i])
		i++
	}
	return dst
}

func (t *tails) number(tail string, add bool) (uint32, bool) {
	n, ok := t.byText[tail]
	if ok || !add || len(tail) > maxTail || len(t.texts) == maxTails {
		return n, ok
	}
	if t.byText == nil {
		t.byText = map[string]uint32{}
	}
	n = uint32(len(t.texts))
	tail = strings.Clone(tail)
	t.texts = append(t.texts, tail)
	t.byText[tail] = n
	return n, true
}

// hexRun returns the even number of lower-case hexadecimal digits that s begins
// with, at most 510.
func hexRun(s string) int {
	n := 0
	for n < len(s) && n < 510 && (s[n] >= '0' && s[n] <= '9' || s[n] >= 'a' && s[n] <= 'f') {
		n++
	}
	return n &^ 1
}

// unpack appends the value of which b is the packed form.
func (t *tails) unpack(dst, b []byte) []byte {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case markByte:
			i++
			dst = append(dst, b[i])
		case markHex:
			n := int(b[i+1])
			dst = hex.AppendEncode(dst, b[i+2:i+2+n])
			i += 1 + n
		case markTail:
			n, _ := binary.Uvarint(b[i+1:])
			return append(dst, t.texts[n]...)
		case markDigest:
			dst = append(dst, digestPrefixes[b[i+1]]...)
			dst = hex.AppendEncode(dst, b[i+2:i+34])
			i += 33
		case markMAC:
			dst = spread(dst, formMAC, b[i+1:i+7])
			i += 6
		case markUUID:
			dst = spread(dst, formUUID, b[i+1:i+17])
			i += 16
		case markShort: // see whole
			dst = append(dst, digestPrefixes[b[i+1]]...)
			dst = append(dst, unknownDigits...)
			i += 1 + shortLen
		case markKey:
			dst = append(dst, keyText...)
			dst = base64.RawStdEncoding.AppendEncode(dst, b[i+1:i+33])
			i += 32
		default:
			dst = append(dst, b[i])
		}
	}
	return dst
}

// Of a digest that one machine alone has, only a hash is kept: nothing but "is it
// this one" is asked about it often, and 20 of them are on every machine. What
// else is asked is answered by reading the machine. The hash is keyed, so that
// nobody can make two digests that are taken for the same.
const shortLen = 8

// unknownDigits stand where only a hash is known. No fact holds such a character.
var unknownDigits = strings.Repeat("\x00", 64)

// short gives the packed form in which only a hash of a digest is left, if the
// value is one.
func short(seed maphash.Seed, packed []byte) []byte {
	if len(packed) < 34 || packed[0] != markDigest {
		return packed
	}
	b := append(make([]byte, 0, 2+shortLen+len(packed)-34), markShort, packed[1])
	b = binary.LittleEndian.AppendUint64(b, maphash.Bytes(seed, packed[2:34]))
	return append(b, packed[34:]...)
}

// whole tells whether unpack gives the value, and not one with unknownDigits.
func whole(packed []byte) bool { return len(packed) == 0 || packed[0] != markShort }

// spread writes bytes in the form that separated read them from.
func spread(dst []byte, form string, b []byte) []byte {
	digits := hex.AppendEncode(make([]byte, 0, 32), b)
	for i := range len(form) {
		if form[i] != 'x' {
			dst = append(dst, form[i])
			continue
		}
		dst, digits = append(dst, digits[0]), digits[1:]
	}
	return dst
}

// fold appends s without what some comparisons overlook: case, and the marks in a
// MAC address. Values that any comparison calls equal text fold to the same.
func fold(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == ':' || c == '-' || c == '.':
			case c >= 'A' && c <= 'Z':
				dst = append(dst, c+'a'-'A')
			default:
				dst = append(dst, c)
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		if least >= 'A' && least <= 'Z' {
			least += 'a' - 'A'
		}
		dst = utf8.AppendRune(dst, least)
	}
	return dst
}

// texts keeps byte strings in large arrays; what is in it stays as it is.
type texts struct {
	chunks [][]byte
	bytes  int
}

const textChunk = 1 << 16

// add stores b, of at most some kilobytes, and returns its place.
func (t *texts) add(b []byte) uint32 {
	need := len(b) + binary.MaxVarintLen32
	if len(t.chunks) == 0 || len(t.chunks[len(t.chunks)-1])+need > textChunk {
		t.chunks = append(t.chunks, make([]byte, 0, textChunk))
	}
	last := len(t.chunks) - 1
	c := t.chunks[last]
	at := uint32(last<<16 | len(c))
	c = binary.AppendUvarint(c, uint64(len(b)))
	t.chunks[last] = append(c, b...)
	t.bytes += len(t.chunks[last]) - int(at&0xffff)
	return at
}

// get returns what is stored at a place. It must not be changed.
func (t *texts) get(at uint32) []byte {
	b := t.chunks[at>>16][at&0xffff:]
	n, w := binary.Uvarint(b)
	return b[w : w+int(n)]
}
