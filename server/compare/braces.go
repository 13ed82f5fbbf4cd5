package compare

import "strings"

// readBraces reads statements that end in ";" and blocks of them in braces, as
// dhcpd.conf(5), named.conf(5) and nginx have them, whatever line they stand on.
func readBraces(w *writer, content string) bool {
	s := &statements{text: content, glue: " > ", say: func(block, words string) {
		if words != "" {
			w.say(within(block, words))
		}
	}}
	return s.read()
}

// readAptConf reads apt.conf(5), where blocks and "::" mean the same and case
// means nothing.
func readAptConf(w *writer, content string) bool {
	s := &statements{text: content, glue: "::", say: func(block, words string) {
		name, value, _ := strings.Cut(words, " ")
		if strings.HasPrefix(words, `"`) {
			name, value = "", words // a value of a list
		}
		path := name
		if block != "" {
			path = block + "::" + name
		}
		if words != "" {
			w.say(strings.TrimSpace(strings.ToLower(path)+" "+value), strings.TrimSpace(path+" "+value))
		}
	}}
	return s.read()
}

// statements cuts a text into statements and calls say for each, with the blocks
// that it stands in. A block's own words are said where it begins.
type statements struct {
	text  string
	glue  string
	say   func(block, words string)
	block []string // the path of each block around
	words strings.Builder
}

// read returns false where braces do not match, a comment or a quote has no end,
// or the last statement.
func (s *statements) read() bool {
	for i := 0; i < len(s.text); {
		switch c := s.text[i]; {
		case c == '#' && s.begins(i), strings.HasPrefix(s.text[i:], "//") && s.begins(i):
			end := strings.IndexByte(s.text[i:], '\n')
			if end < 0 {
				end = len(s.text) - i
			}
			if strings.HasPrefix(s.text[i:], "#clear") || strings.HasPrefix(s.text[i:], "#include") { // apt.conf: no comments
				s.words.WriteString(s.text[i : i+1])
				i++
				continue
			}
			i += end
		case strings.HasPrefix(s.text[i:], "/*"):
			end := strings.Index(s.text[i+2:], "*/")
			if end < 0 {
				return false
			}
			i += 2 + end + 2
		case c == '"':
			end := closing(s.text[i:])
			if end < 0 {
				return false
			}
			s.words.WriteString(s.text[i : i+end+1])
			i += end + 1
		case c == ';' || c == '{' || c == '}':
			if !s.mark(c) {
				return false
			}
			i++
		default:
			s.words.WriteByte(c)
			i++
		}
	}
	return len(s.block) == 0 && strings.TrimSpace(s.words.String()) == ""
}

// begins tells whether a comment may begin at i.
func (s *statements) begins(i int) bool {
	return i == 0 || strings.IndexByte(" \t\n\r;{}", s.text[i-1]) >= 0
}

// closing returns where the quote that s begins with ends.
func closing(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i
		}
	}
	return -1
}

// mark ends a statement or begins or ends a block.
func (s *statements) mark(c byte) bool {
	words, around := squeeze(s.words.String()), blocks(s.block).path()
	s.words.Reset()
	switch c {
	case ';':
		s.say(around, words)
	case '{':
		if len(s.block) == maxDepth {
			return false
		}
		s.say(around, words)
		if around != "" {
			words = around + s.glue + words
		}
		s.block = append(s.block, clip(words))
	case '}':
		if len(s.block) == 0 || words != "" {
			return false
		}
		s.block = s.block[:len(s.block)-1]
	}
	return true
}
