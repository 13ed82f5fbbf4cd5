package compare

import "strings"

// readYAML reads the plain YAML that people write into /etc (netplan, salt,
// compose files) as a path and a value each: blocks by their indentation, lists,
// quoted and folded values. Anything else (tags that make types, aliases that
// multiply, templates) is no YAML for it, and the file is taken line by line. Like
// that of XML it is a reader of its own because the server has none in it that
// follows a document's own declarations.
func readYAML(w *writer, content string) bool {
	y := &yamlReader{w: w, lines: strings.Split(strings.TrimPrefix(content, "\ufeff"), "\n"), lists: map[string][]int32{}}
	for y.at < len(y.lines) {
		line := strings.TrimRight(y.lines[y.at], " \t\r")
		y.at++
		if !y.line(line) {
			return false
		}
	}
	y.pop(-1, false)
	for _, path := range y.listed {
		w.inOrder(y.lists[path])
	}
	return true
}

// maxFlow is the most lines of one value in brackets or quotes.
const maxFlow = 200

type yamlReader struct {
	w      *writer
	lines  []string
	at     int // the next line
	parts  int // documents before this one
	open   []yamlBlock
	lists  map[string][]int32
	listed []string
}

// yamlBlock is a key or an entry of a list that others stand in.
type yamlBlock struct {
	indent int
	path   string
	entry  bool // of a list
	count  int  // entries of its own list
	filled bool
}

func (y *yamlReader) line(line string) bool {
	rest := strings.TrimLeft(line, " ")
	switch {
	case strings.TrimSpace(uncomment(rest)) == "", strings.HasPrefix(line, "%YAML "), line == "...":
		return true
	case line == "---" || strings.HasPrefix(line, "--- #"):
		y.pop(-1, false)
		if len(y.w.items) > 0 {
			y.parts++
		}
		return true
	case rest[0] == '\t':
		return false
	}
	return y.say(len(line)-len(rest), strings.TrimSpace(uncomment(rest)), 0)
}

// say reads what stands at an indentation: an entry of a list or a key.
func (y *yamlReader) say(indent int, text string, depth int) bool {
	if depth > maxDepth || len(y.open) > maxDepth {
		return false
	}
	if text == "-" || strings.HasPrefix(text, "- ") {
		y.pop(indent, true)
		return y.entry(indent, text, depth)
	}
	key, value, ok := yamlKey(text)
	if !ok {
		return false
	}
	y.pop(indent, false)
	path := member(y.parent(), key)
	y.fill()
	switch {
	case value == "":
		y.open = append(y.open, yamlBlock{indent: indent, path: path})
		return true
	case value[0] == '|' || value[0] == '>':
		y.w.say(path + " = " + value + " " + y.folded(indent))
		return true
	}
	if value, ok = y.complete(value); !ok {
		return false
	}
	y.value(path, value)
	return true
}

func (y *yamlReader) entry(indent int, text string, depth int) bool {
	parent, n := y.parent(), 0
	if len(y.open) > 0 {
		top := &y.open[len(y.open)-1]
		n = top.count
		top.count++
	}
	y.fill()
	inner := strings.TrimLeft(text[1:], " ")
	path := clip(parent + "[" + number(n) + "]")
	if _, _, ok := yamlKey(inner); ok || inner == "" || inner == "-" || strings.HasPrefix(inner, "- ") {
		y.open = append(y.open, yamlBlock{indent: indent, path: path, entry: true})
		return inner == "" || y.say(indent+len(text)-len(inner), inner, depth+1)
	}
	if inner[0] == '|' || inner[0] == '>' {
		y.w.say(path + " = " + inner + " " + y.folded(indent))
		return true
	}
	inner, ok := y.complete(inner)
	if !ok {
		return false
	}
	y.listValue(parent, inner)
	return true
}

// value adds a value; a list in brackets is one like any other.
func (y *yamlReader) value(path, value string) {
	inside, ok := strings.CutPrefix(value, "[")
	inside, closed := strings.CutSuffix(inside, "]")
	if !ok || !closed || strings.TrimSpace(inside) == "" || strings.ContainsAny(inside, "[]{}\"'") || strings.Contains(inside, ": ") {
		y.w.say(path + " = " + squeeze(unquote(value)))
		return
	}
	for part := range strings.SplitSeq(inside, ",") {
		y.listValue(path, strings.TrimSpace(part))
	}
}

func (y *yamlReader) listValue(path, value string) {
	if y.lists[path] == nil {
		y.listed = append(y.listed, path)
	}
	y.lists[path] = append(y.lists[path], y.w.say(path+"[] = "+squeeze(unquote(value))))
}

// complete adds the lines that a value in brackets or quotes goes on for. What
// brings its own types, or refers to elsewhere, is refused.
func (y *yamlReader) complete(value string) (string, bool) {
	if strings.IndexByte("&*!@`%", value[0]) >= 0 {
		return "", false
	}
	for n := 0; strings.IndexByte("[{\"'", value[0]) >= 0 && !balanced(value); n++ {
		if y.at == len(y.lines) || n == maxFlow {
			return "", false
		}
		value += " " + strings.TrimSpace(uncomment(y.lines[y.at]))
		y.at++
	}
	return value, true
}

// balanced tells whether quotes and brackets of a value are closed.
func balanced(s string) bool {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"', '\'':
			end := closing(s[i:])
			if end < 0 {
				return false
			}
			i += end
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		}
	}
	return depth <= 0
}

// folded takes the lines that stand deeper than a key.
func (y *yamlReader) folded(indent int) string {
	var b strings.Builder
	for ; y.at < len(y.lines); y.at++ {
		line := strings.TrimRight(y.lines[y.at], " \t\r")
		if rest := strings.TrimLeft(line, " "); rest != "" && len(line)-len(rest) <= indent {
			break
		}
		b.WriteString(strings.TrimSpace(line) + " ⏎ ")
	}
	return strings.TrimSuffix(strings.TrimRight(b.String(), " ⏎"), " ")
}

// yamlKey splits "key: value" and "key:".
func yamlKey(text string) (key, value string, ok bool) {
	if text == "" {
		return "", "", false
	}
	if text[0] == '"' || text[0] == '\'' {
		end := closing(text)
		if end < 0 {
			return "", "", false
		}
		rest := strings.TrimLeft(text[end+1:], " ")
		if value, ok = strings.CutPrefix(rest, ":"); !ok || value != "" && value[0] != ' ' {
			return "", "", false
		}
		return text[1:end], strings.TrimSpace(value), true
	}
	if strings.IndexByte("[{&*!|>%@`?", text[0]) >= 0 {
		return "", "", false
	}
	if key, value, ok = strings.Cut(text, ": "); ok {
		return strings.TrimSpace(key), strings.TrimSpace(value), key != ""
	}
	key, ok = strings.CutSuffix(text, ":")
	return strings.TrimSpace(key), "", ok && key != ""
}

// parent is the path of what is open.
func (y *yamlReader) parent() string {
	if n := len(y.open); n > 0 {
		return y.open[n-1].path
	}
	if y.parts > 0 {
		return "document " + number(y.parts)
	}
	return ""
}

func (y *yamlReader) fill() {
	if n := len(y.open); n > 0 {
		y.open[n-1].filled = true
	}
}

// pop ends what stands as deep as indent or deeper. A list may stand as deep as
// its key.
func (y *yamlReader) pop(indent int, list bool) {
	for n := len(y.open); n > 0; n = len(y.open) {
		top := y.open[n-1]
		if top.indent < indent || top.indent == indent && list && !top.entry {
			return
		}
		if !top.filled {
			y.w.say(top.path + " =")
		}
		y.open = y.open[:n-1]
	}
}
