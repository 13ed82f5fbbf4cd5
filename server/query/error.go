package query

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"rollcall/internal/fact"
)

// SyntaxError says what is wrong with a filter, and where.
type SyntaxError struct {
	Src   string // the filter
	Saved string // its name, if it is a saved one that the filter names
	Pos   int    // column of the first wrong character, counted in characters from 1
	Msg   string
	Hint  string // what to write instead; may be empty
}

// Error gives the message, the line with a caret below the column, and the hint.
func (e *SyntaxError) Error() string {
	line, column := e.line()
	what := "filter"
	if e.Saved != "" {
		what = "saved filter @" + e.Saved
	}
	s := fmt.Sprintf("%s, column %d: %s\n  %s\n  %s^", what, e.Pos, e.Msg, line, strings.Repeat(" ", column))
	if e.Hint != "" {
		s += "\n" + e.Hint
	}
	return s
}

// shownWidth is how much of a long filter an error shows around the column.
const shownWidth = 100

// line returns the filter on one line, made inert and cut around the column, and
// how many characters stand before the column.
func (e *SyntaxError) line() (text string, before int) {
	rs := []rune(strings.ToValidUTF8(strings.NewReplacer("\n", " ", "\t", " ", "\r", " ").Replace(e.Src), "?"))
	at := min(max(e.Pos-1, 0), len(rs))
	from, to := 0, len(rs)
	if at > shownWidth/2 {
		from = at - shownWidth/2
	}
	if to-from > shownWidth {
		to = from + shownWidth
	}
	head := fact.Escape(string(rs[from:at]))
	text = head + fact.Escape(string(rs[at:to]))
	before = utf8.RuneCountInString(head)
	if from > 0 {
		text, before = "…"+text, before+1
	}
	if to < len(rs) {
		text += "…"
	}
	return strings.ReplaceAll(text, "%25", "%"), before - 2*strings.Count(head, "%25")
}

// syntax makes an error at a byte offset.
func syntax(src string, offset int, msg, hint string) *SyntaxError {
	return &SyntaxError{Src: src, Pos: utf8.RuneCountInString(strings.ToValidUTF8(src[:min(offset, len(src))], "?")) + 1, Msg: msg, Hint: hint}
}

// nearest returns the name that s most likely stands for, or "".
func nearest(s string, names []string) string {
	best, found := len(s)/3+1, ""
	for _, n := range names {
		if d := distance(strings.ToLower(s), n); d <= best && (d < best || found == "") {
			best, found = d, n
		}
	}
	return found
}

// maxDistance is how many letters may be wrong in a word for which others are
// suggested.
const maxDistance = 3

// Nearest returns up to n of the names that a word may stand for, nearest first:
// those in which a third of the letters is another, and at most three.
func Nearest(word string, names []string, n int) []string {
	type near struct {
		name string
		d    int
	}
	most := min(maxDistance, len(word)/3+1)
	word = strings.ToLower(word)
	var found []near
	for _, name := range names {
		if len(name) > len(word)+most || len(word) > len(name)+most {
			continue
		}
		if d := distance(word, strings.ToLower(name)); d <= most && d > 0 {
			found = append(found, near{name, d})
		}
	}
	slices.SortFunc(found, func(a, b near) int { return cmp.Or(a.d-b.d, strings.Compare(a.name, b.name)) })
	var out []string
	for _, f := range found[:min(n, len(found))] {
		out = append(out, f.name)
	}
	return out
}

// distance is the edit distance of two short words (Levenshtein), a swap of two
// neighbours counting one.
func distance(a, b string) int {
	if len(a) > 40 || len(b) > 40 {
		return max(len(a), len(b))
	}
	var prev2 []int
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, prev[j]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
		}
		prev2, prev = prev, row
	}
	return prev[len(b)]
}
