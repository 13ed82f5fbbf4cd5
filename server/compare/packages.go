package compare

import (
	"slices"
	"strings"

	"rollcall/internal/fact"
)

// deb is what the columns of one package say.
type deb struct{ version, source, state *Column }

// packages turns the pkg section into attributes: installed or not, version
// thresholds in dpkg's order, and dpkg states other than "installed".
func (t *table) packages(s *section) {
	for from := 0; from < len(s.Columns); {
		slash := strings.LastIndexByte(s.Columns[from].Path, '/')
		folder, d, to := s.Columns[from].Path[:slash+1], deb{}, from
		for ; to < len(s.Columns) && strings.HasPrefix(s.Columns[to].Path, folder); to++ {
			switch c := &s.Columns[to]; c.Path[slash+1:] {
			case "version":
				d.version = c
			case "source":
				d.source = c
			case "state":
				d.state = c
			}
		}
		if from = to; len(folder) > len("pkg/") {
			t.topic(func() { t.deb(s, folder[len("pkg/"):slash], d) })
		}
	}
}

func (t *table) deb(s *section, name string, d deb) {
	base := func() attr {
		plain, _, _ := strings.Cut(name, ":") // without a foreign architecture
		source := plain
		if d.source != nil && len(d.source.Values) > 0 {
			source = d.source.Values[0].Text
		}
		return attr{kind: Package, object: thing{"src:", source}, id: thing{"pkg:", plain}}
	}
	if d.version != nil && !d.version.Constant {
		t.versions(s, name, d.version, base)
	}
	if d.state != nil && !d.state.Constant {
		t.states(s, name, d.state, base)
	}
}

func (t *table) versions(s *section, name string, c *Column, base func() attr) {
	t.add(c.Present, s.known, 1, func() attr {
		a := base()
		a.path, a.words = c.Path, func() (yes, no string) {
			if v := commonest(c.Values); v != "" {
				v = " (" + v + ")"
				return name + " installed" + v, name + " not installed"
			}
			return name + " installed", name + " not installed"
		}
		a.holds = func(_ int, p Past) bool { return p.Present }
		return a
	})
	s, c = t.inside(s, c)
	if c == nil || len(c.Values) < 2 {
		return
	}
	vs := c.Values
	byVersion := func(a, b Value) int { return fact.CompareVersions(a.Text, b.Text) }
	if !slices.IsSortedFunc(vs, byVersion) {
		vs = slices.Clone(vs)
		slices.SortFunc(vs, byVersion)
	}
	of := holders(vs)
	everywhere := c.Present.Sum == s.known.Sum
	var older Tally
	at := 0
	for i := 1; i < len(vs); i++ {
		older = older.Plus(vs[i-1].Tally)
		at += len(vs[i-1].Of)
		t.threshold(s, name, vs, i, Crowd{older, of[:at:at]}, Crowd{c.Present.minus(older), of[at:]}, everywhere, func() attr {
			a := base()
			a.path = c.Path
			return a
		})
		if i+1 < len(vs) {
			t.add(vs[i].Crowd, s.known, 0.95, func() attr {
				a := base()
				a.path, a.words, a.holds = c.Path, words(name+" exactly "+vs[i].Text, name+" other than "+vs[i].Text), sameValue(vs[i].Text)
				return a
			})
		}
	}
}

// holders gives those of all values, one after the other.
func holders(vs []Value) []Holder {
	n := 0
	for i := range vs {
		n += len(vs[i].Of)
	}
	of := make([]Holder, 0, n)
	for i := range vs {
		of = append(of, vs[i].Of...)
	}
	return of
}

// threshold adds "below or older", and "above or newer" where that is not merely
// its opposite because some machines do not have the package.
func (t *table) threshold(s *section, name string, vs []Value, i int, older, newer Crowd, everywhere bool, base func() attr) {
	below, above := vs[i-1].Text, vs[i].Text
	t.add(older, s.known, 1, func() attr {
		a := base()
		a.words = func() (yes, no string) {
			if yes, no = name+" "+below+" or older", name+" "+above+" or newer"; !everywhere {
				no += " or not installed"
			}
			return yes, no
		}
		a.holds = func(_ int, p Past) bool { return p.Present && fact.CompareVersions(p.Value, above) < 0 }
		return a
	})
	if everywhere {
		return
	}
	t.add(newer, s.known, 1, func() attr {
		a := base()
		a.words = func() (yes, no string) {
			return name + " " + above + " or newer", name + " " + below + " or older, or not installed"
		}
		a.holds = func(_ int, p Past) bool { return p.Present && fact.CompareVersions(p.Value, above) >= 0 }
		return a
	})
}

func (t *table) states(s *section, name string, c *Column, base func() attr) {
	for _, v := range c.Values {
		prior, left := 1.0, strings.HasSuffix(v.Text, " config-files")
		if left {
			prior = 0.85 // removed, only its configuration is left
		}
		t.add(v.Crowd, s.known, prior, func() attr {
			a := base()
			a.path, a.holds = c.Path, sameValue(v.Text)
			a.words = words(name+" in dpkg state "+quote(v.Text), name+" not in dpkg state "+quote(v.Text))
			if left {
				a.words = words(name+" removed, its configuration left behind", name+" installed or purged")
			}
			return a
		})
	}
}

// commonest returns the value that most machines have.
func commonest(vs []Value) string {
	best, text := 0, ""
	for _, v := range vs {
		if n := v.count(); n > best || n == best && v.Text < text {
			best, text = n, v.Text
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
