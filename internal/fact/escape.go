package fact

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape makes any byte string inert: control characters, bytes that are not
// UTF-8, characters that reorder text (Unicode Bidi_Control), line separators
// and "%" itself become "%XX", one for each byte, as in RFC 3986 section 2.1.
// Everything else stays readable. Unescape gives the bytes back.
func Escape(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || !inertRune(r) || r == '%' {
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// Unescape is the inverse of Escape. It returns an error for a "%" that is not
// followed by two hexadecimal digits.
func Unescape(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("unescape %.80q: %% at the end needs two hexadecimal digits", s)
		}
		hi, lo := unhex(s[i+1]), unhex(s[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("unescape %.80q: %% needs two hexadecimal digits", s)
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), nil
}

// Value makes s fit for a fact's value: surrounding space goes, foreign bytes
// are escaped, and what is longer than MaxValue is cut with a mark.
func Value(s string) string {
	v := Escape(strings.TrimSpace(s))
	if len(v) <= MaxValue {
		return v
	}
	const mark = "…(cut)"
	cut := MaxValue - len(mark)
	for !utf8.RuneStart(v[cut]) {
		cut--
	}
	if i := strings.LastIndexByte(v[:cut], '%'); i >= cut-2 { // not inside of an escape
		cut = i
	}
	return v[:cut] + mark
}

// Name makes s fit for one component of a fact's path: as Escape, and "/"
// becomes "%2F"; an empty name becomes "%00", which no file name can be.
func Name(s string) string {
	if s == "" {
		return "%00"
	}
	return strings.ReplaceAll(Escape(s), "/", "%2F")
}

func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '%' {
			return false
		}
	}
	return true
}

// inert tells whether s is valid UTF-8 in which every rune may stand as it is.
func inert(s string) bool {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return false
			}
		}
		if !inertRune(r) {
			return false
		}
	}
	return true
}

func inertRune(r rune) bool {
	switch {
	case r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0: // C0, DEL, C1
		return false
	case r < 0x80:
		return true
	case r == 0x2028 || r == 0x2029 || r == 0xfeff: // line and paragraph separator, BOM
		return false
	}
	return !unicode.Is(unicode.Bidi_Control, r)
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
