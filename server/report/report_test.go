package report_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/query"
	"rollcall/server/report"
	"rollcall/server/report/reporttest"
)

var update = flag.Bool("update", false, "write the golden answers anew")

// examples are parameters for those reports that need some.
func examples(name string) map[string]string {
	return map[string]map[string]string{
		"package-below":    {"package": "cups", "version": "2.4.2-3+deb12u9"},
		"package-versions": {"package": "g*"},
		"same-model":       {"model": "OptiPlex 7010"},
		"growth":           {"months": "12"},
		"low-memory":       {"size": "8G"},
		"changed-hardware": {"since": "2026-11-01"},
		"changes-per-day":  {"zone": "Europe/Oslo"},
		"duplicates":       {"of": "serial"},
	}[name]
}

// told collects an answer.
func told(t *testing.T, a *report.Answer) (head *rollcallv1.ReportHead, rows [][]string, tail *rollcallv1.ReportTail) {
	t.Helper()
	err := a.Send(func(r *rollcallv1.RunReportReply) error {
		if r.GetHead() != nil {
			head = r.GetHead()
		}
		for _, row := range r.GetRows() {
			rows = append(rows, row.GetCells())
		}
		if r.GetTail() != nil {
			tail = r.GetTail()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return head, rows, tail
}

func ask(t *testing.T, f *reporttest.Fleet, scope cmdb.Scope, req *rollcallv1.RunReportRequest) (*rollcallv1.ReportHead, [][]string) {
	t.Helper()
	a, err := f.Ask(t.Context(), scope, req)
	if err != nil {
		t.Fatalf("%s: %v", req.GetName(), err)
	}
	head, rows, _ := told(t, a)
	return head, rows
}

func TestEachReportAnswersTheRecordedFleetAsItAlwaysDid(t *testing.T) {
	f := reporttest.New(t)
	var b strings.Builder
	for _, d := range report.All() {
		head, rows := ask(t, f, cmdb.Everywhere, &rollcallv1.RunReportRequest{Name: d.Name, Params: examples(d.Name)})
		fmt.Fprintf(&b, "# %s: %s\n", d.Name, head.GetQuestion())
		var keys []string
		for _, c := range head.GetColumns() {
			keys = append(keys, c.GetKey())
		}
		for _, cells := range append([][]string{keys}, rows...) {
			b.WriteString(strings.Join(cells, " | ") + "\n")
		}
		if len(rows) == 0 {
			t.Errorf("%s finds nothing in the recorded fleet: it is not tested", d.Name)
		}
		b.WriteString("\n")
	}
	const golden = "testdata/answers.txt"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant what is in %s", b.String(), golden)
	}
}

func TestThereAreReportsForEachOfTheFourUsers(t *testing.T) {
	all, names, users := report.All(), map[string]bool{}, map[report.User]int{}
	for _, d := range all {
		if names[d.Name] {
			t.Errorf("two reports are called %s", d.Name)
		}
		names[d.Name] = true
		for _, u := range d.For {
			users[u]++
		}
		for _, key := range d.Order {
			if !slices.ContainsFunc(d.Columns, func(c report.Column) bool { return c.Key == strings.TrimPrefix(key, "-") }) {
				t.Errorf("%s is ordered by %s, which is no column of it", d.Name, key)
			}
		}
	}
	if len(all) < 20 {
		t.Errorf("%d reports, want 20 or more", len(all))
	}
	for _, u := range []report.User{report.Operator, report.Technician, report.Auditor, report.Principal} {
		if users[u] < 5 {
			t.Errorf("%d reports for the %s, want 5 or more", users[u], u)
		}
	}
}

func TestEachFilterAndFieldIsOneOfTheFilterLanguage(t *testing.T) {
	known := map[string]bool{"owner": true, "barcode": true, "purchased": true} // declared by people
	for _, f := range query.Fields() {
		known[f.Name] = true
	}
	for _, d := range report.All() {
		filter := d.Filter
		for _, p := range d.Params {
			value := map[report.ParamKind]string{report.AsNumber: "3", report.AsSize: `"8G"`}[p.Kind]
			if value == "" {
				value = `"x"`
			}
			filter = strings.ReplaceAll(filter, "{"+p.Name+"}", value)
		}
		if filter == "" {
			continue
		}
		if _, err := query.Parse(filter, nil); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
		for _, c := range d.Columns {
			if c.Field != "" && !known[c.Field] {
				t.Errorf("%s: there is no field %s", d.Name, c.Field)
			}
		}
	}
}

func TestEveryTextIsThereInEveryLanguageAndNoOther(t *testing.T) {
	need := map[string]bool{}
	for _, w := range []string{"asked", "filter", "rows", "more", "none", "settings", "report"} {
		need["word."+w] = true
	}
	for _, d := range report.All() {
		need["report."+d.Name], need["question."+d.Name] = true, true
		for _, c := range d.Columns {
			need["column."+c.Key] = true
		}
		for _, p := range d.Params {
			need["param."+p.Name] = true
		}
	}
	for lang, texts := range report.Languages() {
		for key := range need {
			if texts[key] == "" {
				t.Errorf("%s lacks %s", lang, key)
			}
		}
		for key := range texts {
			if !need[key] {
				t.Errorf("%s has %s, which nothing needs", lang, key)
			}
		}
	}
	for asked, want := range map[string]string{"": "en", "C": "en", "de_DE.UTF-8": "en", "nb_NO.UTF-8": "nb", "nn_NO": "nb", "no": "nb", "NB": "nb", "../../etc": "en"} {
		if got := report.List(asked, func(report.Definition) bool { return true }).GetLang(); got != want {
			t.Errorf("language %q: got %s, want %s", asked, got, want)
		}
	}
}

func TestClass04AParameterCannotLeaveItsPlaceInTheFilter(t *testing.T) {
	f := reporttest.New(t)
	for _, hostile := range []string{`cups" or name ~ "*`, `cups) or (name ~ *`, `\`, `"`, `x\" or name ~ "*`, `{version}`, `cups" and "`} {
		_, rows := ask(t, f, cmdb.Everywhere, &rollcallv1.RunReportRequest{Name: "same-model", Params: map[string]string{"model": hostile}})
		if len(rows) > 0 {
			t.Errorf("model=%q selects %v", hostile, rows)
		}
	}
}

func TestParametersThatCannotBeRightAreRefusedWithWhatToWrite(t *testing.T) {
	f := reporttest.New(t)
	tests := []struct{ name, param, value, says string }{
		{"silent", "days", "many", "whole number"},
		{"silent", "days", "-1", "whole number"},
		{"silent", "days", "1 or name ~ *", "whole number"},
		{"silent", "weeks", "1", "it has days"},
		{"low-memory", "size", "8 gigs", "such as 512M or 4G"},
		{"growth", "months", "13", "one of 3, 6, 12"},
		{"moved", "since", "last tuesday", "2026-11-20, 7d or 3m"},
		{"moved", "since", "9999y", "before 1970"},
		{"out-of-hours", "from", "7", "07:30"},
		{"out-of-hours", "zone", "Mars/Olympus", "Europe/Oslo"},
		{"out-of-hours", "zone", "../../../etc/passwd", "Europe/Oslo"},
		{"same-model", "model", "", "needs model=TEXT"},
		{"same-model", "model", strings.Repeat("*", 201), "more than 200 bytes"},
		{"same-model", "model", "a\x1b[2J", "control characters"},
		{"places", "x", "1", "it has none"},
	}
	for _, tt := range tests {
		_, err := f.Ask(t.Context(), cmdb.Everywhere, &rollcallv1.RunReportRequest{Name: tt.name, Params: map[string]string{tt.param: tt.value}})
		if !errors.Is(err, report.ErrParam) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s %s=%.20q: %v, want one that says %q", tt.name, tt.param, tt.value, err, tt.says)
		}
	}
	if _, err := f.Ask(t.Context(), cmdb.Everywhere, &rollcallv1.RunReportRequest{Name: "nothing"}); !errors.Is(err, report.ErrNotFound) {
		t.Errorf("an unknown report: %v", err)
	}
	if _, err := f.Ask(t.Context(), cmdb.Everywhere, &rollcallv1.RunReportRequest{Name: "waiting-keys", Filter: "name = pc01"}); !errors.Is(err, report.ErrParam) {
		t.Errorf("a filter that would do nothing: %v", err)
	}
	past := &rollcallv1.RunReportRequest{Name: "silent", AtMs: reporttest.Now.Add(-time.Hour).UnixMilli()}
	if _, err := f.Ask(t.Context(), cmdb.Everywhere, past); !errors.Is(err, report.ErrParam) {
		t.Errorf("who was silent an hour ago is not known, got %v", err)
	}
}

// Whoever sees one site only gets reports about that site: nothing else is in any
// cell, and nothing is counted.
func TestClass06AReportTellsNothingOfOtherSites(t *testing.T) {
	f := reporttest.New(t)
	for _, d := range report.All() {
		if d.Name == "waiting-keys" { // its source is the caller's, see server/api
			continue
		}
		_, rows := ask(t, f, cmdb.Within("elm/north"), &rollcallv1.RunReportRequest{Name: d.Name, Params: examples(d.Name)})
		for _, cells := range rows {
			for _, other := range []string{"clone0", "nb-17", "old01", "zz-new01", "pc02"} {
				if strings.Contains(strings.Join(cells, " "), other) {
					t.Errorf("%s: %q tells of %s", d.Name, cells, other)
				}
			}
		}
	}
	_, rows := ask(t, f, cmdb.Scope{}, &rollcallv1.RunReportRequest{Name: "inventory"})
	if len(rows) != 0 {
		t.Errorf("who sees no site gets %v", rows)
	}
}

func TestAReportAsOfAnEarlierTimeTellsHowItWas(t *testing.T) {
	f := reporttest.New(t)
	at := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	_, rows := ask(t, f, cmdb.Everywhere, &rollcallv1.RunReportRequest{Name: "package-versions", Params: map[string]string{"package": "cups"}, AtMs: at})
	for _, cells := range rows {
		if cells[1] == "2.4.2-3+deb12u9" {
			t.Errorf("%v was installed only in November", cells)
		}
	}
	_, rows = ask(t, f, cmdb.Everywhere, &rollcallv1.RunReportRequest{Name: "inventory", Filter: "name = nb-17", AtMs: at})
	if len(rows) != 1 || rows[0][2] != "elm/north" {
		t.Errorf("nb-17 stood in elm/north then, got %v", rows)
	}
}

func TestRowsBeyondTheLimitAreCountedAndNotSent(t *testing.T) {
	f := reporttest.New(t)
	a, err := f.Ask(t.Context(), cmdb.Everywhere, &rollcallv1.RunReportRequest{Name: "inventory", Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	_, rows, tail := told(t, a)
	if len(rows) != 2 || tail.GetRows() != 10 || !tail.GetMore() || tail.GetMachines() != 10 {
		t.Errorf("got %d rows and %v, want 2 of 10", len(rows), tail)
	}
}

func TestFactsGivesEveryPathThatAReportReads(t *testing.T) {
	for _, d := range report.All() {
		for _, path := range d.Facts() {
			if !strings.Contains(path, "/") {
				t.Errorf("%s reads %q, which is no path", d.Name, path)
			}
		}
	}
	with := 0
	for _, d := range report.All() {
		if len(d.Facts()) > 0 {
			with++
		}
	}
	if with < 20 {
		t.Errorf("only %d reports read facts", with)
	}
}
