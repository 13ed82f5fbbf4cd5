package compare

import (
	"context"
	"fmt"
	"strings"

	"rollcall/internal/fact"
)

// variant is one value of a file's fact, parsed, and who has it.
type variant struct {
	fact.File
	who set
}

// files turns the etc section into attributes: presence, kind, mode, owner,
// group, link target, and the meaning of the content line by line.
func (t *table) files(ctx context.Context, s *section) {
	for _, path := range s.paths() {
		if ctx.Err() != nil {
			return // observe says so
		}
		if c := s.cols[path]; !c.constant {
			t.file(s, c)
		}
	}
}

func (t *table) file(s *section, c *column) {
	vs, present := s.values(c)
	shown := "/" + c.path
	base := attr{kind: File, object: "file:" + c.path, ids: []string{"file:" + c.path}, path: c.path, known: s.known, prior: filePrior(c.path)}
	a := base
	a.member, a.yes, a.no = present, shown+" is there", shown+" is missing"
	a.holds = func(_ int, p Past) bool { return p.Present }
	t.add(&a)

	var variants []variant
	for _, v := range vs {
		f, err := fact.ParseFile(v.text)
		if err != nil { // not ours: compare it as it stands
			b := base
			b.member, b.yes, b.no, b.holds = v.who, shown+" is "+quote(v.text), shown+" is not "+quote(v.text), sameValue(v.text)
			t.add(&b)
			continue
		}
		variants = append(variants, variant{f, v.who})
	}
	t.attributes(base, shown, variants)
	if !secretByNature(c.path) {
		t.content(base, shown, variants)
	}
}

// aspects of a file that are compared as they are.
var aspects = []struct {
	words string
	of    func(fact.File) string
}{
	{"a", func(f fact.File) string { return kindWord(f.Kind) }},
	{"mode", func(f fact.File) string {
		if f.Kind == fact.KindLink {
			return ""
		}
		return fmt.Sprintf("%04o", fact.UnixMode(f.Mode))
	}},
	{"owner", func(f fact.File) string { return f.Owner }},
	{"group", func(f fact.File) string { return f.Group }},
	{"a link to", func(f fact.File) string { return fact.Escape(f.Target) }},
}

func kindWord(k fact.Kind) string {
	switch k {
	case fact.KindDir:
		return "folder"
	case fact.KindLink:
		return "link"
	case fact.KindOther:
		return "special file"
	}
	return "plain file"
}

func (t *table) attributes(base attr, shown string, variants []variant) {
	for n, aspect := range aspects {
		who := map[string]set{}
		for _, v := range variants {
			if x := aspect.of(v.File); x != "" {
				if who[x] == nil {
					who[x] = v.who.blank()
				}
				who[x] = who[x].or(v.who)
			}
		}
		if len(who) < 2 && aspect.words != "a link to" {
			continue
		}
		for x, members := range who {
			a := base
			a.member, a.detail = members, n > 0
			verb, without := " is ", " is not "
			if aspect.words == "mode" || aspect.words == "owner" || aspect.words == "group" {
				verb, without = " has ", " does not have "
			}
			a.yes, a.no = shown+verb+aspect.words+" "+x, shown+without+aspect.words+" "+x
			a.holds = func(_ int, p Past) bool {
				f, err := fact.ParseFile(p.Value)
				return p.Present && err == nil && aspect.of(f) == x
			}
			t.add(&a)
		}
	}
}

// content compares what the variants of a file say. Only plain files are read:
// of sealed and keyed ones, presence is all that may be compared.
func (t *table) content(base attr, shown string, variants []variant) {
	byDigest := map[fact.Digest]set{}
	for _, v := range variants {
		if v.Kind == fact.KindPlain || v.Kind == fact.KindTooBig {
			if byDigest[v.Digest] == nil {
				byDigest[v.Digest] = v.who.blank()
			}
			byDigest[v.Digest] = byDigest[v.Digest].or(v.who)
		}
	}
	if len(byDigest) == 0 || len(byDigest) == 1 && len(variants) == 1 {
		return
	}
	items := map[string]*mention{}
	for digest, who := range byDigest {
		for _, it := range t.reader.items(base.path, digest, t.reader.masker(who)) {
			m := items[it.text]
			if m == nil {
				m = &mention{item: it, who: who.blank()}
				items[it.text] = m
			}
			if it.shown != "" && (m.shown == "" || it.shown < m.shown) {
				m.shown = it.shown // written in several ways: the same one every time
			}
			m.who = m.who.or(who)
		}
	}
	for _, m := range items {
		t.line(base, shown, m)
	}
}

// mention is an item and the machines whose file says it.
type mention struct {
	item
	who set
}

func (t *table) line(base attr, shown string, m *mention) {
	if m.raw && m.who.count() < 2 {
		return // a value of that machine alone; its masked twin is compared
	}
	a := base
	a.member = m.who
	a.yes, a.no = m.words(shown)
	a.prior *= m.prior()
	a.holds = func(machine int, p Past) bool { return p.Present && t.reader.says(base.path, p.Value, machine, m.text) }
	t.add(&a)
}

// filePrior says how likely a file matters, from its name alone.
func filePrior(path string) float64 {
	name := path[strings.LastIndexByte(path, '/')+1:]
	for _, end := range []string{"~", ".dpkg-old", ".dpkg-dist", ".dpkg-new", ".dpkg-bak", ".dpkg-tmp", ".ucf-old", ".ucf-dist", ".ucf-new", ".bak", ".old", ".orig", ".save", ".swp", ".rej", ".tmp", ".O", "-"} {
		if strings.HasSuffix(name, end) {
			return 0.5 // leftovers: no program reads them
		}
	}
	switch {
	case name == "motd", strings.HasPrefix(name, "issue"), name == "adjtime", name == "popularity-contest.conf",
		name == "subscriptions.conf", name == "ld.so.cache", name == "mailcap":
		return 0.6
	case strings.HasPrefix(path, "etc/ssl/certs/"), strings.HasPrefix(path, "etc/alternatives/"), strings.HasPrefix(path, "etc/rc"):
		return 0.9
	}
	return 1
}

// secretByNature tells of files that are different on every machine and say
// nothing but who it is.
func secretByNature(path string) bool {
	return strings.HasPrefix(path, "etc/ssh/ssh_host_") || path == "etc/machine-id" || path == "etc/hostname" ||
		strings.HasSuffix(path, ".pub") || strings.HasSuffix(path, ".keytab")
}
