package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
)

func TestTheModuleKeepsItsArchitecture(t *testing.T) {
	found, err := check(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, violation := range found {
		t.Error(violation)
	}
}

// Each file in testdata is a module in txtar form. The lines before its first
// file are the violations that must be found in it, and no others.
func TestEachRuleCanFail(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) < 15 {
		t.Fatalf("found only %d examples, %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			found, err := check(tree(archive.Files...))
			if err != nil {
				t.Fatal(err)
			}
			got, want := strings.Join(found, "\n"), strings.TrimSpace(string(archive.Comment))
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func tree(files ...txtar.File) fs.FS {
	t := make(fstest.MapFS)
	for _, f := range files {
		t[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	return t
}

// The limits are tested with generated text rather than with long examples.
func TestLongFilesAndFunctionsAreFound(t *testing.T) {
	long := func(lines int) string {
		return "// Package fact is an example.\npackage fact\n" + strings.Repeat("//\n", lines)
	}
	function := func(lines int) string {
		return "// Package fact is an example.\npackage fact\n\nfunc long() {\n" + strings.Repeat("\t_ = 1\n", lines-2) + "}\n"
	}
	tests := []struct{ name, file, text, want string }{
		{"a file at the limit", "fact.go", long(498), ""},
		{"a file over it", "fact.go", long(499), "internal/fact/fact.go:501: file of 501 lines, more than 500; split it by noun"},
		{"a generated file over it", "fact.pb.go", long(999), "internal/fact/fact.pb.go:1: package internal/fact has no comment; say what it is for and what it promises"},
		{"a function at the limit", "fact.go", function(100), ""},
		{"a function over it", "fact.go", function(101), "internal/fact/fact.go:4: function long of 101 lines, more than 100; split it by what it does"},
		{"a test function over it", "fact_test.go", function(101), "internal/fact/fact_test.go:4: function long of 101 lines, more than 100; split it by what it does"},
	}
	for _, tt := range tests {
		found, err := check(tree(txtar.File{Name: "internal/fact/" + tt.file, Data: []byte(tt.text)}))
		if got := strings.Join(found, "\n"); err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestEveryLibraryIsExplained(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	used := make(map[string]bool)
	for line := range strings.Lines(string(mod)) {
		words := strings.Fields(strings.TrimPrefix(line, "require"))
		if len(words) == 2 && strings.HasPrefix(words[1], "v") {
			used[words[0]] = true
			if !strings.Contains(string(page), "\n| `"+words[0]+"` |") {
				t.Errorf("go.mod: %s has no line in docs/dependencies.md; say why it is needed", words[0])
			}
		}
	}
	for line := range strings.Lines(string(page)) {
		if rest, ok := strings.CutPrefix(line, "| `"); ok {
			if library, _, _ := strings.Cut(rest, "`"); !used[library] {
				t.Errorf("docs/dependencies.md: %s is no direct dependency in go.mod; remove its line", library)
			}
		}
	}
	if len(used) < 10 {
		t.Errorf("found only %d libraries in go.mod", len(used))
	}
}
