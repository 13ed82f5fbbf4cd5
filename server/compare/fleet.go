package compare

// Fleet is the machines of one question, numbered from 0, and what they have. It
// tells of each value how many have it; which ones those are it tells of the few
// values that matter. A Fleet serves one question and one goroutine.
type Fleet interface {
	// Places tells where the machines stand. Those of one site come one after the
	// other.
	Places() []Place
	// ID returns the id of a machine, and Machine all but its sections other than
	// "id" and "net".
	ID(number int) string
	Machine(number int) Machine
	// Sections counts what machines have, section by section in the order of names, and
	// lets see look at each column in the order of paths, if it is not nil. A column
	// that is the same on all machines need not be seen but in section "os".
	Sections(c Ask, see func(*Section, Outline)) ([]*Section, error)
	// Column gives the number of the column at a path.
	Column(path string) (n int, ok bool)
	// Source gives the column that tells which source the package of a column is of.
	Source(n int) (source int, ok bool)
	// Columns tells columns of a section, as they were counted when Sections was last
	// asked for all machines or some, in any order.
	Columns(c Ask, s *Section, columns []int) []Column
	// Gather unites facts of a section that mean the same wherever they are: key
	// gives what a fact means, "" for nothing. What is not worth to be counted, between
	// which tallies ever it may be, may be left out.
	Gather(c Ask, section string, key func(path, value string) string, worth func(most, least Tally) bool) []Gathered
	// Text tells the text of a value at a path where it was not told. Unless the whole
	// of it is asked for, zeros may stand in place of a digest that has to be read;
	// known is then false.
	Text(path string, h Holder, whole bool) (text string, known bool, err error)
	// Find adds the machines behind a holder.
	Find(h Holder, to []uint64)
}

// Place is where a machine stands in a question.
type Place struct {
	Site   int // number of its site
	Broken bool
}

// Ask says how the machines of a question are counted.
type Ask struct {
	Weights []Tally // of each machine
	Only    []int   // numbers of the machines that are looked at, in order; nil: all
	// Loose is how many values of one path may be of one set of facts alone before
	// the path is various, and such values are no longer told. Of a column that has more
	// values than that, texts may be left for Text to tell.
	Loose int
}

// Holder stands for the machines that have something. It means something to the
// Fleet that gave it alone.
type Holder uint64

// Tally says how many machines have something: broken ones, working ones that they
// are compared with, and the rest of the working ones. Sum adds up a random number
// of each: two tallies with equal sums are of the same machines.
type Tally struct {
	Broken, Near, Rest int
	Sum                uint64
}

// Plus adds the machines of o, none of which may be counted yet.
func (t Tally) Plus(o Tally) Tally {
	return Tally{t.Broken + o.Broken, t.Near + o.Near, t.Rest + o.Rest, t.Sum + o.Sum}
}

func (t Tally) minus(o Tally) Tally {
	return Tally{t.Broken - o.Broken, t.Near - o.Near, t.Rest - o.Rest, t.Sum - o.Sum}
}

func (t Tally) count() int { return t.Broken + t.Near + t.Rest }

// Section is what the machines have in one section.
type Section struct {
	Name  string
	Known Crowd // the machines that have reported it
}

// Outline is a column before its texts are told. It is good until see returns.
type Outline struct {
	Column  int     // its number
	Values  []Tally // of those that would be told, in any order
	Present Tally
	Various bool
}

// Column is what one path holds on the machines.
type Column struct {
	Path   string
	Values []Value // in the order of texts
	// Present are the machines that have any value, also one that is not told.
	Present  Crowd
	Various  bool // more values than were told
	Constant bool // the same value on all machines that are known: not told by a Fleet
}

// Value is one value of a column and who has it.
type Value struct {
	Text    string
	Partial bool // the text is not told, or has zeros in place of a digest
	Crowd
	alone bool // of one set of facts
}

// Crowd is some machines: how many they are and where to find them. No machine is
// behind two of its holders, unless Gather gave it.
type Crowd struct {
	Tally
	Of []Holder
}

// join adds machines that are not in the crowd.
func (c *Crowd) join(o Crowd) { c.Tally, c.Of = c.Plus(o.Tally), append(c.Of, o.Of...) }

// crowds are crowds by what they have.
type crowds[K comparable] map[K]*Crowd

func (m crowds[K]) join(k K, who Crowd) {
	if m[k] == nil {
		m[k] = &Crowd{}
	}
	m[k].join(who)
}

// Gathered is what facts with one key are.
type Gathered struct {
	Key         string
	Path, Value string // of the first of them
	Crowd
}
