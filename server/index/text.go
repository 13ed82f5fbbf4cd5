package index

import (
	"encoding/binary"
	"unicode"
	"unicode/utf8"
)

// fold appends s without what some comparisons overlook: case, and the marks in a
// MAC address. Values that any comparison calls equal text fold to the same.
func fold[T []byte | string](dst []byte, s T) []byte {
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
		r, n := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
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
