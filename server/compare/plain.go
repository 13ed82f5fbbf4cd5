package compare

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// skipped are facts that differ on every machine by nature, that repeat another
// fact, or that only say when something was looked at.
var skipped = []string{
	"id/machine-id", "id/hostname", "id/uuid", "id/serial/", "id/tag", "apt/upgrade/", "apt/lists/", "apt/key/",
	"fs/size/", "fs/fstab/", "m/", "hw/serial", "printer/",
}

// priors of what rarely is a cause, by the beginning of the path.
var rarely = map[string]float64{"apt/auto/": 0.6, "port/": 0.9, "user/": 0.9, "group/": 0.9, "fs/": 0.95, "id/": 0.95, "ssh/": 0.7}

// unlikely gives the prior of a path.
func unlikely(path string) float64 {
	for prefix, prior := range rarely {
		if strings.HasPrefix(path, prefix) {
			return prior
		}
	}
	return 1
}

// plain turns any section without rules of its own into attributes.
func (t *table) plain(s *section) {
	for i := range s.Columns {
		c := &s.Columns[i]
		if c.Constant || slices.ContainsFunc(skipped, func(p string) bool { return strings.HasPrefix(c.Path, p) }) {
			continue
		}
		t.topic(func() {
			switch s.Name {
			case "ssh":
				t.presence(s, c)
			case "conffile":
				t.conffile(s, c)
			case "user", "fs":
				t.words(s, c)
			default:
				t.settings(s, c)
			}
		})
	}
}

// settings adds presence and each value of a column.
func (t *table) settings(s *section, c *Column) {
	t.presence(s, c)
	if len(c.Values) < 2 {
		return
	}
	for _, v := range c.Values {
		t.add(v.Crowd, s.known, unlikely(c.Path), func() attr {
			text := t.text(c.Path, v)
			is := func() (yes, no string) { return c.Path + " is " + quote(text), c.Path + " is not " + quote(text) }
			return setting(c.Path, is, sameValue(text))
		})
	}
}

// setting makes an attribute of a fact without a meaning of its own.
func setting(path string, words func() (yes, no string), holds func(int, Past) bool) attr {
	return attr{kind: Setting, object: thing{"fact:", path}, path: path, words: words, holds: holds}
}

func (t *table) presence(s *section, c *Column) {
	t.add(c.Present, s.known, unlikely(c.Path), func() attr {
		there := func() (yes, no string) {
			if yes, no = c.Path+" is there", c.Path+" is not there"; len(c.Values) == 1 && !c.Various && s.Name != "ssh" {
				yes = c.Path + " is " + quote(t.text(c.Path, c.Values[0]))
			}
			return yes, no
		}
		return setting(c.Path, there, func(_ int, p Past) bool { return p.Present })
	})
}

// words compares a row of words word by word, each after masking: accounts and
// mounts. The day of the last password change is no setting.
func (t *table) words(s *section, c *Column) {
	t.presence(s, c)
	if s, c = t.inside(s, c); c == nil {
		return
	}
	t.parts(s, c, func(text string, see func(part string)) {
		for word := range strings.FieldsSeq(text) {
			if strings.HasPrefix(word, "changed=") {
				continue
			}
			for part := range strings.SplitSeq(t.reader.generic(word), ",") {
				see(part)
			}
		}
	}, unlikely(c.Path), func(part string) attr {
		return setting(c.Path, words(c.Path+" has "+quote(part), c.Path+" without "+quote(part)), func(_ int, p Past) bool { return p.Present && strings.Contains(p.Value, part) })
	})
}

// parts adds an attribute for each part that values of a column have.
func (t *table) parts(s *section, c *Column, split func(text string, see func(part string)), prior float64, say func(part string) attr) {
	who := crowds[string]{}
	for _, v := range c.Values {
		seen := map[string]bool{}
		split(t.text(c.Path, v), func(part string) {
			if !seen[part] {
				seen[part] = true
				who.join(part, v.Crowd)
			}
		})
	}
	for part, members := range who {
		t.add(*members, s.known, prior, func() attr { return say(part) })
	}
}

// conffile adds package files that are missing or obsolete. That one is modified
// says nothing here: its content is compared.
func (t *table) conffile(s *section, c *Column) {
	name := strings.TrimPrefix(c.Path, "conffile/")
	t.parts(s, c, func(text string, see func(string)) {
		if word, _, _ := strings.Cut(text, " "); word != "modified" {
			see(word)
		}
	}, 1, func(word string) attr {
		is := words("/"+name+" is "+word+" against its package", "/"+name+" is not "+word+" against its package")
		a := about(name, is, func(_ int, p Past) bool { return p.Present && strings.HasPrefix(p.Value, word) })
		a.path = c.Path
		return a
	})
}

// notes says which sections some machines have not reported.
func (t *table) notes() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(t.unread)) {
		if n := t.unread[name]; n < len(t.f.places) {
			out = append(out, fmt.Sprintf("%d machines report nothing of section %s: they count as unknown there", n, name))
		}
	}
	if n := len(t.sampled); n > 0 {
		out = append(out, fmt.Sprintf("%d files and settings are different on very many machines: what they say was looked at on %d machines of both groups, and counts of it are of these", n, len(t.f.sample)))
	}
	if t.shut > 0 {
		out = append(out, fmt.Sprintf("too many files differ to read them all: %d of those that differ least between the groups are compared as a whole", t.shut))
	}
	return append(out, t.reader.notes()...)
}
