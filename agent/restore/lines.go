package restore

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"rollcall/internal/fact"
)

// Bounds of the differ: beyond them a file counts as replaced as a whole.
const (
	maxLines = 20_000
	maxEdits = 1_000
)

// hunk says that lines a0 to a1 of the first text stand for b0 to b1 of the
// second.
type hunk struct{ a0, a1, b0, b1 int }

// diffLines finds a shortest edit script (Myers, "An O(ND) Difference Algorithm
// and Its Variations", 1986) as the hunks that differ.
func diffLines(a, b []string) []hunk {
	pre := 0
	for pre < len(a) && pre < len(b) && a[pre] == b[pre] {
		pre++
	}
	post := 0
	for post < len(a)-pre && post < len(b)-pre && a[len(a)-1-post] == b[len(b)-1-post] {
		post++
	}
	mid := hunk{pre, len(a) - post, pre, len(b) - post}
	if mid.a0 == mid.a1 && mid.b0 == mid.b1 {
		return nil
	}
	if mid.a0 == mid.a1 || mid.b0 == mid.b1 || len(a)+len(b) > maxLines {
		return []hunk{mid}
	}
	trace := myers(a[mid.a0:mid.a1], b[mid.b0:mid.b1])
	if trace == nil {
		return []hunk{mid}
	}
	return backtrack(trace, mid)
}

// myers returns the furthest points of every round, or nil if there are too
// many edits.
func myers(a, b []string) [][]int {
	bound := min(len(a)+len(b), maxEdits)
	v := make([]int, 2*bound+3)
	var trace [][]int
	for d := 0; d <= bound; d++ {
		trace = append(trace, append([]int(nil), v[bound+1-d-1:bound+1+d+2]...))
		for k := -d; k <= d; k += 2 {
			x := v[bound+1+k-1] + 1
			if k == -d || k != d && v[bound+1+k-1] < v[bound+1+k+1] {
				x = v[bound+1+k+1]
			}
			for x < len(a) && x-k < len(b) && a[x] == b[x-k] {
				x++
			}
			v[bound+1+k] = x
			if x >= len(a) && x-k >= len(b) {
				return trace
			}
		}
	}
	return nil
}

// backtrack walks the rounds from the end and joins single edits into hunks.
func backtrack(trace [][]int, mid hunk) []hunk {
	x, y := mid.a1-mid.a0, mid.b1-mid.b0
	var out []hunk
	for d := len(trace) - 1; d > 0; d-- {
		at := func(k int) int { return trace[d][k+d+1] }
		k := x - y
		prev := k - 1
		if k == -d || k != d && at(k-1) < at(k+1) {
			prev = k + 1
		}
		px := at(prev)
		py := px - prev
		sx, sy := px, py // after the edit, before the snake
		if prev < k {
			sx++
		} else {
			sy++
		}
		h := hunk{mid.a0 + px, mid.a0 + sx, mid.b0 + py, mid.b0 + sy}
		if n := len(out); n > 0 && out[n-1].a0 == h.a1 && out[n-1].b0 == h.b1 {
			out[n-1].a0, out[n-1].b0 = h.a0, h.b0
		} else {
			out = append(out, h)
		}
		x, y = px, py
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// merge3 puts the changes from base to ours and from base to theirs together.
// clean is false if both touch the same or neighbouring lines in different ways;
// there is no merged text then.
func merge3(base, ours, theirs []string) (merged []string, clean bool) {
	x, y := diffLines(base, ours), diffLines(base, theirs)
	at := 0
	for len(x) > 0 || len(y) > 0 {
		var h hunk
		var from []string
		switch {
		case len(y) == 0 || len(x) > 0 && x[0].a1 < y[0].a0:
			h, from, x = x[0], ours, x[1:]
		case len(x) == 0 || y[0].a1 < x[0].a0:
			h, from, y = y[0], theirs, y[1:]
		case x[0].a0 == y[0].a0 && x[0].a1 == y[0].a1 && equalLines(ours[x[0].b0:x[0].b1], theirs[y[0].b0:y[0].b1]):
			h, from, x, y = x[0], ours, x[1:], y[1:]
		default:
			return nil, false
		}
		merged = append(append(merged, base[at:h.a0]...), from[h.b0:h.b1]...)
		at = h.a1
	}
	return append(merged, base[at:]...), true
}

func equalLines(a, b []string) bool {
	return strings.Join(a, "") == strings.Join(b, "") && len(a) == len(b)
}

// isText tells whether a content can be merged by lines and shown.
func isText(b []byte) bool { return utf8.Valid(b) && !bytes.ContainsRune(b, 0) && len(b) <= 1<<20 }

// splitLines cuts a text into lines with their newlines; only the last one may
// be without.
func splitLines(b []byte) []string {
	lines := strings.SplitAfter(string(b), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

func joinLines(lines []string) []byte { return []byte(strings.Join(lines, "")) }

// unified shows the difference between two texts in the form of diff -u. All
// lines are made inert.
func unified(oldName, newName string, old, new []byte) string {
	if bytes.Equal(old, new) {
		return ""
	}
	if !isText(old) || !isText(new) {
		return ""
	}
	const context = 3
	a, b := splitLines(old), splitLines(new)
	hunks := diffLines(a, b)
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", inertLine(oldName), inertLine(newName))
	for i := 0; i < len(hunks); {
		j := i + 1
		for j < len(hunks) && hunks[j].a0-hunks[j-1].a1 <= 2*context {
			j++
		}
		group := hunks[i:j]
		first, last := group[0], group[len(group)-1]
		a0, a1 := max(first.a0-context, 0), min(last.a1+context, len(a))
		b0, b1 := first.b0-(first.a0-a0), last.b1+(a1-last.a1)
		fmt.Fprintf(&out, "@@ -%s +%s @@\n", span(a0, a1), span(b0, b1))
		at := a0
		for _, h := range group {
			writeLines(&out, ' ', a[at:h.a0])
			writeLines(&out, '-', a[h.a0:h.a1])
			writeLines(&out, '+', b[h.b0:h.b1])
			at = h.a1
		}
		writeLines(&out, ' ', a[at:a1])
		i = j
	}
	return out.String()
}

func span(from, to int) string {
	if to == from {
		return fmt.Sprintf("%d,0", from)
	}
	return fmt.Sprintf("%d,%d", from+1, to-from)
}

func writeLines(out *strings.Builder, mark byte, lines []string) {
	for _, l := range lines {
		out.WriteByte(mark)
		text, ended := strings.CutSuffix(l, "\n")
		out.WriteString(inertLine(text))
		out.WriteByte('\n')
		if !ended {
			out.WriteString("\\ No newline at end of file\n")
		}
	}
}

// inertLine escapes what could act on a terminal; tab and "%" stay, as these
// are read by people only.
func inertLine(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == '\t' || r == '%' {
			b.WriteRune(r)
		} else {
			b.WriteString(fact.Escape(string(r)))
		}
	}
	return b.String()
}
