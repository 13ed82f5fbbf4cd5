package compare

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"rollcall/internal/fact"
)

// variant is one value of a file's fact, parsed, and who has it.
type variant struct {
	fact.File
	Value
}

// files turns the etc section into attributes: presence, kind, mode, owner,
// group, link target, and the meaning of the content line by line.
func (t *table) files(ctx context.Context, s *section) {
	for i := range s.Columns {
		if c := &s.Columns[i]; !c.Constant && ctx.Err() == nil { // observe says so
			t.topic(func() { t.file(s, c) })
		}
	}
	slices.SortStableFunc(t.contents, func(a, b *contents) int { return cmp.Compare(b.hope, a.hope) })
	left := mostContents
	for _, c := range t.contents {
		if left -= len(c.by); left < 0 {
			c.shut = true
			t.shut++
		}
		if ctx.Err() == nil {
			t.topic(func() { t.lines(c) })
		}
	}
}

// mostContents is how many contents are read of a large field: those of the files
// that could set the groups apart best.
const mostContents = 400

// contents are those of one file.
type contents struct {
	s    *section
	path string
	by   []variant
	hope float64 // evidence, if the lines of the file were as they would set the groups apart best
	shut bool    // they are compared as a whole
}

// about makes an attribute of a file.
func about(path string, words func() (yes, no string), holds func(int, Past) bool) attr {
	return attr{kind: File, object: thing{"file:", path}, path: path, words: words, holds: holds}
}

func (t *table) file(s *section, c *Column) {
	path, prior := c.Path, filePrior(c.Path)
	t.add(c.Present, s.known, prior, func() attr {
		there := func() (yes, no string) { return "/" + path + " is there", "/" + path + " is missing" }
		return about(path, there, func(_ int, p Past) bool { return p.Present })
	})
	s, c = t.inside(s, c)
	if c == nil {
		return
	}
	var variants []variant
	for _, v := range c.Values {
		v = t.outline(path, v)
		f, err := fact.ParseFile(v.Text)
		if err != nil { // not ours: compare it as it stands
			t.add(v.Crowd, s.known, prior, func() attr {
				return about(path, words("/"+path+" is "+quote(v.Text), "/"+path+" is not "+quote(v.Text)), sameValue(v.Text))
			})
			continue
		}
		variants = append(variants, variant{f, v})
	}
	t.attributes(s, path, variants)
	if !t.telling && !secretByNature(path) {
		t.content(s, path, variants)
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

// sameAspects tells whether files differ in what they say alone.
func sameAspects(variants []variant) bool {
	for i := range variants {
		a, b := &variants[0].File, &variants[i].File
		if b.Kind == fact.KindLink || a.Kind != b.Kind || a.Mode != b.Mode || a.Owner != b.Owner || a.Group != b.Group || a.Target != b.Target {
			return false
		}
	}
	return true
}

func (t *table) attributes(s *section, path string, variants []variant) {
	if sameAspects(variants) {
		return
	}
	for n, aspect := range aspects {
		who := crowds[string]{}
		for _, v := range variants {
			if x := aspect.of(v.File); x != "" {
				who.join(x, v.Crowd)
			}
		}
		if len(who) < 2 && aspect.words != "a link to" {
			continue
		}
		for x, members := range who {
			t.add(*members, s.known, filePrior(path), func() attr {
				verb, without := " is ", " is not "
				if aspect.words == "mode" || aspect.words == "owner" || aspect.words == "group" {
					verb, without = " has ", " does not have "
				}
				is := func() (yes, no string) {
					return "/" + path + verb + aspect.words + " " + x, "/" + path + without + aspect.words + " " + x
				}
				a := about(path, is, func(_ int, p Past) bool {
					f, err := fact.ParseFile(p.Value)
					return p.Present && err == nil && aspect.of(f) == x
				})
				a.detail = n > 0
				return a
			})
		}
	}
}

// content notes that what the variants of a file say is to be compared. Only plain
// files are read: of sealed and keyed ones, presence is all that may be compared.
func (t *table) content(s *section, path string, variants []variant) {
	var plain []variant
	for _, v := range variants {
		if v.Kind == fact.KindPlain || v.Kind == fact.KindTooBig {
			plain = append(plain, v)
		}
	}
	if len(plain) == 0 || len(variants) == 1 || !slices.ContainsFunc(plain, func(v variant) bool { return v.Partial || v.Digest != plain[0].Digest }) && len(plain) == len(variants) {
		return
	}
	c := &contents{s: s, path: path, by: plain}
	if t.f.large {
		values := make([]Tally, len(plain))
		for i, v := range plain {
			values[i] = v.Tally
		}
		if c.hope = t.f.bestUnion(values, s.known.Tally); c.hope <= 0 {
			return // whatever it says
		}
	}
	t.contents = append(t.contents, c)
}

// part is a value in bestUnion.
type part struct {
	Tally
	share float64
}

// bestUnion is the most evidence that any union of values can have, or its opposite:
// the best one has those with the largest share of broken machines, or lacks those
// with the smallest.
func (f *field) bestUnion(values []Tally, known Tally) float64 {
	all := slices.Grow(f.parts[:0], len(values))[:len(values)]
	f.parts = all
	var present Tally
	for i, v := range values {
		all[i] = part{v, float64(v.Broken) / max(1e-9, float64(v.Broken)+f.counted(v))}
		present = present.Plus(v)
	}
	slices.SortFunc(all, func(a, b part) int { return cmp.Or(cmp.Compare(b.share, a.share), cmp.Compare(a.Sum, b.Sum)) })
	best, without := math.Inf(-1), known.minus(present)
	for _, from := range []Tally{{}, without} {
		for _, c := range all {
			if from.count() > 0 {
				best = max(best, f.atMost(from, known))
			}
			from = from.Plus(c.Tally)
		}
		best = max(best, f.atMost(from, known))
		if without.count() == 0 {
			break
		}
	}
	return best
}

// lines compares what the contents of a file say.
func (t *table) lines(c *contents) {
	by := crowds[fact.Digest]{}
	var who Tally
	for _, v := range c.by {
		f := v.File
		if v.Partial && c.shut {
			continue // of one set alone: as a whole it is like no other
		}
		if v.Partial {
			var err error
			if f, err = fact.ParseFile(t.text(c.path, v.Value)); err != nil {
				continue // it is gone since
			}
		}
		by.join(f.Digest, v.Crowd)
		who = who.Plus(v.Tally)
	}
	said := &sayings{number: map[string]int32{}}
	for digest, who := range by {
		items := unread(digest).items
		if !c.shut {
			items = t.reader.items(c.path, digest, t.reader.masker(*who, c.s.known))
		}
		said.add(items, *who)
	}
	for _, m := range said.mentions(who.Sum == c.s.known.Sum) {
		t.line(c.s, c.path, m)
	}
}

// mention is an item and the machines whose file says it.
type mention struct {
	item
	who  Crowd
	in   int32 // so many contents
	last int32 // of which this one came last, + 1
}

// sayings are the items of several contents.
type sayings struct {
	number map[string]int32
	all    []mention
	whose  []Crowd // of each content
	said   []int32 // numbers of the items of the contents, one content after the other
	ends   []int   // of each content
}

// add adds what one content says.
func (s *sayings) add(items []item, who Crowd) {
	s.whose = append(s.whose, who)
	for _, it := range items {
		n, ok := s.number[it.text]
		if !ok {
			n = int32(len(s.all))
			s.number[it.text] = n
			s.all = append(s.all, mention{item: it})
		}
		m := &s.all[n]
		if it.shown != "" && (m.shown == "" || it.shown < m.shown) {
			m.shown = it.shown // written in several ways: the same one every time
		}
		if m.last != int32(len(s.whose)) {
			m.last = int32(len(s.whose))
			m.in++
			s.said = append(s.said, n)
		}
	}
	s.ends = append(s.ends, len(s.said))
}

// mentions gives the items with who says them, but, if everybody has one of the
// contents, for those that all say.
func (s *sayings) mentions(everybody bool) (out []*mention) {
	from := 0
	for i, to := range s.ends {
		for _, n := range s.said[from:to] {
			m := &s.all[n]
			if everybody && int(m.in) == len(s.whose) {
				continue
			}
			if len(m.who.Of) == 0 {
				out = append(out, m)
			}
			m.who.join(s.whose[i])
		}
		from = to
	}
	return out
}

func (t *table) line(s *section, path string, m *mention) {
	if m.raw && m.who.count() < 2 {
		return // a value of that machine alone; its masked twin is compared
	}
	t.add(m.who, s.known, filePrior(path)*m.prior(), func() attr {
		return about(path, func() (yes, no string) { return m.words("/" + path) }, func(machine int, p Past) bool { return p.Present && t.reader.says(path, p.Value, machine, m.text) })
	})
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
