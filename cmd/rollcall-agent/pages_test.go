package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/cobra/doc"
)

var update = flag.Bool("update", false, "write man pages and completions anew")

// Man pages and completions are made from the command tree, so that they cannot
// tell something else. Run with -update after a change.
func TestGeneratedManPagesAndCompletionsAreCurrent(t *testing.T) {
	fresh := t.TempDir()
	c := newApp().command()
	date := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) // not the build's: pages change with their text
	header := &doc.GenManHeader{Section: "8", Source: "Rollcall", Manual: "Rollcall", Date: &date}
	must(t, doc.GenManTree(c, header, fresh))
	shells := t.TempDir()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		must(t, os.Mkdir(filepath.Join(shells, shell), 0o755))
	}
	must(t, c.GenBashCompletionFileV2(filepath.Join(shells, "bash", "rollcall-agent"), true))
	must(t, c.GenZshCompletionFile(filepath.Join(shells, "zsh", "_rollcall-agent")))
	must(t, c.GenFishCompletionFile(filepath.Join(shells, "fish", "rollcall-agent.fish"), true))
	packaging := filepath.Join("..", "..", "packaging")
	compare(t, fresh, filepath.Join(packaging, "man"))
	for _, shell := range []string{"bash", "zsh", "fish"} {
		compare(t, filepath.Join(shells, shell), filepath.Join(packaging, "completions", shell))
	}
}

func compare(t *testing.T, from, to string) {
	t.Helper()
	made, err := os.ReadDir(from)
	must(t, err)
	want := map[string]bool{}
	for _, e := range made {
		want[e.Name()] = true
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		must(t, err)
		if *update {
			must(t, os.MkdirAll(to, 0o755))
			must(t, os.WriteFile(filepath.Join(to, e.Name()), b, 0o644))
		}
		if have, err := os.ReadFile(filepath.Join(to, e.Name())); err != nil || !bytes.Equal(have, b) {
			t.Errorf("%s is not current (%v): go test ./cmd/rollcall-agent -update", filepath.Join(to, e.Name()), err)
		}
	}
	have, err := filepath.Glob(filepath.Join(to, "*rollcall-agent*"))
	must(t, err)
	for _, name := range have {
		if !want[filepath.Base(name)] {
			t.Errorf("%s belongs to no command any more", name)
		}
	}
}
