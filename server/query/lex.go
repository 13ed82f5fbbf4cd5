package query

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"rollcall/internal/fact"
)

type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenQuoted
	tokenOp
	tokenOpen
	tokenClose
	tokenComma
)

// token is one word of a filter; pos is its byte offset.
type token struct {
	kind tokenKind
	text string
	pos  int
}

// is tells whether the token is the given keyword, in any case.
func (t token) is(keyword string) bool {
	return t.kind == tokenWord && strings.EqualFold(t.text, keyword)
}

// show names the token in an error.
func (t token) show() string {
	if t.kind == tokenEnd {
		return "the end"
	}
	const limit = 60
	text := fact.Escape(t.text)
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return `"` + strings.ReplaceAll(text, "%25", "%") + `"`
}

// bareRune tells whether r may stand in a word without quotes: all that package
// names, versions, paths, globs, addresses and times are made of.
func bareRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-./:+*?@%$[]{}#;^&", r)
}

// lex cuts a filter into tokens, the last one being the end.
func lex(src string) ([]token, *SyntaxError) {
	var out []token
	for i := 0; i < len(src); {
		r, size := utf8.DecodeRuneInString(src[i:])
		switch {
		case r == ' ' || r == '\t' || r == '\n' || r == '\r':
			i += size
		case r == utf8.RuneError && size == 1:
			return nil, syntax(src, i, "this is not UTF-8", "")
		case strings.ContainsRune("(),", r):
			kind := map[rune]tokenKind{'(': tokenOpen, ')': tokenClose, ',': tokenComma}[r]
			out = append(out, token{kind, src[i : i+1], i})
			i++
		case strings.ContainsRune("=!<>~", r):
			n := operator(src[i:])
			out = append(out, token{tokenOp, src[i : i+n], i})
			i += n
		case r == '"' || r == '\'':
			text, n := quoted(src[i:])
			if n == 0 {
				return nil, syntax(src, i, "this quote is never closed", "put a "+string(r)+" after the value")
			}
			out = append(out, token{tokenQuoted, text, i})
			i += n
		case bareRune(r):
			n := bare(src[i:])
			out = append(out, token{tokenWord, src[i : i+n], i})
			i += n
		default:
			return nil, syntax(src, i, "unexpected "+quoteRune(r), `put values with special characters in quotes: "…"`)
		}
	}
	return append(out, token{tokenEnd, "", len(src)}), nil
}

func operator(s string) int {
	for _, op := range []string{"!=", "<=", ">=", "==", "=~", "<>", "=>", "=<", "<<", ">>"} {
		if strings.HasPrefix(s, op) {
			return 2
		}
	}
	return 1
}

func bare(s string) int {
	for i, r := range s {
		if !bareRune(r) {
			return i
		}
	}
	return len(s)
}

// quoted reads a quoted value. Within quotes, a backslash takes the next
// character as it is. n is 0 if there is no closing quote.
func quoted(s string) (text string, n int) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == s[0]:
			return b.String(), i + 1
		default:
			b.WriteByte(s[i])
		}
	}
	return "", 0
}

func quoteRune(r rune) string {
	if unicode.IsPrint(r) {
		return `"` + string(r) + `"`
	}
	return "a control character"
}
