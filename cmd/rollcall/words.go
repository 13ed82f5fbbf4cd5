package main

import (
	"fmt"
	"strings"
)

// plural counts: "1 machine", "3 machines".
func plural[N uint64 | uint32 | int](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// sizeWords gives a number of bytes in the largest unit that keeps it readable.
func sizeWords(n uint64) string {
	const unit = 1024
	if n < unit {
		return plural(n, "byte")
	}
	size, name := float64(n)/unit, "KiB"
	for _, next := range []string{"MiB", "GiB", "TiB"} {
		if size < unit {
			break
		}
		size, name = size/unit, next
	}
	return fmt.Sprintf("%.1f %s", size, name)
}

// firstLine is what stands before the first line feed.
func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// orDash shows that there is nothing.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// some joins the first n words and says how many more there are.
func some(words []string, n int) string {
	if len(words) <= n {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:n], ", "), len(words)-n)
}

// fields writes names and values, the values below each other, and wrapped on a
// terminal.
func (a *app) fields(indent string, rows [][2]string) {
	width := 0
	for _, r := range rows {
		width = max(width, displayWidth(inertLine(r[0])))
	}
	for _, r := range rows {
		name := inertLine(r[0])
		first := indent + name + strings.Repeat(" ", width-displayWidth(name)+columnGap)
		if a.out.width == 0 {
			a.out.text(plain, first)
			a.out.line("%s", r[1])
			continue
		}
		a.out.paragraph(plain, first, indent+strings.Repeat(" ", width+columnGap), r[1])
	}
}
