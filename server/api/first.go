package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/index"
	"rollcall/server/query"
	"rollcall/server/store"
)

const (
	defaultFirst  = 20
	maxFirst      = 5000
	maxSightFacts = 20 // that show one sighting
	// maxTraced is how many revisions one question about first times reads.
	maxTraced = 500_000
	// maxMemo is how many different states a question remembers the answer for.
	maxMemo = 200_000
)

// First tells when a condition first held on each of the selected CIs.
//
// Where the histories of all of them are not too long, every revision is looked at.
// Else only the CIs on which it holds are, and where even these have too long a
// history, their revisions are halved. What that leaves out is said.
func (s *Service) First(ctx context.Context, req *rollcallv1.FirstRequest) (*rollcallv1.FirstReply, error) {
	reply := &rollcallv1.FirstReply{}
	err := s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		t, err := s.trace(ctx, items, req)
		if err != nil {
			return err
		}
		if err := t.plan(reply); err != nil {
			return err
		}
		if err := s.within(ctx, t.look); err != nil {
			return err
		}
		limit := min(cmp.Or(int(req.GetLimit()), defaultFirst), maxFirst)
		return t.tell(items, reply, limit)
	})
	return reply, err
}

// trace is a question for the first time of something.
type trace struct {
	s        *Service
	scope    cmdb.Scope
	cond     query.Expr
	sections []string // that decide it
	fields   []string // and fields
	until    time.Time

	asked  []cmdb.CI       // that it is about
	having map[string]bool // on which it holds as of until, by id
	looked []cmdb.CI       // whose history is read
	halved bool            // by halving
	notes  []string

	found     []sighting
	revisions int
}

// sighting is when something first held on a CI.
type sighting struct {
	ci   cmdb.CI
	n    uint64 // the revision
	at   time.Time
	site string    // then
	gone time.Time // since when it does not hold any more; zero: it does
}

// trace reads the question and finds out which CIs it is about.
func (s *Service) trace(ctx context.Context, items cmdb.View, req *rollcallv1.FirstRequest) (*trace, error) {
	t := &trace{s: s, scope: items.Scope(), having: map[string]bool{}}
	var err error
	if t.cond, err = query.Parse(req.GetCondition(), items); err != nil {
		return nil, err
	}
	if t.sections, t.fields, err = query.Lasting(t.cond); err != nil {
		return nil, err
	}
	at := when(req.GetAtMs())
	if t.until = at; at.IsZero() {
		t.until = s.Now()
	}
	where, err := parsed(items, req.GetFilter())
	if err != nil {
		return nil, err
	}
	asked, err := s.findBy(ctx, items, where, at)
	if err != nil {
		return nil, err
	}
	t.notes = asked.notes()
	for _, c := range asked.found {
		ci, err := items.CI(c.id)
		switch {
		case errors.Is(err, cmdb.ErrNotFound):
			continue
		case err != nil:
			return nil, err
		}
		t.asked = append(t.asked, ci)
	}
	both := t.cond
	if where != nil {
		both = query.And{Parts: []query.Expr{where, t.cond}}
	}
	having, err := s.findBy(ctx, items, both, at)
	if err != nil {
		return nil, err
	}
	for _, c := range having.found {
		t.having[c.id] = true
	}
	t.notes = append(t.notes, having.hints...)
	return t, nil
}

// plan decides whose history is read, and how, by how long the histories are.
func (t *trace) plan(reply *rollcallv1.FirstReply) error {
	length := func(ci cmdb.CI) int { return int(ci.Rev - ci.From() + 1) }
	all, long, few := 0, 0, 0
	var having []cmdb.CI
	for _, ci := range t.asked {
		all += length(ci)
		if t.having[ci.ID] {
			having = append(having, ci)
			long += length(ci)
			few += 3 + bits.Len(uint(length(ci)))
		}
	}
	most := cmp.Or(t.s.MostTraced, maxTraced)
	switch {
	case all <= most:
		t.looked = t.asked
	case long <= most:
		t.looked = having
	case few <= most:
		t.looked, t.halved = having, true
	default:
		return fmt.Errorf("%w: it holds on %d CIs, whose %d revisions are too many even to be halved: ask about fewer of them, such as one site, with --where", index.ErrCost, len(having), long)
	}
	if t.halved {
		t.notes = append(t.notes, fmt.Sprintf("these CIs have %d revisions, more than %d: where it came, went and came again, a later time may be shown; ask about fewer CIs with --where, and every revision is read", long, most))
	}
	if n := len(t.asked) - len(t.looked); n > 0 {
		t.notes = append(t.notes, fmt.Sprintf("%d CIs on which it is not so now were not looked at, since all histories together have %d revisions, more than %d: those that had it once and lost it are missing; ask about fewer CIs with --where", n, all, most))
	}
	reply.Asked, reply.Looked, reply.Halved = uint32(len(t.asked)), uint32(len(t.looked)), t.halved
	return nil
}

// look reads the histories, on all processors.
func (t *trace) look(ctx context.Context) error {
	parts := make([]*looking, runtime.GOMAXPROCS(0))
	err := t.s.inParts(ctx, t.scope, len(parts), func(ctx context.Context, items cmdb.View, n int) error {
		l := &looking{trace: t, items: items, glance: items.Glance(), memo: map[string]bool{}, lost: map[string]bool{}}
		parts[n] = l
		size := (len(t.looked) + len(parts) - 1) / len(parts)
		for _, ci := range t.looked[min(n*size, len(t.looked)):min((n+1)*size, len(t.looked))] { // neighbours have states in common
			if err := cmp.Or(ctx.Err(), l.at(ci)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, l := range parts {
		t.found = append(t.found, l.found...)
		t.revisions += l.revisions
		for id := range l.lost {
			t.notes = append(t.notes, fmt.Sprintf("CI %s is left out: its history cannot be read: rollcall-server check names what is damaged", id))
		}
	}
	slices.SortFunc(t.found, func(a, b sighting) int {
		return cmp.Or(a.at.Compare(b.at), compareNames(a.ci.Name, b.ci.Name), strings.Compare(a.ci.ID, b.ci.ID))
	})
	slices.Sort(t.notes)
	return nil
}

// looking is one goroutine's part.
type looking struct {
	*trace
	items     cmdb.View
	glance    *cmdb.Glance
	memo      map[string]bool // by what decides it
	key       []byte
	found     []sighting
	lost      map[string]bool // CIs that are damaged
	revisions int
}

// at looks through the history of one CI.
func (l *looking) at(ci cmdb.CI) error {
	var s *sighting
	var err error
	if l.halved {
		s, err = l.halve(ci)
	} else {
		s, err = l.course(ci)
	}
	switch {
	case errors.Is(err, query.ErrCost):
		return err
	case errors.Is(err, store.ErrCorrupt):
		l.lost[ci.ID] = true
	case errors.Is(err, cmdb.ErrNotFound): // erased meanwhile, or changed since it was selected
	case err != nil:
		return err
	case s != nil:
		l.found = append(l.found, *s)
	}
	return nil
}

// course looks at every revision.
func (l *looking) course(ci cmdb.CI) (s *sighting, err error) {
	for then, err := range l.items.Course(ci, l.until) {
		if err != nil {
			return nil, err
		}
		holds, err := l.holds(then)
		switch {
		case err != nil:
			return nil, err
		case holds && s == nil:
			s = &sighting{ci, then.Rev, then.Changed, then.Site, time.Time{}}
		case holds:
			s.gone = time.Time{}
		case s != nil && s.gone.IsZero():
			s.gone = then.Changed
		}
	}
	return s, nil
}

func (l *looking) halve(ci cmdb.CI) (*sighting, error) {
	then, err := l.items.Came(ci, l.until, l.holds)
	if err != nil {
		return nil, err
	}
	return &sighting{ci, then.Rev, then.Changed, then.Site, time.Time{}}, nil
}

// holds tells whether the condition holds of a CI as it was. Machines have states in
// common, and a revision that does not touch what is asked leaves the answer as it
// was: each answer is worked out once. What a machine lacks is not known before its
// first report, and its history goes on with another CI while that is merged.
func (l *looking) holds(then cmdb.Then) (bool, error) {
	if l.revisions++; then.Status == cmdb.Merged || len(l.sections) > 0 && !then.Reported() {
		return false, nil
	}
	l.key = l.key[:0]
	for _, section := range l.sections {
		d := then.Set(section)
		l.key = append(l.key, d[:]...)
	}
	was := former{then, l.glance}
	for _, name := range l.fields {
		value, _ := was.Field(name)
		l.key = append(append(l.key, value[0]...), 0)
	}
	if holds, ok := l.memo[string(l.key)]; ok {
		return holds, nil
	}
	holds, err := query.Match(l.cond, was, l.until)
	if err != nil {
		return false, err
	}
	if len(l.memo) == maxMemo {
		clear(l.memo)
	}
	l.memo[string(l.key)] = holds
	return holds, nil
}

// former is a CI as it was, for conditions that query.Lasting has seen. What people
// declared in place of what is observed is not looked at.
type former struct {
	then  cmdb.Then
	facts *cmdb.Glance
}

// Field implements query.Subject.
func (f former) Field(name string) (values []string, known bool) {
	switch name {
	case "ci":
		return []string{f.then.ID}, true
	case "name":
		return []string{f.then.Name}, true
	case "class":
		return []string{f.then.Class}, true
	case "site":
		return []string{f.then.Site}, true
	case "status":
		return []string{string(f.then.Status)}, true
	}
	return nil, false
}

// FactsUnder implements query.Narrow.
func (f former) FactsUnder(prefix string) (fact.Set, error) {
	return f.facts.Facts(f.then.Set(fact.SectionOf(prefix)), prefix)
}

// Facts implements query.Subject.
func (f former) Facts(section string) (fact.Set, error) { return f.FactsUnder(section) }

// Changed implements query.Subject; no such condition comes here.
func (f former) Changed(string) (time.Time, bool, error) { return time.Time{}, false, query.ErrPast }

// AsOf implements query.Subject; no such condition comes here.
func (f former) AsOf(time.Time) (query.Subject, bool, error) { return nil, false, query.ErrPast }
