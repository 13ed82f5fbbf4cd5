package fact

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
)

// State names the present set of every section of a CI by its digest. A section
// without facts is not in it.
type State map[string]Digest

// Digest returns the SHA-256 over the sections in order: what a report's base
// and an unchanged tick refer to.
func (s State) Digest() Digest {
	var room [12]string
	sections := room[:0]
	for section := range s {
		sections = append(sections, section)
	}
	slices.Sort(sections)
	b := make([]byte, 0, 512)
	for _, section := range sections {
		d := s[section]
		b = append(append(append(b, section...), '\n'), d[:]...)
	}
	return sha256.Sum256(b)
}

// WriteText writes one line per fact, "path<TAB>value", in order: the form in
// which facts stand in the git mirror. Paths and values hold no tab or newline.
func (s Set) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	for _, f := range s {
		fmt.Fprintf(b, "%s\t%s\n", f.Path, f.Value)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write facts: %w", err)
	}
	return nil
}

// ReadText reads what WriteText wrote and checks every fact. Errors name the
// line.
func ReadText(r io.Reader) (Set, error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, MaxPath+MaxValue+2)
	var facts []Fact
	line := 1
	for ; sc.Scan(); line++ {
		path, value, ok := strings.Cut(sc.Text(), "\t")
		f := Fact{Path: path, Value: value}
		if !ok {
			return nil, fmt.Errorf("line %d: no tab between path and value", line)
		}
		if err := f.Check(); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if len(facts) == MaxFacts {
			return nil, fmt.Errorf("line %d: more than %d facts", line, MaxFacts)
		}
		facts = append(facts, f)
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("line %d: read facts: %w", line, err)
	}
	return NewSet(facts), nil
}
