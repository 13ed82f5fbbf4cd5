package compare

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// readJSON reads JSON, also with comments and commas too many, as a path and a
// value each. Values of a list are named without their place, so that one more at
// the front is one difference; their order counts as a whole. Objects in a list
// are named with their place.
func readJSON(w *writer, content string) bool {
	content = strings.TrimPrefix(content, "\ufeff")
	r := jsonReader{w: w}
	if r.read(content) {
		return true
	}
	w.begin(syntax{})
	return r.read(plainJSON(content))
}

type jsonReader struct {
	w *writer
	d *json.Decoder
}

func (r *jsonReader) read(content string) bool {
	r.d = json.NewDecoder(strings.NewReader(content))
	r.d.UseNumber()
	if _, ok := r.value("", 0, false); !ok {
		return false
	}
	_, err := r.d.Token()
	return errors.Is(err, io.EOF)
}

// value reads one value at a path; n is its number if it is a plain one in a list.
func (r *jsonReader) value(path string, depth int, listed bool) (n int32, ok bool) {
	token, err := r.d.Token()
	if err != nil || depth > maxDepth {
		return 0, false
	}
	switch token {
	case json.Delim('{'):
		return -1, r.object(path, depth)
	case json.Delim('['):
		return -1, r.list(path, depth)
	case json.Delim('}'), json.Delim(']'):
		return 0, false
	}
	text, err := json.Marshal(token)
	if err != nil {
		return 0, false
	}
	if listed {
		path = path[:strings.LastIndexByte(path, '[')] + "[]"
	}
	return r.w.say(clip(path) + " = " + string(text)), true
}

func (r *jsonReader) object(path string, depth int) bool {
	empty := true
	for r.d.More() {
		key, err := r.d.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			return false
		}
		empty = false
		if _, ok := r.value(member(path, name), depth+1, false); !ok {
			return false
		}
	}
	if _, err := r.d.Token(); err != nil {
		return false
	}
	if empty {
		r.w.say(path + " = {}")
	}
	return true
}

func (r *jsonReader) list(path string, depth int) bool {
	var plain []int32
	count := 0
	for ; r.d.More(); count++ {
		n, ok := r.value(path+"["+number(count)+"]", depth+1, true)
		if !ok {
			return false
		}
		if n >= 0 {
			plain = append(plain, n)
		}
	}
	if _, err := r.d.Token(); err != nil {
		return false
	}
	if count == 0 {
		r.w.say(path + " = []")
	}
	r.w.inOrder(plain)
	return true
}

// member names what stands under a key.
func member(path, key string) string {
	if key == "" || strings.ContainsAny(key, ".[]= \"\n") {
		if text, err := json.Marshal(key); err == nil {
			key = string(text)
		}
	}
	if path != "" {
		key = path + "." + key
	}
	return clip(key)
}

// plainJSON takes comments away, and commas before a closing bracket.
func plainJSON(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		switch {
		case s[i] == '"':
			end := closing(s[i:])
			if end < 0 {
				end = len(s) - i - 1
			}
			b.WriteString(s[i : i+end+1])
			i += end + 1
		case strings.HasPrefix(s[i:], "//"), s[i] == '#':
			end := strings.IndexByte(s[i:], '\n')
			if end < 0 {
				return b.String()
			}
			i += end
		case strings.HasPrefix(s[i:], "/*"):
			end := strings.Index(s[i+2:], "*/")
			if end < 0 {
				return b.String()
			}
			i += end + 4
		case s[i] == ',' && closesNext(s[i+1:]):
			i++
		default:
			b.WriteByte(s[i])
			i++
		}
	}
	return b.String()
}

// closesNext tells whether only blanks stand before a closing bracket.
func closesNext(s string) bool {
	s = strings.TrimLeft(s[:min(len(s), 200)], " \t\r\n")
	return s != "" && (s[0] == '}' || s[0] == ']')
}
