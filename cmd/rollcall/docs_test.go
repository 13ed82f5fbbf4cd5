package main

import (
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"rollcall/internal/fact"
	"rollcall/server/query"
)

// blocks returns the lines of a document's fenced blocks of a language.
func blocks(t *testing.T, file, language string) []string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	inside, wanted := false, false
	for l := range strings.Lines(string(b)) {
		l = strings.TrimRight(l, "\n")
		if rest, ok := strings.CutPrefix(l, "```"); ok {
			inside = !inside
			wanted = inside && rest == language
			continue
		}
		if wanted {
			out = append(out, l)
		}
	}
	return out
}

// shellWords splits a command line as a shell would, as far as the documents
// need it, and cuts it at the first pipe or redirection.
func shellWords(line string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`'([^']*)'|"([^"]*)"|([^\s'"]+)`).FindAllStringSubmatch(line, -1) {
		if m[3] == "|" || m[3] == ">" {
			break
		}
		out = append(out, m[1]+m[2]+m[3])
	}
	return out
}

// understood checks that the program takes a command line: the command exists,
// its flags too, and the number of arguments is right.
func understood(t *testing.T, line string) string {
	t.Helper()
	root := testApp(io.Discard).root()
	args := shellWords(line)[1:]
	c, rest, err := root.Find(args)
	if err != nil {
		t.Errorf("%s: %v", line, err)
		return ""
	}
	if err := c.ParseFlags(rest); err != nil {
		t.Errorf("%s: %v", line, err)
		return ""
	}
	if c.HasSubCommands() {
		t.Errorf("%s: which command?", line)
	}
	if err := c.ValidateArgs(c.Flags().Args()); err != nil {
		t.Errorf("%s: %v", line, err)
	}
	if c.CommandPath() == "rollcall filter save" {
		if _, err := query.Template(c.Flags().Arg(1), examples{}); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	for _, filter := range filtersOf(c) {
		if _, err := query.Parse(filter, examples{}); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	return c.CommandPath()
}

// examples are the names that the documents and the help use.
type examples struct{}

func (examples) Filter(name string) (string, bool, error) {
	return "pkg(cups) < $version", name == "old-cups", nil
}

func (examples) Relations(name string) (string, []string, bool, error) {
	return "ci91f373c1729bd44cf630", nil, name == "edu12" || name == "room12-pc07-2" || name == "room12-pc07", nil
}

func (examples) Baseline(name string) (fact.Set, bool, error) {
	return fact.Set{{Path: "etc/cups/cupsd.conf", Value: "x"}, {Path: "pkg/cups/version", Value: "2.4"}}, name == "client", nil
}

// filtersOf gives the filters in a parsed command line.
func filtersOf(c *cobra.Command) (filters []string) {
	switch c.CommandPath() {
	case "rollcall find", "rollcall ci list", "rollcall changes", "rollcall radar":
		if f := words(c.Flags().Args()); f != "" {
			filters = append(filters, f)
		}
	case "rollcall baseline set":
		filters = append(filters, c.Flags().Arg(1))
	case "rollcall baseline check":
		if f := words(c.Flags().Args()[1:]); f != "" {
			filters = append(filters, f)
		}
	case "rollcall compare":
		for _, name := range []string{"broken", "working"} {
			if f := c.Flags().Lookup(name).Value.String(); f != "" || !c.Flags().Changed(name+"-list") {
				filters = append(filters, f)
			}
		}
	}
	return filters
}

func TestEveryCommandLineInTheDocumentsIsUnderstood(t *testing.T) {
	shown := map[string]bool{}
	for _, file := range []string{"../../docs/cli.md", "../../docs/filter.md", "../../docs/evidence.md", "../../docs/reports.md"} {
		for _, l := range blocks(t, file, "") {
			if strings.HasPrefix(l, "rollcall ") {
				shown[understood(t, l)] = true
			}
		}
	}
	each(testApp(io.Discard).root(), func(c *cobra.Command) {
		if !c.HasSubCommands() && !shown[c.CommandPath()] {
			t.Errorf("docs/cli.md does not show %s", c.CommandPath())
		}
	})
}

func TestEveryExampleInTheHelpIsUnderstood(t *testing.T) {
	each(testApp(io.Discard).root(), func(c *cobra.Command) {
		for l := range strings.Lines(c.Example) {
			if l = strings.TrimSpace(l); strings.HasPrefix(l, "rollcall ") {
				understood(t, l)
			}
		}
	})
}

func TestTheComparisonInTheDocumentIsWhatTheProgramPrints(t *testing.T) {
	b, err := os.ReadFile("testdata/script/compare.txtar")
	if err != nil {
		t.Fatal(err)
	}
	_, golden, _ := strings.Cut(string(b), "-- compare.txt --\n")
	golden, _, _ = strings.Cut(golden, "-- facts.txt --")
	doc, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), "```\n"+golden+"```\n") {
		t.Errorf("docs/cli.md does not show this:\n%s", golden)
	}
}

func TestTheFilterDocumentParsesAndNamesEveryField(t *testing.T) {
	filters := blocks(t, "../../docs/filter.md", "filter")
	if len(filters) < 15 {
		t.Errorf("only %d filters found", len(filters))
	}
	for _, f := range filters {
		if _, err := query.Parse(f, examples{}); err != nil {
			t.Errorf("%s", err)
		}
	}
	b, err := os.ReadFile("../../docs/filter.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range query.Relations() {
		if !strings.Contains(string(b), "\n| `"+r.Name+"` |") {
			t.Errorf("docs/filter.md has no row for %s", r.Name)
		}
	}
	for _, f := range query.Fields() {
		row := regexp.MustCompile("(?m)^\\|[^|]*`" + f.Name + "`[^|]*\\| " + string(f.Kind) + " \\|")
		if !row.Match(b) {
			t.Errorf("docs/filter.md has no row for %s as %s", f.Name, f.Kind)
		}
	}
}

// jsonNames returns the names of all fields of a document, nested ones included.
func jsonNames(typ reflect.Type) (names []string) {
	switch typ.Kind() {
	case reflect.Slice, reflect.Pointer, reflect.Map:
		return jsonNames(typ.Elem())
	case reflect.Struct:
		for f := range typ.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name != "" {
				names = append(names, name)
			}
			names = append(names, jsonNames(f.Type)...)
		}
	}
	return names
}

func TestTheHelpNamesEveryFieldOfTheJSON(t *testing.T) {
	documents := map[string]any{
		"ci list": listJSON{}, "changes": changesJSON{}, "file show": showFileJSON{}, "file log": fileLogJSON{},
		"compare": compareJSON{}, "why": whyJSON{}, "report list": reportsJSON{}, "report run": reportJSON{}, "radar": radarJSON{}, "policy status": policyStatusJSON{}, "policy publish": policyJSON{}, "prove": proveJSON{}, "verify": verifyJSON{}, "log show": logJSON{}, "restore": restoreJSON{}, "enrol token": tokenJSON{}, "enrol pending": pendingJSON{},
		"site list": sitesJSON{}, "operator list": operatorsJSON{}, "status": statusJSON{}, "version": versionJSON{},
		"file diff": struct {
			CI     string `json:"ci"`
			Binary bool   `json:"binary"`
			Same   bool   `json:"same"`
			Diff   string `json:"diff"`
		}{},
	}
	root := testApp(io.Discard).root()
	for path, doc := range documents {
		c, _, err := root.Find(strings.Fields(path))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range jsonNames(reflect.TypeOf(doc)) {
			if !strings.Contains(c.Long, `"`+name+`"`) {
				t.Errorf("the help of %s does not name %q of its JSON", path, name)
			}
		}
	}
}
