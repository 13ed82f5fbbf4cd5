// Package compare answers "what differs between the broken and the working
// machines?": it ranks what sets two groups of machines apart, one line for each
// explanation, in words that an operator can act on.
//
// It promises bounded work, the same answer for the same question, and an honest
// "nothing that we collect differs" where chance alone would look as good.
// Config file contents are read only where the files differ. Which machines are
// compared, and who may see the answer, is left to the caller.
//
// The way of one question: observe (facts become attributes that a machine has
// or lacks), collapse (attributes of the same machines become one pattern),
// judge (patterns, then pairs of patterns, are scored and tested), date (since
// when each of the best has been so), row (words, counts, counter-examples).
package compare

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rollcall/internal/fact"
)

// MaxMachines is the most machines that one question may name.
const MaxMachines = 5000

// Errors of Compare that a caller can tell apart.
var (
	ErrEmpty  = errors.New("group is empty")
	ErrTooBig = errors.New("too many machines in one comparison")
)

// Machine is one CI with its present facts.
type Machine struct {
	ID   string // unique in a question
	Name string // host name; occurrences in config files are masked by it
	Site string // path such as "elm/north"; machines of one site are compared with each other first
	// Sections holds the set of each section. Machines that share a set should
	// share the slice: it is then looked at once. A section
	// that is missing is empty, or unknown if every machine has facts in it: "pkg".
	Sections map[string]fact.Set
}

// Past is one value that a fact has had.
type Past struct {
	Since   time.Time // when it was first reported
	Value   string
	Present bool // false: the fact was gone from Since on
}

// Groups is the question. Only Broken and Working are required.
type Groups struct {
	Broken, Working []Machine
	Fleet           Fleet // has the machines instead, where there may be very many
	Both            int   // machines that were left out of Fleet, as they are in both groups
	// Contents returns the content of a config file. Without it, or when it fails,
	// files are compared by digest and the answer says so.
	Contents func(fact.Digest) ([]byte, error)
	// History returns what the fact at path has been on a machine, oldest first;
	// the first entry is the oldest known value. Without it, age plays no part.
	History func(machineID, path string) []Past
	Onset   time.Time // when the trouble began; zero if unknown
	MaxRows int       // most rows in the answer; 0 means 50
	Library *Library  // of files that were parsed before; nil: none
}

// Strength says in a word how much a row proves.
type Strength string

// The strengths of a row. Strong: would hardly arise by chance, however many
// facts were looked at. Weak: fits well, but chance could do the same. None: do
// not build on it.
const (
	Strong Strength = "strong"
	Weak   Strength = "weak"
	None   Strength = "none"
)

// Verdict is the answer in one word.
type Verdict string

// The verdicts: Cause if the first row is worth following up, Nothing if nothing
// that is collected sets the groups apart better than chance would.
const (
	Cause   Verdict = "cause"
	Nothing Verdict = "none"
)

// Count says how many of a group have what a row names.
type Count struct{ Have, Of int }

func (c Count) String() string { return fmt.Sprintf("%d/%d", c.Have, c.Of) }

func (c Count) share() float64 {
	if c.Of == 0 {
		return 0
	}
	return float64(c.Have) / float64(c.Of)
}

// Difference is one fact behind a row.
type Difference struct {
	ID   string // stable id: "pkg:cups", "file:etc/fstab", "hw:pci:10ec:8168"
	Path string // path of the fact that it was seen in
	Text string // in words, true of the broken machines
}

// Row is one explanation: one line that the operator reads.
type Row struct {
	Kind    Kind
	What    string       // "sudo 1.9.13p3-1+deb12u3 or older"
	IDs     []string     // stable ids of the facts behind it, of the 1,000 most telling ones, sorted
	Facts   []Difference // the facts behind it, most telling first, at most 40
	More    int          // how many facts are not listed
	Broken  Count
	Working Count
	Without []string // broken machines that do not have it, by id, at most 20
	Despite []string // working machines that have it too, by id, at most 20
	Score   float64  // orders the rows; only comparable within one answer
	P       float64  // exact test within sites, one-sided
	Q       float64  // P after Benjamini-Hochberg over all patterns
	Strength
	Since    time.Time // when it came to the broken machines (median); zero if unknown or always so
	SiteOnly bool      // exactly one or more sites: cannot be told from the site itself
	Why      string    // a sentence with the counts

	object  thing          // what it is mainly about
	objects map[thing]bool // and all else
}

// Result is the answer.
type Result struct {
	Verdict  Verdict
	Rows     []Row    // best first
	Notes    []string // what the reader should know about the groups and the method
	Patterns int      // how many distinct patterns were judged
	Chance   float64  // how often shuffled groups gave an equally good first row
}

// Compare returns what sets g.Broken apart from g.Working. It returns an error
// that wraps ErrEmpty or ErrTooBig, or the context's error. Machines named in
// both groups are left out of both and noted.
func Compare(ctx context.Context, g Groups) (Result, error) {
	f, notes, err := newField(g)
	if err != nil {
		return Result{}, err
	}
	res, err := f.compare(ctx, g)
	if err != nil {
		return Result{}, fmt.Errorf("compare %d broken with %d working machines: %w", f.broken.count(), f.working.count(), err)
	}
	res.Notes = append(notes, res.Notes...)
	return res, nil
}

func (f *field) compare(ctx context.Context, g Groups) (res Result, err error) {
	t := newTable(f, g)
	if err := t.observe(ctx); err != nil {
		return res, err
	}
	ps := t.rank()
	if err := t.tellNext(ctx, ps, 0); err != nil {
		return res, err
	}
	found, err := f.judge(ctx, ps)
	if err != nil {
		return res, err
	}
	limit := g.MaxRows
	if limit <= 0 {
		limit = 50
	}
	rows, rest, err := t.rows(ctx, found, &clock{groups: g, field: f, reader: t.reader}, limit)
	if err != nil {
		return res, err
	}
	res = Result{Patterns: t.judged(), Chance: found.chance, Notes: t.notes()}
	res.conclude(rows, rest, limit)
	return res, nil
}

// conclude gives each row its strength, decides the verdict and cuts the list. rest
// are the tests of what is not told as well.
func (r *Result) conclude(rows, rest []Row, limit int) {
	adjust(rows, rest, r.Patterns)
	for i := range rows {
		rows[i].Strength = rows[i].strength(i == 0, r.Chance)
	}
	r.Rows = rows[:min(limit, len(rows))]
	r.Verdict = Nothing
	if len(rows) > 0 && rows[0].Strength != None {
		r.Verdict = Cause
	} else {
		r.Notes = append(r.Notes, "nothing that we collect differs between the groups more than chance would explain")
	}
}
