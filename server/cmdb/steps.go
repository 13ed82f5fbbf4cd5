package cmdb

import (
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"rollcall/internal/fact"
)

// Step is one revision of a CI as far as questions about a history ask before they
// know that it matters: when it was, which sets came in place of which, and whether
// people declared something. It holds until the next one is yielded.
type Step struct {
	N  uint64
	At time.Time

	rev *lightRevision
}

// Sets returns the sets of a section before and after; zero is none. They are the
// same where the revision left the section alone.
func (s Step) Sets(section string) (was, is fact.Digest) {
	is = s.rev.State.of(section)
	return s.rev.before(section, is), is
}

// Sections calls fn for each section that the revision changed.
func (s Step) Sections(fn func(section string, was, is fact.Digest)) {
	each := func(state lightState, again bool) {
		for _, v := range state {
			section := string(v[min(len(v), len(fact.Digest{})):])
			is := s.rev.State.of(section)
			if again && !is.IsZero() {
				continue
			}
			if was := s.rev.before(section, is); was != is {
				fn(section, was, is)
			}
		}
	}
	each(s.rev.State, false)
	each(s.rev.was, true) // those that are gone
}

// FirstReport tells that there was nothing observed before, and is now.
func (s Step) FirstReport() bool {
	if len(s.rev.State) == 0 {
		return false
	}
	for _, v := range s.rev.State {
		section := string(v[min(len(v), len(fact.Digest{})):])
		if !s.rev.before(section, s.rev.State.of(section)).IsZero() {
			return false
		}
	}
	for _, v := range s.rev.was {
		if len(v) > len(fact.Digest{}) {
			return false
		}
	}
	return true
}

// Declares tells whether people declared something with the revision.
func (s Step) Declares() bool { return len(s.rev.Fields) > 0 }

// Fields returns what people declared with the revision; nil if nothing.
func (s Step) Fields() (map[string]Change, error) {
	if len(s.rev.Fields) == 0 {
		return nil, nil
	}
	var fields map[string]Change
	if err := json.Unmarshal(s.rev.Fields, &fields); err != nil {
		return nil, fmt.Errorf("declared fields of revision %d: %w", s.N, err)
	}
	return fields, nil
}

// Steps yields the revisions of a CI, newest first, of which little is decoded.
func (v View) Steps(ci CI) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		if err := v.inScope(ci.ID); err != nil {
			yield(Step{}, err)
			return
		}
		var r lightRevision
		for n := ci.Rev; n >= ci.From(); n-- {
			err := v.light(ci.ID, n, &r)
			if !yield(Step{n, time.Unix(0, r.Stamp).UTC(), &r}, err) || err != nil {
				return
			}
		}
	}
}

// declaring yields, newest first, the revisions by which people declared something.
// Each leads to the one before; where one does not, as in stores of before, all are
// looked at until one does.
func (v View) declaring(ci CI) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		if err := v.inScope(ci.ID); err != nil {
			yield(Step{}, err)
			return
		}
		n := ci.Rev
		if ci.LastDeclared > 0 {
			n = min(n, ci.LastDeclared)
		}
		var r lightRevision
		for n >= ci.From() {
			err := v.light(ci.ID, n, &r)
			if err != nil || len(r.Fields) > 0 {
				if !yield(Step{n, time.Unix(0, r.Stamp).UTC(), &r}, err) || err != nil {
					return
				}
			}
			if n--; r.Before > 0 {
				n = min(n, r.Before)
			}
		}
	}
}

// Trail yields those revisions of a CI, newest first and not older than a time, that
// changed something at or below a path. Sets are read of those alone that changed the
// path's section.
func (g *Glance) Trail(ci CI, path string, since time.Time) iter.Seq2[Step, error] {
	section := fact.SectionOf(path)
	return func(yield func(Step, error) bool) {
		for step, err := range g.v.Steps(ci) {
			if err != nil {
				yield(step, err)
				return
			}
			if step.At.Before(since) {
				return
			}
			was, is := step.Sets(section)
			if was == is {
				continue
			}
			changes, err := g.section(was, is, path)
			if err == nil && len(changes) == 0 {
				continue
			}
			if !yield(step, err) || err != nil {
				return
			}
		}
	}
}
