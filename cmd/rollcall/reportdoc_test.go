package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/report"
)

// TestGeneratedListOfReportsIsCurrent compares docs/reports.md with the definitions.
func TestGeneratedListOfReportsIsCurrent(t *testing.T) {
	const file, begins = "../../docs/reports.md", "## Which reports there are\n"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	above, _, ok := strings.Cut(string(b), begins)
	if !ok {
		t.Fatalf("%s has no %q", file, begins)
	}
	want := above + begins + listOfReports()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(b) != want {
		t.Errorf("%s is not current; run: make generate", file)
	}
}

func listOfReports() string {
	var b strings.Builder
	all := report.List("en", func(report.Definition) bool { return true }).GetReports()
	columns := map[string]string{}
	for _, d := range report.All() {
		var keys []string
		for _, c := range d.Columns {
			keys = append(keys, c.Key)
		}
		columns[d.Name] = strings.Join(keys, ", ")
	}
	fmt.Fprintf(&b, "\n%d reports. What follows is made from their definitions by `make generate`.\n", len(all))
	for _, r := range all {
		fmt.Fprintf(&b, "\n### %s\n\n%s For the %s.\n\n", r.GetName(), r.GetQuestion(), joinedWords(r.GetUsers()))
		if r.GetFilter() != "" {
			fmt.Fprintf(&b, "- of: `%s`\n", r.GetFilter())
		}
		for _, p := range r.GetParams() {
			fmt.Fprintf(&b, "- `%s=`%s\n", p.GetName(), paramWords(p))
		}
		if !r.GetAt() {
			b.WriteString("- the present only\n")
		}
		fmt.Fprintf(&b, "- columns: %s\n", columns[r.GetName()])
	}
	return b.String()
}

func paramWords(p *rollcallv1.ReportParam) string {
	s := " " + p.GetHelp()
	if len(p.GetAllowed()) > 0 {
		s += ": " + strings.Join(p.GetAllowed(), ", ")
	} else {
		s += " (" + p.GetKind() + ")"
	}
	switch {
	case p.GetDefault() != "":
		return s + "; `" + p.GetDefault() + "` unless given"
	case p.GetOptional():
		return s
	}
	return s + "; must be given"
}

func joinedWords(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and the " + words[len(words)-1]
}
