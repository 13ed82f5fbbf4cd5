package index

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash/maphash"
	"slices"
	"strings"
)

// Values are kept in a form that takes less room: digests, addresses and other
// runs of hexadecimal digits as bytes. Each is a hole in a text that is otherwise
// often the same, such as "size=… type=ext4 uuid=…" or "sha256:… 0644 root:root":
// the frame. A packed value is the number of its frame and what fills the holes. One
// whose frame has no number is kept as it is, with what fills a hole after its mark.
// Facts hold no control characters, so that these can mark what is packed.
const (
	markByte   = 0 // then a byte as it is
	markHex    = 1 // then half the number of digits; filled by that many bytes
	markFrame  = 2 // at the start alone: then the number of a frame, then what fills it
	markDigest = 3 // then the number of a prefix; filled by 32 bytes of 64 digits
	markMAC    = 4 // filled by 6 bytes of six pairs of digits with colons between
	markUUID   = 5 // filled by 16 bytes of 8-4-4-4-12 digits
	markKey    = 6 // filled by 32 bytes: the fingerprint of an SSH key, SHA256: and base64
	markShort  = 7 // then the number of a prefix; filled by a hash of what would fill markDigest
	markNoKey  = 8 // filled by hashes of what would fill markKey
	lastMark   = markNoKey

	minHex = 8
)

// digestPrefixes come before 64 hexadecimal digits.
var digestPrefixes = []string{"sha256:", "keyed:", "sealed:"}

// digestAt returns the number of the prefix of a digest that the value begins with,
// or -1.
func digestAt(value string) int {
	if value == "" || value[0] != 's' && value[0] != 'k' {
		return -1
	}
	return slices.IndexFunc(digestPrefixes, func(p string) bool {
		rest, ok := strings.CutPrefix(value, p)
		return ok && len(rest) >= 64 && hexRun(rest[:64]) == 64
	})
}

const (
	formMAC  = "xx:xx:xx:xx:xx:xx"
	formUUID = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
	keyText  = "SHA256:"
	keyLen   = 43 // of 32 bytes in base64 without padding
)

// separated appends what fills a hole: pairs of lower-case hexadecimal digits with
// separators as the form has them, in which every "x" is a digit.
func separated(dst []byte, form string, separator byte, s string) ([]byte, bool) {
	if len(s) < len(form) || s[strings.IndexByte(form, separator)] != separator {
		return dst, false
	}
	var digits [32]byte
	n := 0
	for i := range len(form) {
		switch {
		case form[i] != 'x':
			if form[i] != s[i] {
				return dst, false
			}
		case unhex(s[i]) < 0:
			return dst, false
		default:
			digits[n] = s[i]
			n++
		}
	}
	dst, _ = hex.AppendDecode(dst, digits[:n]) // they are digits
	return dst, true
}

// unhex returns the value of a lower-case hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// hole finds what a value goes on with, if that fills a hole: the mark, what fills it
// and how much of the value it is.
func hole(frame, fill []byte, value string) (_, _ []byte, n int) {
	switch c := value[0]; {
	case unhex(c) >= 0:
		return holeOfPairs(frame, fill, value)
	case c != 's' && c != 'k' && c != 'S':
		return frame, fill, 0
	}
	if i := digestAt(value); i >= 0 {
		n := len(digestPrefixes[i])
		fill, _ = hex.AppendDecode(fill, []byte(value[n:n+64])) // they are digits
		return append(frame, markDigest, byte(i)), fill, n + 64
	}
	if rest, ok := strings.CutPrefix(value, keyText); ok && len(rest) >= keyLen {
		b, err := base64.RawStdEncoding.Strict().DecodeString(rest[:keyLen])
		if err == nil && base64.RawStdEncoding.EncodeToString(b) == rest[:keyLen] { // it may hold what decoding skips
			return append(frame, markKey), append(fill, b...), len(keyText) + keyLen
		}
	}
	return frame, fill, 0
}

func holeOfPairs(frame, fill []byte, value string) (_, _ []byte, n int) {
	var ok bool
	if fill, ok = separated(fill, formMAC, ':', value); ok {
		return append(frame, markMAC), fill, len(formMAC)
	}
	if fill, ok = separated(fill, formUUID, '-', value); ok {
		return append(frame, markUUID), fill, len(formUUID)
	}
	return frame, fill, 0
}

// pack appends the packed form of a value.
func (t *frames) pack(dst []byte, value string) []byte { return t.packed(dst, value, true) }

// packed is pack which, without add, gives no frame a number.
func (t *frames) packed(dst []byte, value string, add bool) []byte {
	var room [2 * maxFrame]byte
	frame, fill := split(room[:0:maxFrame], room[maxFrame:maxFrame], value)
	if len(fill) > 0 && len(frame) <= maxFrame {
		if n, ok := t.number(frame, len(fill), add); ok {
			return append(binary.AppendUvarint(append(dst, markFrame), uint64(n)), fill...)
		}
	}
	if len(fill) == 0 {
		return append(dst, frame...)
	}
	return inline(dst, frame, fill)
}

// split takes a value apart.
func split(frame, fill []byte, value string) (_, _ []byte) {
	for i := 0; i < len(value); {
		if i == 0 || !alphanumeric(value[i-1]) { // a hole begins a word
			var n int
			if frame, fill, n = hole(frame, fill, value[i:]); n > 0 {
				i += n
				continue
			}
		}
		if n := hexRun(value[i:]); n >= minHex {
			frame = append(frame, markHex, byte(n/2))
			fill, _ = hex.AppendDecode(fill, []byte(value[i:i+n])) // they are digits
			i += n
			continue
		} else if n > 0 { // no hole begins in it
			frame = append(frame, value[i:i+n]...)
			i += n
			continue
		}
		if value[i] <= lastMark {
			frame = append(frame, markByte)
		}
		frame = append(frame, value[i])
		i++
	}
	return frame, fill
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// hexRun returns the even number of lower-case hexadecimal digits that s begins
// with, at most 510.
func hexRun(s string) int {
	n := 0
	for n < len(s) && n < 510 && unhex(s[n]) >= 0 {
		n++
	}
	return n &^ 1
}

// fills returns how many bytes fill the hole at the start of a frame, and how long
// its mark is; 0, n for what is no hole.
func fills(frame []byte) (fill, mark int) {
	switch frame[0] {
	case markByte:
		return 0, 2
	case markHex:
		return int(frame[1]), 2
	case markDigest:
		return 32, 2
	case markMAC:
		return 6, 1
	case markUUID:
		return 16, 1
	case markKey:
		return 32, 1
	case markShort:
		return shortLen, 2
	case markNoKey:
		return shortLen + foldedLen, 1
	}
	return 0, 1
}

// inline appends a frame with each hole filled after its mark.
func inline(dst, frame, fill []byte) []byte {
	for len(frame) > 0 {
		n, mark := fills(frame)
		dst = append(append(dst, frame[:mark]...), fill[:n]...)
		frame, fill = frame[mark:], fill[n:]
	}
	return dst
}

// open gives the frame of a packed value and what fills it; of one whose frame has
// no number both are the same.
func (t *frames) open(b []byte) (frame, fill []byte, framed bool) {
	if len(b) == 0 || b[0] != markFrame {
		return b, b, false
	}
	n, w := binary.Uvarint(b[1:])
	return t.at(uint32(n)).text, b[1+w:], true
}

// unpack appends the value of which b is the packed form.
func (t *frames) unpack(dst, b []byte) []byte {
	frame, fill, framed := t.open(b)
	return unfill(dst, frame, fill, framed)
}

func unfill(dst, frame, fill []byte, framed bool) []byte {
	for len(frame) > 0 {
		n, mark := fills(frame)
		if !framed {
			fill = frame[mark:]
		}
		switch frame[0] {
		case markByte:
			dst = append(dst, frame[1])
		case markHex:
			dst = hex.AppendEncode(dst, fill[:n])
		case markDigest:
			dst = hex.AppendEncode(append(dst, digestPrefixes[frame[1]]...), fill[:n])
		case markMAC:
			dst = spread(dst, formMAC, fill[:n])
		case markUUID:
			dst = spread(dst, formUUID, fill[:n])
		case markShort: // see whole
			dst = append(append(dst, digestPrefixes[frame[1]]...), unknownDigits...)
		case markKey:
			dst = base64.RawStdEncoding.AppendEncode(append(dst, keyText...), fill[:n])
		case markNoKey:
			dst = append(append(dst, keyText...), unknownDigits[:keyLen]...)
		default:
			dst = append(dst, frame[0])
		}
		if framed {
			fill, frame = fill[n:], frame[mark:]
		} else {
			frame = frame[mark+n:]
		}
	}
	return dst
}

// spread writes bytes in the form that separated read them from.
func spread(dst []byte, form string, b []byte) []byte {
	var room [32]byte
	digits := hex.AppendEncode(room[:0], b)
	for i := range len(form) {
		if form[i] != 'x' {
			dst = append(dst, form[i])
			continue
		}
		dst, digits = append(dst, digits[0]), digits[1:]
	}
	return dst
}

// Of a digest that one machine alone has, or of the fingerprint of a key, only a hash
// is kept: nothing but "is it this one" is asked about it often, and 20 of them are on
// every machine. What else is asked is answered by reading the machine. The hash is
// keyed, so that nobody can make two digests that are taken for the same. A question
// overlooks case, which digits in base64 have: of these a second hash does so too.
const (
	shortLen  = 8
	foldedLen = 4
)

// unknownDigits stand where only a hash is known. No fact holds such a character.
var unknownDigits = strings.Repeat("\x00", 64)

// short gives the packed form in which only a hash is left of a digest or a
// fingerprint that the value begins with. dst is where it may be put.
func (d *dict) short(dst, packed []byte) []byte {
	frame, fill, framed := d.frames.open(packed)
	if len(frame) == 0 || frame[0] != markDigest && frame[0] != markKey {
		return packed
	}
	n, mark := fills(frame)
	if framed {
		number, _ := binary.Uvarint(packed[1:])
		dst = binary.AppendUvarint(append(dst, markFrame), number+1) // see frames.number
	} else {
		dst = append(append(dst, shortMark(frame[0])), frame[1:mark]...)
		fill = frame[mark:]
	}
	dst = d.appendHash(dst, fill[:n])
	if frame[0] == markKey {
		dst = d.appendFolded(dst, base64.RawStdEncoding.EncodeToString(fill[:n]))
	}
	return append(dst, fill[n:]...)
}

func shortMark(mark byte) byte {
	if mark == markKey {
		return markNoKey
	}
	return markShort
}

// whole tells whether unpack gives the value, and not one with unknownDigits.
func (t *frames) whole(packed []byte) bool {
	frame, _, _ := t.open(packed)
	return len(frame) == 0 || frame[0] != markShort && frame[0] != markNoKey
}

// likeness gives that of a short form which is the same for all values that a
// question may take for it, but for what follows the hash.
func (t *frames) likeness(short []byte) (like []byte, ok bool) {
	frame, fill, framed := t.open(short)
	like, _, _, ok = likenessOf(frame, fill, framed)
	return like, ok
}

// likenessOf also gives the frame and what fills it after the hash.
func likenessOf(frame, fill []byte, framed bool) (like, frameAfter, fillAfter []byte, ok bool) {
	if len(frame) == 0 || frame[0] != markShort && frame[0] != markNoKey {
		return nil, nil, nil, false
	}
	n, mark := fills(frame)
	if !framed {
		fill, frame = frame[mark:], frame[n:]
	}
	like = fill[:n]
	if frame = frame[mark:]; n > shortLen {
		like = fill[shortLen:n]
	}
	return like, frame, fill[n:], true
}

// folded appends what the hash of a value is made of, by its short form: it is the
// same for all values that fold to the same. Of a digest or a fingerprint, in whatever
// case, it is made of its hash and what follows it.
func (d *dict) folded(dst, short []byte) []byte {
	var room [96]byte
	frame, fill, framed := d.frames.open(short)
	if like, frame, fill, ok := likenessOf(frame, fill, framed); ok {
		return fold(append(dst, like...), unfill(room[:0], frame, fill, framed))
	}
	text := unfill(room[:0], frame, fill, framed)
	const least = len(keyText) + keyLen
	if len(text) < least || text[0]|0x20 != 's' && text[0]|0x20 != 'k' {
		return fold(dst, text)
	}
	lower := strings.ToLower(string(text[:min(len(text), len("sha256:")+64)]))
	if i := digestAt(lower); i >= 0 {
		n := len(digestPrefixes[i])
		fill, _ := hex.DecodeString(lower[n : n+64]) // they are digits
		return fold(d.appendHash(dst, fill), text[n+64:])
	}
	if digits := lower[len(keyText):least]; strings.HasPrefix(lower, strings.ToLower(keyText)) && !strings.ContainsFunc(digits, notBase64) {
		return fold(d.appendFolded(dst, digits), text[least:])
	}
	return fold(dst, text)
}

func notBase64(r rune) bool {
	return r > 'z' || !alphanumeric(byte(r)) && r != '+' && r != '/'
}

func (d *dict) appendHash(dst, digest []byte) []byte {
	return binary.LittleEndian.AppendUint64(dst, maphash.Bytes(d.seed, digest))
}

func (d *dict) appendFolded(dst []byte, digits string) []byte {
	var room [64]byte
	return binary.LittleEndian.AppendUint32(dst, uint32(maphash.Bytes(d.seed, fold(room[:0], digits))))
}
