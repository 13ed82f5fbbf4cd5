package archtest

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// What docs/security.md promises is tested: every test that it names is there,
// and no row of a promise, an attacker or a class of bugs is missing.
func TestEveryTestThatTheSecurityPageNamesExists(t *testing.T) {
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := testsOf(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range unproven(string(page), tests) {
		t.Errorf("docs/security.md: %s", problem)
	}
}

var testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)

// testsOf returns the names of all tests of the module.
func testsOf(fsys fs.FS) (map[string]bool, error) {
	tests := map[string]bool{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(fsys, name)
		for _, m := range testFunc.FindAllSubmatch(text, -1) {
			tests[string(bytes.Clone(m[1]))] = true
		}
		return err
	})
	return tests, err
}

var namedTest = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)\\w+)`")

// unknownTests returns which tests a page names that are not there.
func unknownTests(page string, tests map[string]bool) (problems []string) {
	for _, m := range namedTest.FindAllStringSubmatch(page, -1) {
		if !tests[m[1]] {
			problems = append(problems, m[1]+" is no test of this module")
		}
	}
	return problems
}

// unproven returns what the page lacks.
func unproven(page string, tests map[string]bool) (problems []string) {
	problems = unknownTests(page, tests)
	for _, part := range []struct {
		form string
		last int
	}{{"P%d", 18}, {"T%d", 12}, {"I%d", 9}, {"%d", 35}} {
		for n := 1; n <= part.last; n++ {
			if row := fmt.Sprintf("\n| "+part.form+" |", n); !strings.Contains(page, row) {
				problems = append(problems, "there is no row "+strings.Trim(row, "\n|"))
			}
		}
	}
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		row := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "|"), "|")
		cells := strings.Split(row, "|")
		name := strings.TrimSpace(cells[0])
		switch {
		case regexp.MustCompile(`^P\d+$`).MatchString(name) && (len(cells) != 5 || !namedTest.MatchString(cells[3])):
			problems = append(problems, "promise "+name+" has no test, or not five columns")
		case regexp.MustCompile(`^\d+$`).MatchString(name) && (len(cells) != 3 || strings.TrimSpace(cells[2]) == ""):
			problems = append(problems, "class "+name+" has neither a test nor a reason")
		}
	}
	return problems
}

// What docs/agent.md says of pitfalls is tested, or has a reason.
func TestEveryTestThatThePageOfTheAgentNamesExists(t *testing.T) {
	page, err := os.ReadFile("../../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := testsOf(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "\n### Pitfalls\n")
	if rows := strings.Count(table, "\n| "); !found || rows < 25 {
		t.Errorf("the table of pitfalls has %d rows", rows)
	}
	for _, problem := range unknownTests(string(page), tests) {
		t.Errorf("docs/agent.md: %s", problem)
	}
	if got := unknownTests("`TestOfNothing`", tests); len(got) != 1 { // the check can fail
		t.Errorf("a test that is not there: %q", got)
	}
}

func TestTheCheckOfTheSecurityPageCanFail(t *testing.T) {
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := testsOf(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ old, new, want string }{
		{"`TestVerifyFindsEveryFlippedBit`", "`TestVerifyFindsNothing`", "TestVerifyFindsNothing is no test"},
		{"\n| P7 |", "\n| Q7 |", "no row  P7"},
		{"\n| 12 |", "\n| x |", "no row  12"},
		{"the server opens no connection: it has no webhooks and no URL fields", "", "class 25 has neither"},
	} {
		got := unproven(strings.Replace(string(page), tt.old, tt.new, 1), tests)
		if !strings.Contains(strings.Join(got, "\n"), tt.want) {
			t.Errorf("%q instead of %q: got %q, want %q", tt.new, tt.old, got, tt.want)
		}
	}
}
