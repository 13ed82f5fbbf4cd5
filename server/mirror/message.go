package mirror

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a commit's message. Changing them, or any wording below, changes
// the commit ids of a rebuilt mirror: every clone must then be made anew.
const (
	maxSubject = 72 // characters
	maxLines   = 60
	maxLine    = 300 // bytes
)

// message says in words what a revision changed. The trailers tell what the
// commit stands for.
func message(r Rev, sections map[string]*sectionChange) string {
	var phrases, lines []string
	switch {
	case r.Into != "": // that all of it goes is told by the tree
		phrases = []string{"is CI " + line(r.Into) + ", merged into it"}
	case r.Left != "":
		phrases = []string{"is not CI " + line(r.Left) + ", split from it"}
	case r.first():
		phrases = []string{firstWords(sections)}
	default:
		phrases, lines = words(r, sections)
	}
	if len(phrases) == 0 {
		phrases = []string{"recorded without a change of facts"}
	}
	return compose(r, phrases, lines)
}

// goneMessage is the message in the repository that the machine has left.
func goneMessage(r Rev) string {
	to := "moved to " + r.Repo
	if r.Repo == "" {
		to = "taken out of the mirror"
	}
	return compose(r, []string{to}, nil)
}

func compose(r Rev, phrases, lines []string) string {
	var b strings.Builder
	b.WriteString(line(subject(line(r.Name), phrases)))
	b.WriteString("\n\n")
	if r.By != "" {
		fmt.Fprintf(&b, "By %s", cut(line(r.By), maxLine))
		if r.Reason != "" {
			fmt.Fprintf(&b, ": %s", cut(line(r.Reason), maxLine))
		}
		b.WriteString("\n")
	}
	for i, l := range lines {
		if i == maxLines {
			fmt.Fprintf(&b, "- … and %d more\n", len(lines)-i)
			break
		}
		fmt.Fprintf(&b, "- %s\n", cut(line(l), maxLine))
	}
	if r.By != "" || len(lines) > 0 {
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%s%s\n%s%d\n%s%d\n", trailerCI, line(r.CI), trailerRevision, r.N, trailerStamp, r.Stamp)
	if r.Report != "" {
		fmt.Fprintf(&b, "%s%s\n", trailerReport, line(r.Report))
	}
	return b.String()
}

// subject joins as many phrases as fit behind the machine's name.
func subject(name string, phrases []string) string {
	s := cutRunes(name, maxSubject/2) + ": "
	for i, p := range phrases {
		sep, more := "", 0
		if i > 0 {
			sep = "; "
		}
		if i < len(phrases)-1 {
			more = utf8.RuneCountInString("; …")
		}
		if i > 0 && utf8.RuneCountInString(s+sep+p)+more > maxSubject {
			return s + "; …"
		}
		s = cutRunes(s+sep+p, maxSubject-more)
	}
	return s
}

// cutRunes cuts to n characters, the last of which is then "…".
func cutRunes(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// cut cuts to n bytes.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

func firstWords(sections map[string]*sectionChange) string {
	count := func(section string, fits func(path string) bool) int {
		if ch := sections[section]; ch != nil {
			return ch.new.count(fits)
		}
		return 0
	}
	packages := count("pkg", func(path string) bool { return strings.HasSuffix(path, "/version") })
	entries := count("etc", func(string) bool { return true })
	return fmt.Sprintf("first inventory, %s, %s below /etc",
		counted(packages, "package", "packages"), counted(entries, "entry", "entries"))
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// words gives phrases for the subject and lines for the body.
func words(r Rev, sections map[string]*sectionChange) (phrases, lines []string) {
	add := func(summary string, all []string) {
		switch {
		case len(all) == 0:
		case len(all) == 1:
			phrases = append(phrases, all[0])
		default:
			phrases = append(phrases, summary)
		}
		lines = append(lines, all...)
	}
	var declared []string
	for _, f := range r.Fields {
		declared = append(declared, line(f.Name)+" "+fromTo(line(f.Old), line(f.New)))
	}
	add(fmt.Sprintf("%d declared values changed", len(declared)), declared)
	add(packageWords(sections["pkg"].changes()))
	add(etcWords(sections["etc"].changes()))
	add(hardwareWords(sections["hw"]))
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		switch name {
		case "pkg", "etc", "hw":
			continue
		case "conffile":
			if len(sections["etc"].changes()) > 0 {
				continue // says the same again
			}
		}
		all := plainWords(sections[name].changes())
		add(fmt.Sprintf("%s: %d changes", name, len(all)), all)
	}
	if len(r.Events) > 0 {
		var events []string
		for _, e := range r.Events[:min(len(r.Events), 10)] {
			events = append(events, "event: "+line(e))
		}
		lines = append(lines, events...)
	}
	return phrases, lines
}

func fromTo(old, new string) string {
	switch {
	case old == "":
		return "set to " + new
	case new == "":
		return old + " removed"
	}
	return old + " → " + new
}
