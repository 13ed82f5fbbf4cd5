package report

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
)

// Bounds of one report.
const (
	defaultRows = 10_000
	maxRows     = 100_000
	maxBytes    = 64 << 20 // of all cells before they are sorted
	batch       = 500      // rows of one message
)

// Machine is one CI at the time that a report is about.
type Machine interface {
	// Field returns the values of a declared or derived field, as a filter sees it.
	Field(name string) (values []string, known bool)
	// FactsUnder returns the facts whose paths begin with prefix, which is at least the
	// name of a section.
	FactsUnder(prefix string) (fact.Set, error)
	// Heads returns the CI as it is now and as it was.
	Heads() (now, then cmdb.CI)
}

// Source is what a report is made from: one snapshot, as somebody may see it.
type Source struct {
	// Select returns the CIs that a filter selects at a time (zero: now), by name.
	// An empty filter selects all.
	Select func(ctx context.Context, filter string, at time.Time) ([]Machine, error)
	// Census is Select for a time that is past, at a fraction of the cost: what it
	// returns, in any order, knows nothing of a CI but name, class, site, status and what
	// stands below id/class.
	Census func(ctx context.Context, filter string, at time.Time) ([]Machine, error)
	Items  cmdb.View
	// Keys returns the keys that wait for admission.
	Keys func() ([]enrol.Key, error)
	Log  evidence.View
	Now  time.Time
}

// line is one thing that is observed or happened: a machine, a fact of one, a
// revision of one. One or several lines make a row.
type line struct {
	m     Machine
	ci    cmdb.CI           // as it was; zero where the line is about none
	path  []string          // components of a fact's path, not escaped
	value string            // of the fact
	made  map[string]string // cells that whoever made the line knows, by column
}

// run is one report that is being made.
type run struct {
	ctx      context.Context
	src      Source
	def      Definition
	set      map[string]string // parameters
	at       time.Time         // zero: now
	filter   string
	machines int
}

// Run answers a report. The snapshot is not needed any more then. Errors wrap
// ErrNotFound, ErrParam, or ErrCost where it would take too much.
func Run(ctx context.Context, src Source, req *rollcallv1.RunReportRequest) (*Answer, error) {
	d, err := Named(req.GetName())
	if err != nil {
		return nil, err
	}
	r := &run{ctx: ctx, src: src, def: d}
	if req.GetAtMs() != 0 {
		if d.Now {
			return nil, fmt.Errorf("report %s: %w: it tells of the present only, leave the time away", d.Name, ErrParam)
		}
		r.at = time.UnixMilli(req.GetAtMs()).UTC()
	}
	if d.Apart && strings.TrimSpace(req.GetFilter()) != "" {
		return nil, fmt.Errorf("report %s: %w: it is not about CIs, leave the filter away", d.Name, ErrParam)
	}
	if r.set, err = d.settings(req.GetParams(), r.now()); err != nil {
		return nil, err
	}
	r.filter = both(d.filled(r.set), req.GetFilter())
	rows, err := r.rows()
	if err != nil {
		return nil, err
	}
	limit := int(req.GetLimit())
	if limit == 0 {
		limit = defaultRows
	}
	limit = min(limit, maxRows)
	a := &Answer{tail: &rollcallv1.ReportTail{Rows: uint64(len(rows)), Machines: uint64(r.machines), More: len(rows) > limit}}
	a.rows = rows[:min(len(rows), limit)]
	a.head = r.head(languageOf(req.GetLang()))
	return a, nil
}

// Answer is a report that was made.
type Answer struct {
	head *rollcallv1.ReportHead
	rows [][]string
	tail *rollcallv1.ReportTail
}

// Send gives the answer piece by piece: first the head, then rows, then the tail.
func (a *Answer) Send(send func(*rollcallv1.RunReportReply) error) error {
	if err := send(&rollcallv1.RunReportReply{Head: a.head}); err != nil {
		return err
	}
	for part := range slices.Chunk(a.rows, batch) {
		reply := &rollcallv1.RunReportReply{Rows: make([]*rollcallv1.ReportRow, len(part))}
		for i, cells := range part {
			reply.Rows[i] = &rollcallv1.ReportRow{Cells: cells}
		}
		if err := send(reply); err != nil {
			return err
		}
	}
	return send(&rollcallv1.RunReportReply{Tail: a.tail})
}

// now is the time that the report is about.
func (r *run) now() time.Time {
	if r.at.IsZero() {
		return r.src.Now
	}
	return r.at
}

// date gives a parameter of kind AsDate, which has been checked; the zero time if
// it was not given.
func (r *run) date(name string) time.Time {
	if r.set[name] == "" {
		return time.Time{}
	}
	t, _ := dateOf(r.set[name], r.now())
	return t
}

// number gives a parameter of kind AsNumber, which has been checked.
func (r *run) number(name string) int {
	n, _ := strconv.Atoi(r.set[name])
	return n
}

// selected gives what the report is about.
func (r *run) selected() ([]Machine, error) {
	found, err := r.src.Select(r.ctx, r.filter, r.at)
	r.machines = len(found)
	return found, err
}

// rows makes, joins and sorts the rows.
func (r *run) rows() ([][]string, error) {
	t := &tallies{r: r, grouped: r.def.grouped(), groups: map[string]*group{}}
	if err := r.def.lines(r, t.add); err != nil {
		return nil, err
	}
	rows := t.rows()
	order := r.order()
	slices.SortStableFunc(rows, func(a, b []string) int {
		for _, by := range order {
			if c := compare(r.def.Columns[by.column].Kind, a[by.column], b[by.column]); c != 0 {
				return c * by.sign
			}
		}
		return 0
	})
	return rows, r.ctx.Err()
}

type by struct{ column, sign int }

// order gives the columns to sort by: those that the definition names, then all.
func (r *run) order() []by {
	var out []by
	for _, key := range r.def.Order {
		name, descending := strings.CutPrefix(key, "-")
		b := by{r.def.column(name), 1}
		if descending {
			b.sign = -1
		}
		out = append(out, b)
	}
	for i := range r.def.Columns {
		out = append(out, by{i, 1})
	}
	return out
}

// compare orders two cells; an empty one comes first.
func compare(k Kind, a, b string) int {
	switch k {
	case Number, Size:
		x, errX := strconv.ParseFloat(a, 64)
		y, errY := strconv.ParseFloat(b, 64)
		if errX == nil && errY == nil {
			return cmp.Compare(x, y)
		}
	case Version:
		if a != "" && b != "" {
			return cmp.Or(fact.CompareVersions(a, b), strings.Compare(a, b))
		}
	case Text, Time, Day:
	}
	return cmp.Or(strings.Compare(strings.ToLower(a), strings.ToLower(b)), strings.Compare(a, b))
}

// tooMuch is the error of a report whose rows take more than maxBytes.
func (r *run) tooMuch() error {
	return fmt.Errorf("report %s: %w: its rows take more than %d MiB: ask about fewer CIs with a filter, such as one site", r.def.Name, ErrCost, maxBytes>>20)
}
