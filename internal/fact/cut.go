package fact

import "unicode/utf8"

// Cut is Value with a length of its own: it makes s inert and at most n bytes
// long, with "…" for what is missing. It never ends within a character or
// within a "%XX". n is at least 6.
func Cut(s string, n int) string {
	v := Value(s)
	if len(v) <= n {
		return v
	}
	const mark = "…"
	end := n - len(mark)
	for !utf8.RuneStart(v[end]) {
		end--
	}
	for back := 1; back <= 2 && back <= end; back++ {
		if v[end-back] == '%' {
			end -= back
			break
		}
	}
	return v[:end] + mark
}
