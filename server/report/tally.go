package report

import (
	"slices"
	"strconv"
	"strings"
)

// tallies makes rows out of lines.
type tallies struct {
	r       *run
	grouped bool
	groups  map[string]*group
	made    []*group
	bytes   int
}

// group is the lines that are one row.
type group struct {
	cells    []string
	machines int
	lines    int
	last     string   // id of the CI of the last line: lines of one CI follow each other
	names    []string // of the first CIs
	fresh    bool     // the line that is being added is of another CI than the one before
	at       int      // the column whose cell is being tallied
}

// add takes in one line.
func (t *tallies) add(l *line) error {
	if err := t.r.ctx.Err(); err != nil {
		return err
	}
	cells := make([]string, len(t.r.def.Columns))
	for i, c := range t.r.def.Columns {
		if c.tally != nil {
			continue
		}
		v, err := c.read(t.r, l)
		if err != nil {
			return err
		}
		cells[i] = v
	}
	g := t.of(cells)
	if t.bytes > maxBytes {
		return t.r.tooMuch()
	}
	g.lines++
	if g.fresh = l.ci.ID != g.last || g.lines == 1; g.fresh {
		g.last = l.ci.ID
		g.machines++
	}
	for i, c := range t.r.def.Columns {
		if c.tally == nil {
			continue
		}
		g.at = i
		if err := c.tally(g, t.r, l); err != nil {
			return err
		}
	}
	return nil
}

// of finds the group of a line, or makes one.
func (t *tallies) of(cells []string) *group {
	key := ""
	if t.grouped {
		key = strings.Join(cells, "\x00")
		if g := t.groups[key]; g != nil {
			return g
		}
	}
	g := &group{cells: cells}
	t.made = append(t.made, g)
	t.bytes += 64 + 16*len(cells)
	for _, c := range cells {
		t.bytes += len(c)
	}
	if t.grouped {
		t.groups[key] = g
	}
	return g
}

func (t *tallies) rows() [][]string {
	var out [][]string
	for _, g := range t.made {
		if t.r.def.Shared && g.machines < 2 {
			continue
		}
		out = append(out, g.cells)
	}
	return out
}

// maxNames bounds the names of machines that stand in one cell.
const maxNames = 5

// countMachines counts the CIs of a row.
func countMachines() Column {
	return Column{Key: "machines", Kind: Number, tally: func(g *group, _ *run, _ *line) error {
		g.cells[g.at] = strconv.Itoa(g.machines)
		return nil
	}}
}

// countLines counts what a row stands for.
func countLines(key string) Column {
	return Column{Key: key, Kind: Number, tally: func(g *group, _ *run, _ *line) error {
		g.cells[g.at] = strconv.Itoa(g.lines)
		return nil
	}}
}

// countIf counts the lines of which something holds.
func countIf(key string, holds func(l *line) bool) Column {
	return Column{Key: key, Kind: Number, tally: func(g *group, _ *run, l *line) error {
		n, _ := strconv.Atoi(g.cells[g.at]) // it is empty at first
		if holds(l) {
			n++
		}
		g.cells[g.at] = strconv.Itoa(n)
		return nil
	}}
}

// examples names the first CIs of a row, and says that there are more.
func examples() Column {
	return Column{Key: "examples", Kind: Text, tally: func(g *group, _ *run, l *line) error {
		switch {
		case !g.fresh:
		case g.machines <= maxNames:
			g.names = append(g.names, l.ci.Name)
			g.cells[g.at] = strings.Join(g.names, " ")
		case g.machines == maxNames+1:
			g.cells[g.at] += " …"
		}
		return nil
	}}
}

// least and most keep the smallest and greatest cell of another column, of the
// lines that have any.
func least(key string, of Column) Column { return extreme(key, of, -1) }
func most(key string, of Column) Column  { return extreme(key, of, 1) }

func extreme(key string, of Column, sign int) Column {
	return Column{Key: key, Kind: of.Kind, Facts: slices.Clone(of.Facts), Field: of.Field, tally: func(g *group, r *run, l *line) error {
		v, err := of.read(r, l)
		if err != nil {
			return err
		}
		if v != "" && (g.cells[g.at] == "" || compare(of.Kind, v, g.cells[g.at])*sign > 0) {
			g.cells[g.at] = v
		}
		return nil
	}}
}
