package collect

import (
	"fmt"
	"io/fs"
	"sync"
	"time"

	"rollcall/internal/fact"
)

// maxEvents bounds the events of one collector's run.
const maxEvents = 10_000

// Sink takes what one collector finds. Its methods make outside strings inert;
// callers pass raw values and never escape them themselves. A Sink closes when
// its collector has ended or its time is up; what comes later is ignored.
type Sink struct {
	collector Collector

	mu       sync.Mutex
	closed   bool
	facts    []fact.Fact
	measured []fact.Fact
	events   []Event
	denied   string // first name that could not be read for lack of rights
	foreign  string // first path that was refused
	note     string // what people should know of a run that got everything
}

// Fact records a value under a path made by Path. Space around the value goes
// and a value that is then empty is not recorded. A path outside of the
// collector's prefixes is refused and makes the run Failed.
func (s *Sink) Fact(path, value string) {
	f := fact.Fact{Path: path, Value: fact.Value(value)}
	if f.Value == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
	case !s.collector.owns(path), f.Check() != nil, len(s.facts) == fact.MaxFacts:
		s.refuse(path)
	default:
		s.facts = append(s.facts, f)
	}
}

// Measure records a value of the moment, which never becomes history. The name
// is made by Path, without the section "m" in front of it: "load", "free/%2F".
func (s *Sink) Measure(name, value string) {
	f := fact.Fact{Path: "m/" + name, Value: fact.Value(value)}
	if f.Value == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
	case f.Check() != nil, len(s.measured) == fact.MaxFacts:
		s.refuse(f.Path)
	default:
		s.measured = append(s.measured, f)
	}
}

// Event records that something of the given kind happened at the given time.
// Beyond 10,000 events the oldest go.
func (s *Sink) Event(at time.Time, kind, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.events = append(s.events, Event{At: at, Kind: fact.Value(kind), Text: fact.Value(text)})
	if len(s.events) > 2*maxEvents {
		s.trimEvents()
	}
}

// Denied records that name could not be read for lack of rights, so that the
// run ends as NoPermission instead of OK.
func (s *Sink) Denied(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.denied == "" && !s.closed {
		s.denied = name
	}
}

// Note says in the status of a run that got everything else what it had to leave
// out. What is noted last counts.
func (s *Sink) Note(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.note = text
	}
}

// Found ends the run of a collector that looks in several places: it is
// fs.ErrNotExist if nothing was there and nothing was refused.
func (s *Sink) Found(something bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if something || s.denied != "" {
		return nil
	}
	return fs.ErrNotExist
}

func (s *Sink) refuse(path string) {
	if s.foreign == "" {
		s.foreign = path
	}
}

func (s *Sink) trimEvents() {
	if over := len(s.events) - maxEvents; over > 0 {
		s.events = append(s.events[:0], s.events[over:]...)
	}
}

// close ends the sink and gives what it holds.
func (s *Sink) close() (facts, measured []fact.Fact, events []Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.trimEvents()
	facts, measured, events = s.facts, s.measured, s.events
	s.facts, s.measured, s.events = nil, nil, nil
	return facts, measured, events
}

// verdict completes the state of a run that returned nil.
func (s *Sink) verdict() (State, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.foreign != "":
		return Failed, fmt.Sprintf("fact %.80q is not this collector's, is malformed, or is one too many", s.foreign)
	case s.denied != "":
		return NoPermission, fmt.Sprintf("may not read %.200q", s.denied)
	}
	return OK, fact.Value(s.note)
}
