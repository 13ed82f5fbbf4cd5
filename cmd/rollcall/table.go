package main

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// displayWidth is the number of columns that inert text takes in a terminal:
// two for East Asian wide characters (Unicode Standard Annex 11), none for
// combining marks.
func displayWidth(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cutWidth returns the beginning of s that fits into n columns: at least one
// rune, so that who cuts piece by piece comes to an end.
func cutWidth(s string, n int) string {
	used := 0
	for i, r := range s {
		w := runeWidth(r)
		if i > 0 && used+w > n {
			return s[:i]
		}
		used += w
	}
	return s
}

// cell is one field of a table.
type cell struct {
	text  string
	style style
}

// table is rows of cells under a header. Columns are as wide as their widest
// cell; on a terminal the elastic column gives way so that a row keeps to one
// line, and what still does not fit is cut with "…". Where there is no terminal
// nothing is ever cut.
type table struct {
	header  []string
	rows    [][]cell
	right   map[int]bool // columns of numbers
	elastic int          // column that gives way first
}

const columnGap = 2

// row adds cells without a style.
func (t *table) row(cells ...string) {
	r := make([]cell, len(cells))
	for i, c := range cells {
		r[i].text = c
	}
	t.rows = append(t.rows, r)
}

// write writes the table.
func (t *table) write(s *screen) {
	if len(t.rows) == 0 {
		return
	}
	widths := t.widths(s.width)
	head := make([]cell, len(t.header))
	for i, h := range t.header {
		head[i] = cell{h, bold}
	}
	t.writeRow(s, head, widths)
	for _, r := range t.rows {
		t.writeRow(s, r, widths)
	}
}

// widths measures the columns; limit is the width of the terminal or 0.
func (t *table) widths(limit int) []int {
	widths := make([]int, len(t.header))
	for i, h := range t.header {
		widths[i] = displayWidth(h)
	}
	for _, r := range t.rows {
		for i := range r {
			r[i].text = inertLine(r[i].text)
			widths[i] = max(widths[i], displayWidth(r[i].text))
		}
	}
	total := columnGap * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	if over := total - limit; limit > 0 && over > 0 {
		least := max(10, displayWidth(t.header[t.elastic]))
		widths[t.elastic] -= min(over, max(0, widths[t.elastic]-least))
	}
	return widths
}

func (t *table) writeRow(s *screen, r []cell, widths []int) {
	at, pad := 0, 0 // columns used, and spaces that stand before the next text
	for i, c := range r {
		text, room := c.text, widths[i]
		if s.width > 0 {
			room = min(room, max(0, s.width-at))
			text = shorten(text, room)
		}
		free := max(0, room-displayWidth(text))
		if t.right[i] {
			pad, free = pad+free, 0
		}
		if text != "" {
			s.text(plain, strings.Repeat(" ", pad))
			s.text(c.style, text)
			pad = 0
		} else {
			free = room
		}
		pad += free + columnGap
		at += widths[i] + columnGap
	}
	s.text(plain, "\n")
}

// shorten cuts text to n columns and marks that it did.
func shorten(text string, n int) string {
	if displayWidth(text) <= n {
		return text
	}
	if n <= 1 {
		return strings.Repeat("…", max(0, n))
	}
	return strings.TrimRight(cutWidth(text, n-1), " ") + "…"
}
