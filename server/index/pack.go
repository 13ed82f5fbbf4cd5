package index

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Values are kept in a form that takes less room: runs of hexadecimal digits as
// bytes, and what follows them, such as " 0644 root:root", as a number. Facts
// hold no control characters, so that these can mark what is packed.
const (
	markByte = 0 // then a byte as it is
	markHex  = 1 // then half the number of digits, then the bytes
	markTail = 2 // then the number of a tail; it ends the value

	minHex   = 8
	maxTails = 1 << 14
	maxTail  = 64
)

// tails are the ends of values that many share.
type tails struct {
	byText map[string]uint32
	texts  []string
}

// pack appends the packed form of a value.
func (t *tails) pack(dst []byte, value string) []byte {
	packed := false
	for i := 0; i < len(value); {
		if value[i] == ' ' && packed {
			if n, ok := t.number(value[i:]); ok {
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
		if value[i] <= markTail {
			dst = append(dst, markByte)
		}
		dst = append(dst, value[i])
		i++
	}
	return dst
}

func (t *tails) number(tail string) (uint32, bool) {
	n, ok := t.byText[tail]
	if ok || len(tail) > maxTail || len(t.texts) == maxTails {
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
		default:
			dst = append(dst, b[i])
		}
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
