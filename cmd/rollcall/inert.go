package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// inert makes text harmless for a terminal: control characters other than line
// feed and tab, bytes that are not UTF-8, and characters that are invisible or
// reorder text become "%XX", one for each byte, as fact.Escape writes them. A
// "%" stays as it is, because what comes from the server is escaped already:
// this is the second lock on the same door.
func inert(s string) string { return escape(s, harmless) }

// inertLine is inert for what must stay on its line: line feeds and tabs are
// escaped too.
func inertLine(s string) string {
	return escape(s, func(r rune) bool { return r != '\n' && r != '\t' && harmless(r) })
}

func escape(s string, ok func(rune) bool) string {
	clean := true
	for i, r := range s {
		if !ok(r) || r == utf8.RuneError && badByte(s[i:]) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if ok(r) && !(r == utf8.RuneError && n == 1) {
			b.WriteString(s[i : i+n])
		} else {
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		i += n
	}
	return b.String()
}

func badByte(s string) bool {
	_, n := utf8.DecodeRuneInString(s)
	return n == 1
}

// harmless tells whether a terminal shows the rune, or breaks the line, and does
// nothing else.
func harmless(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return true
	case r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0:
		return false
	case r < 0x80:
		return true
	}
	// Cf holds the bidirectional controls, zero-width characters and tags, which
	// hide or reorder text; Co and Cs have no agreed look.
	return !unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs, unicode.Bidi_Control)
}

// inertJSON replaces the same characters in a JSON document by \uXXXX (RFC 8259
// section 7). They can only stand inside strings there, so the document says
// the same.
func inertJSON(doc []byte) []byte {
	var b strings.Builder
	for _, r := range string(doc) {
		switch {
		case harmless(r):
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return []byte(b.String())
}
