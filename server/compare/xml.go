package compare

import (
	"slices"
	"strings"
)

// readXML reads XML as the path of each element, with its attributes, and its
// text. It is a scanner of its own: the server has no decoder in it that follows a
// document's own declarations (a promise of docs/security.md), and none is needed to
// tell documents apart. Entities stay as they are written; nothing is fetched.
func readXML(w *writer, content string) bool {
	x := &xmlReader{w: w, rest: strings.TrimPrefix(content, "\ufeff")}
	for x.rest != "" {
		if !x.next() {
			return false
		}
	}
	return len(x.open) == 0 && x.rooted
}

type xmlReader struct {
	w      *writer
	rest   string
	open   []element
	rooted bool
}

type element struct {
	name, path string
	filled     bool // something was said of what it holds
}

// next reads text up to a mark, and the mark.
func (x *xmlReader) next() bool {
	text, rest, found := strings.Cut(x.rest, "<")
	if !x.text(text) {
		return false
	}
	x.rest = rest
	switch {
	case !found:
		return true
	case strings.HasPrefix(rest, "!--"):
		_, ok := x.until("!--", "-->")
		return ok
	case strings.HasPrefix(rest, "![CDATA["):
		text, ok := x.until("![CDATA[", "]]>")
		return ok && x.text(text)
	case strings.HasPrefix(rest, "?"):
		text, ok := x.until("?", "?>")
		if ok && !strings.HasPrefix(text, "xml ") {
			x.w.say("<?" + squeeze(text) + "?>")
		}
		return ok
	case strings.HasPrefix(rest, "!"):
		return x.declaration()
	case strings.HasPrefix(rest, "/"):
		name, ok := x.until("/", ">")
		return ok && x.close(strings.TrimSpace(name))
	}
	return x.tag()
}

// until takes what stands between two marks.
func (x *xmlReader) until(begin, end string) (string, bool) {
	text, rest, ok := strings.Cut(x.rest[len(begin):], end)
	x.rest = rest
	return text, ok
}

// text adds what an element says between its marks.
func (x *xmlReader) text(s string) bool {
	if s = squeeze(s); s == "" {
		return true
	}
	if len(x.open) == 0 {
		return false
	}
	e := &x.open[len(x.open)-1]
	e.filled = true
	x.w.say(e.path + " = " + s)
	return true
}

// declaration takes <!DOCTYPE …> as it stands, with brackets in it.
func (x *xmlReader) declaration() bool {
	depth := 0
	for i := range len(x.rest) {
		switch x.rest[i] {
		case '[':
			depth++
		case ']':
			depth--
		case '>':
			if depth <= 0 {
				x.w.say("<" + squeeze(x.rest[:i]) + ">")
				x.rest = x.rest[i+1:]
				return true
			}
		}
	}
	return false
}

func (x *xmlReader) close(name string) bool {
	if len(x.open) == 0 || x.open[len(x.open)-1].name != name {
		return false
	}
	e := x.open[len(x.open)-1]
	x.open = x.open[:len(x.open)-1]
	if !e.filled {
		x.w.say(e.path)
	}
	return true
}

// tag reads "name a='b' c=\"d\"> or "/>".
func (x *xmlReader) tag() bool {
	end := tagEnd(x.rest)
	if end < 0 || len(x.open) == maxDepth || x.rooted && len(x.open) == 0 {
		return false
	}
	inside, closed := strings.CutSuffix(x.rest[:end], "/")
	x.rest = x.rest[end+1:]
	name, attributes := inside, ""
	if i := strings.IndexAny(inside, " \t\r\n"); i >= 0 {
		name, attributes = inside[:i], inside[i:]
	}
	if name == "" {
		return false
	}
	label, ok := labelOf(name, attributes)
	if !ok {
		return false
	}
	path := label
	if n := len(x.open); n > 0 {
		x.open[n-1].filled = true
		path = within(x.open[n-1].path, label)
	}
	x.rooted = true
	x.open = append(x.open, element{name: name, path: path})
	return !closed || x.close(name)
}

// tagEnd returns where a tag's ">" stands, outside of quotes.
func tagEnd(s string) int {
	quoted := byte(0)
	for i := range len(s) {
		switch c := s[i]; {
		case quoted != 0:
			if c == quoted {
				quoted = 0
			}
		case c == '"' || c == '\'':
			quoted = c
		case c == '>':
			return i
		}
	}
	return -1
}

// labelOf names an element with its attributes, whose order means nothing.
func labelOf(name, attributes string) (string, bool) {
	var pairs []string
	for attributes = strings.TrimSpace(attributes); attributes != ""; attributes = strings.TrimSpace(attributes) {
		key, rest, ok := strings.Cut(attributes, "=")
		rest = strings.TrimLeft(rest, " \t\r\n")
		if !ok || rest == "" || rest[0] != '"' && rest[0] != '\'' {
			return "", false
		}
		value, rest, ok := strings.Cut(rest[1:], rest[:1])
		if !ok {
			return "", false
		}
		pairs = append(pairs, strings.TrimSpace(key)+`="`+squeeze(value)+`"`)
		attributes = rest
	}
	slices.Sort(pairs)
	return clip(strings.Join(append([]string{name}, pairs...), " ")), true
}
