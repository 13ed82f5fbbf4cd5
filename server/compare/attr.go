package compare

import (
	"cmp"
	"context"
	"maps"
	"slices"
)

// Kind says what sort of thing a row or an attribute is about.
type Kind string

// The kinds of rows. Both and Either are pairs of other rows.
const (
	Package  Kind = "package"
	File     Kind = "file"
	Hardware Kind = "hardware"
	Module   Kind = "module"
	Kernel   Kind = "kernel"
	Setting  Kind = "setting"
	Both     Kind = "both"
	Either   Kind = "either"
)

// attr is something that a machine has or lacks.
type attr struct {
	kind   Kind
	object thing  // what it is about; a weaker attribute of the same object needs no row of its own
	id     thing  // what is shown, if it is not the object
	also   string // another id
	path   string // the fact it was seen in
	// words says of machines that they have it, and that they lack it. It is asked of few
	// attributes: most stand in the same row as many others.
	words  func() (yes, no string)
	said   [2]string // by it
	prior  float64   // how likely such a thing is to matter at all; 1 is usual
	detail bool      // follows from what else is said, or says less than it
	// holds tells whether a machine had it while the fact at path was p.
	holds func(machine int, p Past) bool
	who   Crowd
	known *known
}

// thing is a stable id in two parts, which thousands of attributes do not put together.
type thing struct{ prefix, name string }

func (x thing) String() string { return x.prefix + x.name }

// ids are the stable ids, the first one is the one to show.
func (a *attr) ids() []string {
	ids := make([]string, 0, 2)
	if a.id != (thing{}) {
		ids = append(ids, a.id.String())
	}
	if ids = append(ids, a.object.String()); a.also != "" {
		ids = append(ids, a.also)
	}
	return ids
}

// yes says in words that machines have it, no that they lack it.
func (a *attr) yes() string { return a.say()[0] }
func (a *attr) no() string  { return a.say()[1] }

func (a *attr) say() *[2]string {
	if a.said[0] == "" {
		a.said[0], a.said[1] = a.words()
	}
	return &a.said
}

// words are such that are at hand.
func words(yes, no string) func() (string, string) {
	return func() (string, string) { return yes, no }
}

// known is the machines that tell whether they have something.
type known struct {
	Crowd
	within set // of a sample: its machines
	bits   set // once they were looked up
}

// section is one section of all machines, or of the sample of a large field.
type section struct {
	*Section
	known   *known
	Columns []Column // that are looked into
	cols    map[string]*Column
}

// column gives what stands at a path, nil if it is not looked into.
func (s *section) column(path string) *Column {
	if s == nil {
		return nil
	}
	if s.cols == nil {
		s.cols = make(map[string]*Column, len(s.Columns))
		for i := range s.Columns {
			s.cols[s.Columns[i].Path] = &s.Columns[i]
		}
	}
	return s.cols[path]
}

// table collects the attributes of a field. It is filled twice: first what there
// is is counted, then what matters is put into words. So that this can be done, the
// attributes come from topics, which say the same again when they are asked again.
type table struct {
	f        *field
	least    int // an attribute of fewer machines can explain nothing
	reader   *reader
	unread   map[string]int // sections and how many machines have none
	topics   []func()
	now      int32 // number of the topic that speaks
	patterns map[patternKey]*pattern
	counts   map[patternKey]bool // that single values of a large field would be
	telling  bool                // patterns are known: attributes of those that are kept are put into words
	told     int                 // so many of the best patterns are in words, see tellNext
	every    bool                // all attributes are put into words, and none united
	attrs    []*attr             // if every
	room     []attr              // for more
	sections map[string]*section
	sample   map[string]*section // of a large field, once it is needed
	sampled  map[string]bool     // paths that were looked into on the sample alone
	contents []*contents
	shut     int   // files that were compared as a whole, as too many differ
	err      error // of telling a text
}

func newTable(f *field, g Groups) *table {
	least := 1
	if n := f.broken.count(); n > 3 {
		least = max(2, n*15/100)
	}
	return &table{f: f, least: least, unread: map[string]int{}, patterns: map[patternKey]*pattern{}, counts: map[patternKey]bool{}, sampled: map[string]bool{}, reader: newReader(f, g)}
}

// add keeps an attribute if it sets enough machines apart. say puts it into words.
func (t *table) add(who Crowd, k *known, prior float64, say func() attr) {
	n := who.count()
	if min(n, k.count()-n) < t.least {
		return
	}
	if !t.every {
		p := t.pattern(who, k, prior)
		if !t.telling || !p.kept {
			return
		}
		a := t.newAttr()
		*a = say()
		a.prior, a.who, a.known = cmp.Or(prior, 1), who, k
		p.attrs, p.lacks = append(p.attrs, a), append(p.lacks, who.Sum != p.Sum)
		return
	}
	a := say()
	a.prior, a.who, a.known = cmp.Or(prior, 1), who, k
	t.attrs = append(t.attrs, &a)
}

// newAttr gives room for an attribute: there are thousands.
func (t *table) newAttr() *attr {
	if len(t.room) == 0 {
		t.room = make([]attr, 128)
	}
	a := &t.room[0]
	t.room = t.room[1:]
	return a
}

// topic lets something say its attributes, now and when it is asked again.
func (t *table) topic(say func()) {
	t.now = int32(len(t.topics))
	t.topics = append(t.topics, say)
	say()
}

// tell lets the topics of patterns that may be shown put them into words.
func (t *table) tell(ctx context.Context, ps []*pattern) error {
	t.telling = true
	asked := make([]bool, len(t.topics))
	for _, p := range ps {
		if p.kept = p.score > 0 && !p.told; p.kept {
			for _, n := range p.topics {
				asked[n] = true
			}
		}
	}
	for n, say := range t.topics {
		if asked[n] {
			if err := ctx.Err(); err != nil {
				return err
			}
			say()
		}
	}
	for _, p := range ps {
		if p.kept {
			p.kept, p.told = false, true
			p.sortAttrs()
		}
	}
	return t.err
}

// always are the sections in which every machine has facts: without any, they
// were not looked at. In all others, no facts means that there is nothing.
var always = []string{"etc", "fs", "group", "hw", "id", "module", "net", "os", "pkg", "setting", "user"}

// observe turns the facts of all machines into attributes, section by section.
func (t *table) observe(ctx context.Context) error {
	if err := t.read(); err != nil {
		return err
	}
	t.reader.learn(t.sections["id"])
	for _, name := range slices.Sorted(maps.Keys(t.sections)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		s := t.sections[name]
		switch name {
		case "pkg":
			t.packages(s)
		case "etc":
			t.files(ctx, s)
		case "hw":
			t.hardware(s)
		case "net":
			t.network(s)
		case "module":
			t.modules(s)
		case "os":
			t.system(s)
		case "setting":
			t.openSettings(s)
		default:
			t.plain(s)
		}
	}
	return cmp.Or(t.err, ctx.Err())
}

// manyValues is how many values of one path of a large field are looked into.
// Where there are more, the sample tells.
const manyValues = 256

func (t *table) loose() int {
	if t.f.large {
		return manyValues
	}
	return len(t.f.places)
}

// counted says how the whole field is counted, or its sample.
func (t *table) counted(sample bool) Ask {
	if sample {
		return Ask{Weights: t.f.weights, Only: t.f.sample, Loose: len(t.f.sample)}
	}
	return Ask{Weights: t.f.weights, Loose: t.loose()}
}

// everybody is known where a section without facts means that there is nothing.
func (t *table) everybody(within set) *known {
	bits := t.f.all
	if within != nil {
		bits = within
	}
	return &known{Crowd: t.f.keep(bits), bits: bits}
}

// inside gives the column where its values can be looked into: the sample's, of a
// column that is not the same on all machines in too many ways; nil if all of the
// sample are alike.
func (t *table) inside(s *section, c *Column) (*section, *Column) {
	if !c.Various && (!t.f.large || len(c.Values) <= manyValues) {
		return s, c
	}
	t.sampled[c.Path] = true
	small := t.ofSample(s.Name)
	if c = t.sampleAt(small, c.Path); c == nil || c.Constant {
		return nil, nil
	}
	return small, c
}

// text gives the whole text of a value.
func (t *table) text(path string, v Value) string { return t.asked(path, v, true).Text }

// outline gives a value with its text, which may have zeros in place of a digest.
func (t *table) outline(path string, v Value) Value {
	if v.Text != "" {
		return v
	}
	return t.asked(path, v, false)
}

func (t *table) asked(path string, v Value, whole bool) Value {
	if v.Partial && len(v.Of) > 0 {
		text, known, err := t.f.fleet.Text(path, v.Of[0], whole)
		v.Text, v.Partial = text, !known
		t.err = cmp.Or(t.err, err)
	}
	return v
}

// look looks up which machines have something, of those that are known.
func (f *field) look(c Crowd, k *known) set {
	if k.bits == nil {
		if k.Sum == f.whole.Sum {
			k.bits = f.all
		} else {
			k.bits = f.find(k.Crowd)
		}
		if k.within != nil {
			k.bits = k.bits.and(k.within)
		}
	}
	out := f.find(c)
	for i := range out {
		out[i] &= k.bits[i]
	}
	return out
}

// gather unites what several facts of a section say in the same way: what is at any
// address or slot. Of paths that are not the same in too many ways the sample tells.
func (t *table) gather(s *section, skip func(path string) bool, see func(path, value string) hint) {
	add := func(g Gathered, k *known) {
		h := see(g.Path, g.Value)
		t.topic(func() { t.add(g.Crowd, k, h.prior, h.say) })
	}
	key := func(path, value string) string {
		if skip(path) {
			return ""
		}
		return see(path, value).key
	}
	worth := func(most, least Tally) bool {
		most.Broken = min(most.Broken, s.known.Broken)
		rest := s.known.minus(least)
		return !t.f.large || t.f.atMost(Tally{Broken: most.Broken, Near: least.Near, Rest: least.Rest}, s.known.Tally) > 0 ||
			t.f.atMost(Tally{Broken: rest.Broken, Near: max(0, s.known.Near-most.Near), Rest: max(0, s.known.Rest-most.Rest)}, s.known.Tally) > 0
	}
	for _, g := range t.f.fleet.Gather(t.counted(false), s.Name, func(path, value string) string {
		if c := s.column(path); c != nil && c.Various {
			return ""
		}
		return key(path, value)
	}, worth) {
		add(g, s.known)
	}
	if !t.f.large || !slices.ContainsFunc(s.Columns, func(c Column) bool { return c.Various }) {
		return
	}
	small := t.ofSample(s.Name)
	if small == nil {
		return
	}
	various := map[string]bool{}
	for _, g := range t.f.fleet.Gather(t.counted(true), s.Name, func(path, value string) string {
		name := key(path, value)
		if c := s.column(path); c != nil && c.Various {
			various[name] = true
		}
		return name
	}, func(Tally, Tally) bool { return true }) {
		if various[g.Key] {
			add(g, small.known)
		}
	}
}
