package compare

import (
	"slices"
	"strings"

	"rollcall/internal/fact"
)

// deb is what the columns of one package say.
type deb struct{ version, source, state *column }

// packages turns the pkg section into attributes: installed or not, version
// thresholds in dpkg's order, and dpkg states other than "installed".
func (t *table) packages(s *section) {
	debs := map[string]*deb{}
	var names []string
	for _, path := range s.paths() {
		rest := strings.TrimPrefix(path, "pkg/")
		i := strings.LastIndexByte(rest, '/')
		if i < 0 {
			continue
		}
		d := debs[rest[:i]]
		if d == nil {
			d = &deb{}
			debs[rest[:i]] = d
			names = append(names, rest[:i])
		}
		switch rest[i+1:] {
		case "version":
			d.version = s.cols[path]
		case "source":
			d.source = s.cols[path]
		case "state":
			d.state = s.cols[path]
		}
	}
	for _, name := range names {
		t.deb(s, name, debs[name])
	}
}

func (t *table) deb(s *section, name string, d *deb) {
	plain, _, _ := strings.Cut(name, ":") // without a foreign architecture
	source := plain
	if d.source != nil {
		source = d.source.all()[0].value
	}
	base := attr{kind: Package, object: "src:" + source, ids: []string{"pkg:" + plain, "src:" + source}, known: s.known}
	if d.version != nil && !d.version.constant {
		t.versions(s, name, d.version, base)
	}
	if d.state != nil && !d.state.constant {
		t.states(s, name, d.state, base)
	}
}

func (t *table) versions(s *section, name string, c *column, base attr) {
	vs, present := s.values(c)
	base.path = c.path
	a := base
	a.member, a.yes, a.no = present, name+" installed", name+" not installed"
	if v := commonest(vs); v != "" {
		a.yes += " (" + v + ")"
	}
	a.holds = func(_ int, p Past) bool { return p.Present }
	t.add(&a)

	slices.SortFunc(vs, func(a, b value) int { return fact.CompareVersions(a.text, b.text) })
	everywhere := present.equal(s.known)
	older := s.known.blank()
	for i := 1; i < len(vs); i++ {
		older = older.or(vs[i-1].who)
		t.threshold(name, vs[i-1].text, vs[i].text, older, present, everywhere, base)
		if i+1 < len(vs) {
			t.exactly(name, vs[i], base)
		}
	}
}

// threshold adds "below or older", and "above or newer" where that is not merely
// its opposite because some machines do not have the package.
func (t *table) threshold(name, below, above string, older, present set, everywhere bool, base attr) {
	a := base
	a.member = older
	a.yes, a.no = name+" "+below+" or older", name+" "+above+" or newer"
	if !everywhere {
		a.no += " or not installed"
	}
	a.holds = func(_ int, p Past) bool { return p.Present && fact.CompareVersions(p.Value, above) < 0 }
	t.add(&a)
	if everywhere {
		return
	}
	b := base
	b.member = present.minus(older)
	b.yes, b.no = name+" "+above+" or newer", name+" "+below+" or older, or not installed"
	b.holds = func(_ int, p Past) bool { return p.Present && fact.CompareVersions(p.Value, above) >= 0 }
	t.add(&b)
}

func (t *table) exactly(name string, v value, base attr) {
	a := base
	a.member, a.prior = v.who, 0.95
	a.yes, a.no = name+" exactly "+v.text, name+" other than "+v.text
	a.holds = func(_ int, p Past) bool { return p.Present && p.Value == v.text }
	t.add(&a)
}

func (t *table) states(s *section, name string, c *column, base attr) {
	vs, _ := s.values(c)
	for _, v := range vs {
		a := base
		a.path, a.member = c.path, v.who
		a.yes, a.no = name+" in dpkg state "+quote(v.text), name+" not in dpkg state "+quote(v.text)
		if strings.HasSuffix(v.text, " config-files") {
			a.prior = 0.85 // removed, only its configuration is left
			a.yes, a.no = name+" removed, its configuration left behind", name+" installed or purged"
		}
		a.holds = func(_ int, p Past) bool { return p.Present && p.Value == v.text }
		t.add(&a)
	}
}

// commonest returns the value that most machines have.
func commonest(vs []value) string {
	best, text := 0, ""
	for _, v := range vs {
		if n := v.who.count(); n > best {
			best, text = n, v.text
		}
	}
	return text
}

// quote puts text that comes from a machine, and is made inert, in the marks
// that rows use.
func quote(s string) string {
	const limit = 200
	s = strings.ReplaceAll(fact.Escape(s), "%25", "%")
	if len(s) > limit {
		cut := limit
		for cut > 0 && s[cut]&0xc0 == 0x80 {
			cut--
		}
		s = s[:cut] + "…"
	}
	return "`" + s + "`"
}
