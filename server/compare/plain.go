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
var unlikely = map[string]float64{"apt/auto/": 0.6, "port/": 0.9, "user/": 0.9, "group/": 0.9, "fs/": 0.95, "id/": 0.95, "ssh/": 0.7}

// plain turns any section without rules of its own into attributes.
func (t *table) plain(s *section) {
	for _, path := range s.paths() {
		c := s.cols[path]
		if c.constant || slices.ContainsFunc(skipped, func(p string) bool { return strings.HasPrefix(path, p) }) {
			continue
		}
		switch s.name {
		case "ssh":
			t.presence(s, c, "")
		case "conffile":
			t.conffile(s, c)
		case "user", "fs":
			t.words(s, c)
		default:
			t.settings(s, c)
		}
	}
}

// settings adds presence and each value of a column.
func (t *table) settings(s *section, c *column) {
	t.presence(s, c, "")
	vs, _ := s.values(c)
	if len(vs) < 2 {
		return
	}
	for _, v := range vs {
		a := t.setting(s, c)
		a.member = v.who
		a.yes, a.no = c.path+" is "+quote(v.text), c.path+" is not "+quote(v.text)
		a.holds = sameValue(v.text)
		t.add(a)
	}
}

func (t *table) setting(s *section, c *column) *attr {
	a := &attr{kind: Setting, object: "fact:" + c.path, ids: []string{"fact:" + c.path}, path: c.path, known: s.known}
	for prefix, prior := range unlikely {
		if strings.HasPrefix(c.path, prefix) {
			a.prior = prior
		}
	}
	return a
}

func (t *table) presence(s *section, c *column, what string) {
	vs, present := s.values(c)
	a := t.setting(s, c)
	a.member = present
	if what == "" {
		what = c.path
	}
	a.yes, a.no = what+" is there", what+" is not there"
	if len(vs) == 1 && s.name != "ssh" {
		a.yes = fmt.Sprintf("%s is %s", what, quote(vs[0].text))
	}
	a.holds = func(_ int, p Past) bool { return p.Present }
	t.add(a)
}

// words compares a row of words word by word, each after masking: accounts and
// mounts. The day of the last password change is no setting.
func (t *table) words(s *section, c *column) {
	t.presence(s, c, "")
	vs, _ := s.values(c)
	g := t.gather(s)
	for _, v := range vs {
		for word := range strings.FieldsSeq(v.text) {
			if strings.HasPrefix(word, "changed=") {
				continue
			}
			for part := range strings.SplitSeq(t.reader.generic(word), ",") {
				g.see(part, v.who, func() *attr {
					a := t.setting(s, c)
					a.yes, a.no = c.path+" has "+quote(part), c.path+" without "+quote(part)
					a.holds = func(_ int, p Past) bool { return p.Present && strings.Contains(p.Value, part) }
					return a
				})
			}
		}
	}
	g.done()
}

// conffile adds package files that are missing or obsolete. That one is modified
// says nothing here: its content is compared.
func (t *table) conffile(s *section, c *column) {
	name := strings.TrimPrefix(c.path, "conffile/")
	vs, _ := s.values(c)
	g := t.gather(s)
	for _, v := range vs {
		word, _, _ := strings.Cut(v.text, " ")
		if word == "modified" {
			continue
		}
		g.see(word, v.who, func() *attr {
			return &attr{
				kind: File, object: "file:" + name, ids: []string{"file:" + name}, path: c.path,
				yes: "/" + name + " is " + word + " against its package", no: "/" + name + " is not " + word + " against its package",
				holds: func(_ int, p Past) bool { return p.Present && strings.HasPrefix(p.Value, word) },
			}
		})
	}
	g.done()
}

// notes says which sections some machines have not reported.
func (t *table) notes() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(t.unread)) {
		if n := t.unread[name]; n < len(t.f.machines) {
			out = append(out, fmt.Sprintf("%d machines report nothing of section %s: they count as unknown there", n, name))
		}
	}
	return append(out, t.reader.notes()...)
}
