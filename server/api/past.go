package api

import (
	"slices"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/compare"
)

// course tells, section by section, when a CI got another set, newest first.
type course map[string][]turn

// turn is one change of a section.
type turn struct {
	at        time.Time
	was, is   fact.Digest // zero: nothing
	beginning bool        // of the CI
}

// maxTurns bounds the revisions of one CI that a comparison looks at.
const maxTurns = 2000

// course reads the revisions of a CI, once for a question: many facts of it are
// dated. A damaged record ends it there.
func (q *question) course(id string) course {
	if t, ok := q.courses[id]; ok {
		return t
	}
	if q.courses == nil {
		q.courses = map[string]course{}
	}
	t := course{}
	q.courses[id] = t
	sub := q.subject(id)
	if sub == nil {
		return t
	}
	ci := sub.head
	ci.Rev = sub.ci.Rev
	read := 0
	for step, err := range q.items.Steps(ci) {
		if read++; err != nil || read > maxTurns {
			break
		}
		begins := step.FirstReport()
		step.Sections(func(section string, was, is fact.Digest) {
			t[section] = append(t[section], turn{step.At, was, is, begins && !is.IsZero()})
		})
	}
	return t
}

// history gives what a fact has been on a machine, oldest first. It is asked for
// the best candidates only.
func (q *question) history(id, path string) []compare.Past {
	var past []compare.Past
	var before turn // and what there was after it
	var then valueAt
	for _, t := range slices.Backward(q.course(id)[fact.SectionOf(path)]) {
		was, now := then, q.valueAt(t.is, path)
		if t.was != before.is {
			was = q.valueAt(t.was, path)
		}
		before, then = t, now
		if was != now || t.beginning {
			past = append(past, compare.Past{Since: t.at, Value: now.value, Present: now.present})
		}
	}
	return past
}

type valueAt struct {
	value   string
	present bool
}

func (q *question) valueAt(set fact.Digest, path string) valueAt {
	if set.IsZero() {
		return valueAt{}
	}
	v, ok, err := q.items.Value(set, path)
	if err != nil {
		return valueAt{}
	}
	return valueAt{v, ok}
}
