package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rollcall/server/report"
	"rollcall/server/report/reporttest"
)

// asker runs the program against a fake server.
func asker(t *testing.T, f *fake) func(args ...string) (out, errs string, status int) {
	t.Helper()
	t.Cleanup(f.stop)
	login := filepath.Join(t.TempDir(), "login")
	if err := os.WriteFile(login, []byte(f.token), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) (string, string, int) {
		var out, errs bytes.Buffer
		a := testApp(&out)
		a.err = newScreen(&errs)
		return wait(a.run(t.Context(), append([]string{"--login", login}, args...)), &out, &errs)
	}
}

func wait(status int, out, errs *bytes.Buffer) (string, string, int) {
	return out.String(), errs.String(), status
}

// reportExamples are parameters for those reports that need some.
var reportExamples = map[string][]string{
	"package-below":    {"package=cups", "version=2.4.2-3+deb12u9"},
	"package-versions": {"package=g*"},
	"same-model":       {"model=OptiPlex 7010"},
	"growth":           {"months=3"},
	"low-memory":       {"size=8G"},
	"changed-hardware": {"since=2026-11-01"},
}

func TestEachReportInEachFormIsWhatItWas(t *testing.T) {
	f, err := newFake("plain")
	if err != nil {
		t.Fatal(err)
	}
	f.fleet = reporttest.New(t)
	ask := asker(t, f)
	for _, d := range report.All() {
		for _, form := range reportForms {
			args := append([]string{"report", "run", d.Name, "--format", form}, reportExamples[d.Name]...)
			if form == "html" {
				args = append(args, "--lang", "nb_NO.UTF-8")
			}
			out, errs, status := ask(args...)
			if status != 0 {
				t.Errorf("%s as %s: %s", d.Name, form, errs)
				continue
			}
			same(t, filepath.Join("testdata", "report", d.Name+"."+form), out)
		}
	}
}

// same compares with a golden file.
func same(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", golden, got, want)
	}
}

func harming(t *testing.T) func(args ...string) (out, errs string, status int) {
	t.Helper()
	f, err := newFake("plain")
	if err != nil {
		t.Fatal(err)
	}
	return asker(t, f)
}

// Whatever a spreadsheet takes for the beginning of a cell, no cell begins with
// what it would compute: whether it cuts at commas, semicolons or tabs.
func TestClass16NoCellOfACSVIsComputedByASpreadsheet(t *testing.T) {
	out, errs, status := harming(t)("report", "run", "x", "--format", "csv")
	if status != 0 {
		t.Fatal(errs)
	}
	if !strings.HasSuffix(out, "\r\n") || strings.Count(out, "\r\n") != len(harmful)+1 || strings.Count(out, "\n") != len(harmful)+1 {
		t.Errorf("lines do not end with CR LF, as RFC 4180 asks:\n%q", out)
	}
	for _, comma := range []rune{',', ';', '\t'} {
		r := csv.NewReader(strings.NewReader(out))
		r.Comma, r.LazyQuotes, r.FieldsPerRecord = comma, true, -1
		rows, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, cells := range rows {
			for _, c := range cells {
				if computed(c) {
					t.Errorf("cut at %q, a cell begins with %q", comma, c)
				}
			}
		}
	}
	r := csv.NewReader(strings.NewReader(out))
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatalf("that is no CSV: %v", err)
	}
	for i, row := range rows[1:] {
		if got := strings.ReplaceAll(row[0], "'", ""); got != strings.ReplaceAll(harmful[i], "'", "") {
			t.Errorf("got %q for %q: more was changed than an apostrophe", row[0], harmful[i])
		}
		if row[1] != "8589934592" || row[3] != "2026-11-20T14:00:00Z" {
			t.Errorf("got %v: sizes are in bytes and times in RFC 3339", row)
		}
	}
	if i := slices.Index(harmful, "2.4.2-3+deb12u8"); rows[i+1][0] != harmful[i] {
		t.Errorf("a version was changed to %q", rows[i+1][0])
	}
}

// computed judges apart from disarmed, on purpose.
func computed(cell string) bool {
	cell = strings.TrimLeft(cell, " \"")
	return regexp.MustCompile("^[=+@\t\r|＝＋－＠-]").MatchString(cell)
}

func FuzzDisarmed(f *testing.F) {
	for _, h := range harmful {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := disarmed(text)
		for part := range strings.SplitSeq(got, ";") {
			if computed(part) {
				t.Errorf("%q became %q", text, got)
			}
		}
		if bad, _ := commandIn(got); bad || strings.ContainsAny(got, "\n\t") {
			t.Errorf("%q became %q, which a terminal obeys", text, got)
		}
		if strings.ReplaceAll(got, "'", "") != strings.ReplaceAll(inertLine(text), "'", "") {
			t.Errorf("%q became %q: more was changed than apostrophes", text, got)
		}
	})
}

func TestClass16AReportAsHTMLHoldsNoElementThatAMachineNamed(t *testing.T) {
	out, errs, status := harming(t)("report", "run", "x", "--format", "html")
	if status != 0 {
		t.Fatal(errs)
	}
	known := []string{"html", "head", "meta", "title", "style", "body", "main", "h1", "p", "dl", "dt", "dd", "table", "caption", "thead", "tbody", "tr", "th", "td", "strong"}
	for _, m := range regexp.MustCompile(`<([a-zA-Z0-9]+)([^>]*)>`).FindAllStringSubmatch(out, -1) {
		if !slices.Contains(known, m[1]) || strings.Contains(m[2], "onload=\"x") || strings.Contains(m[2], "onerror") {
			t.Errorf("the page holds %s", m[0])
		}
	}
	for _, want := range []string{
		"&lt;script&gt;alert(1)&lt;/script&gt;", "{{.Title}}", `<th scope="col">name</th>`, `<caption>=title &lt;b&gt;</caption>`,
		`<th scope="row">ordinary</th>`, "8.0 GiB", "default-src &#39;none&#39;",
	} {
		if !strings.Contains(out, want) && !strings.Contains(out, strings.ReplaceAll(want, "&#39;", "'")) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, never := range []string{"<script", "http://", "https://", "src=x", "url("} {
		if strings.Contains(strings.ReplaceAll(out, "src=x onerror=alert(1)&gt;", ""), never) {
			t.Errorf("the page holds %q", never)
		}
	}
}

func TestAReportAsJSONHasNumbersAndNulls(t *testing.T) {
	out, _, _ := harming(t)("report", "run", "x", "--json")
	var doc struct {
		Rows []map[string]any `json:"rows"`
		More bool             `json:"more"`
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	last := doc.Rows[len(doc.Rows)-1]
	if last["name"] != nil || last["size"] != 8589934592.0 || last["n"] != -1.0 || !doc.More || doc.Rows[0]["name"] != harmful[0] {
		t.Errorf("got %v and %v", doc.Rows[0], last)
	}
}
