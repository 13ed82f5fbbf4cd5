package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"rollcall/agent/collect"
	"rollcall/internal/fact"
	"rollcall/server/report"
)

// living are paths that only a running machine has, or one with keys of its own: a
// recorded root cannot show them. Their words must stand in the collectors' source.
var living = map[string][]string{
	"svc/*/failed":    {"svc", "failed"},               // systemd is asked
	"apt/lists/age":   {"apt/lists/age"},               // by the clock
	"fs/usage/*":      {"fs", "usage"},                 // the kernel is asked
	"fs/size/*":       {"fs", "size"},                  // the kernel is asked
	"net/*/permanent": {"permanent"},                   // the kernel is asked
	"secret/*/**":     {"secret"},                      // agent/etc, with a radar key
	"apt/upgrade/*":   {"apt", "upgrade", " security"}, // with package lists
}

// TestEachReportReadsFactsThatACollectorMakes runs the collectors over recorded
// machines: who renames a fact learns here which report is blind then.
func TestEachReportReadsFactsThatACollectorMakes(t *testing.T) {
	found := collected(t)
	written := literals(t, "../../agent/collect", "../../agent/etc")
	made := func(path string) bool {
		for p := range found {
			if reads(path, p) {
				return true
			}
		}
		words, ok := living[path]
		for _, w := range words {
			ok = ok && written[w]
		}
		return ok
	}
	for _, d := range report.All() {
		for _, path := range d.Facts() {
			if !made(path) {
				t.Errorf("report %s reads %s, which no collector makes", d.Name, path)
			}
		}
	}
	for _, never := range []string{"hw/smart/*/health", "pkg/*/size", "svc/*/broken", "os/kernel/newest", "fs/used/*"} {
		if made(never) {
			t.Errorf("%s is taken for a fact that there is: this test finds nothing", never)
		}
	}
}

// reads tells whether a path is as a report's pattern says, apart from the
// package's own rule on purpose.
func reads(pattern, path string) bool {
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	for i, w := range want {
		if w == "**" {
			return len(have) > i
		}
		if i >= len(have) || w != "*" && w != have[i] {
			return false
		}
	}
	return len(want) == len(have)
}

// collected gives the paths of what the collectors find: on the recorded laptop of
// their own tests, and on a root of a few files.
func collected(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	var golden []byte
	for _, name := range []string{"laptop", "tjener"} {
		b, err := os.ReadFile("../../agent/collect/testdata/" + name + ".facts")
		if err != nil {
			t.Fatal(err)
		}
		golden = append(golden, b...)
	}
	for l := range strings.Lines(string(golden)) {
		path, _, _ := strings.Cut(l, "\t")
		found[path] = true
	}
	archive, err := txtar.ParseFile("testdata/report/root.txtar")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range archive.Files {
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := collect.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	var set fact.Set = collect.Run(t.Context(), collect.Host{FS: root, Now: time.Now}, collect.All()).Facts
	for _, f := range set {
		found[f.Path] = true
	}
	return found
}

// literals gives all strings that stand in the source of packages.
func literals(t *testing.T, dirs ...string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, dir := range dirs {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			tree, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if s, err := strconv.Unquote(lit.Value); err == nil {
						found[s] = true
					}
				}
				return true
			})
		}
	}
	return found
}
