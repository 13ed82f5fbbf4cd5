// Package report holds the questions that are asked again and again, each written
// down once: for whom it is, what it asks, with which parameters, of which CIs, and
// which columns the answer has. Each is an entry of All; nothing about a report is
// written anywhere else, and all texts of all languages are in the folder words.
//
// Run answers one, out of one snapshot and within the scope of who asks. It promises
// bounded time and memory, the same answer for the same state, and cells that say
// nothing but what was observed or declared: a cell is empty where nothing is known.
// Who may run which report, and how an answer looks, is left to others.
package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("no such report")
	ErrParam    = errors.New("not allowed")
	ErrCost     = errors.New("the report costs too much")
)

// User is whom a report is for.
type User string

// The four users of the product.
const (
	Operator   User = "operator"   // has somebody on the phone
	Technician User = "technician" // stands before a dead server
	Auditor    User = "auditor"    // has a list of barcodes
	Principal  User = "principal"  // and the change board
)

// Kind says what the cells of a column are, and how they are ordered.
type Kind string

// The kinds of columns.
const (
	Text    Kind = "text"
	Number  Kind = "number"  // whole, or with a point
	Size    Kind = "size"    // bytes
	Time    Kind = "time"    // RFC 3339, in UTC
	Day     Kind = "day"     // 2026-11-20, 2026-11, 2026
	Version Kind = "version" // in dpkg's order
)

// Column is one column of a report.
type Column struct {
	Key   string
	Kind  Kind
	Facts []string // paths that it reads: "*" is one component, "**" any number at the end
	Field string   // of the CI, that it reads

	read  func(r *run, l *line) (string, error)
	tally func(g *group, r *run, l *line) error // of all lines that are one row; nil: lines that differ in this column are not one row
}

// Definition is one report.
type Definition struct {
	Name   string
	For    []User
	Params []Param
	Filter string // of the CIs that it is about, with {parameters}; empty: all
	// Now tells that only the present can be asked about.
	Now bool
	// Apart tells that it is not about CIs: no filter chooses any.
	Apart   bool
	Columns []Column
	// Order names the columns by which rows are sorted, "-" before those that
	// begin with the greatest. Rows that are equal in these are sorted by all.
	Order []string
	// Shared leaves only rows of two machines or more.
	Shared bool

	// lines gives what rows are made of.
	lines func(r *run, each func(*line) error) error
	// reads are paths of facts that lines reads itself.
	reads []string
}

// Named returns the report with that name, or ErrNotFound with the nearest.
func Named(name string) (Definition, error) {
	for _, d := range All() {
		if d.Name == name {
			return d, nil
		}
	}
	return Definition{}, fmt.Errorf("report %.60q: %w: see rollcall report list", name, ErrNotFound)
}

// All returns every report, in the order in which lists show them.
func All() []Definition {
	return slices.Concat(fleet(), hardware(), software(), services(), audit(), change())
}

// Facts gives the paths of all facts that a report reads.
func (d Definition) Facts() []string {
	paths := slices.Clone(d.reads)
	for _, c := range d.Columns {
		paths = append(paths, c.Facts...)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// grouped tells whether several lines may be one row.
func (d Definition) grouped() bool {
	return slices.ContainsFunc(d.Columns, func(c Column) bool { return c.tally != nil })
}

// column gives the index of a column.
func (d Definition) column(key string) int {
	return slices.IndexFunc(d.Columns, func(c Column) bool { return c.Key == key })
}

// users joins the names of whom it is for.
func (d Definition) users() []string {
	out := make([]string, len(d.For))
	for i, u := range d.For {
		out[i] = string(u)
	}
	return out
}

// within tells whether a path is what a pattern says: "*" stands for one
// component, "**" at the end for all that follow.
func within(pattern, path string) bool {
	for pattern != "" {
		want, more, _ := strings.Cut(pattern, "/")
		if want == "**" {
			return path != ""
		}
		have, rest, _ := strings.Cut(path, "/")
		if have == "" || want != "*" && want != have {
			return false
		}
		pattern, path = more, rest
	}
	return path == ""
}
