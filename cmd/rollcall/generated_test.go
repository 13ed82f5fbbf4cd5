package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// generated returns the man pages and completion scripts by their path below
// packaging/.
func generated(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	var b bytes.Buffer
	a := testApp(&b)
	for shell, name := range map[string]string{"bash": "rollcall", "zsh": "_rollcall", "fish": "rollcall.fish"} {
		b.Reset()
		if err := a.completionScript(a.root(), shell); err != nil {
			t.Fatal(err)
		}
		files[filepath.Join("completions", shell, name)] = bytes.Clone(b.Bytes())
	}
	dir := t.TempDir()
	root := a.root()
	root.DisableAutoGenTag = true
	date := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) // fixed: pages change with their text only
	if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Date: &date, Source: "Rollcall", Manual: "Rollcall"}, dir); err != nil {
		t.Fatal(err)
	}
	pages, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		content, err := os.ReadFile(filepath.Join(dir, p.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Join("man", p.Name())] = content
	}
	return files
}

// ours tells whether a man page is one of this program and not of another one
// whose name begins alike.
func ours(name string) bool {
	for _, other := range []string{"rollcall-agent", "rollcall-server", "rollcall-bench"} {
		if strings.HasPrefix(name, other) {
			return false
		}
	}
	return name == "rollcall.1" || strings.HasPrefix(name, "rollcall-")
}

func TestGeneratedManPagesAndCompletionsAreCurrent(t *testing.T) {
	const base = "../../packaging"
	want := generated(t)
	for name, content := range want {
		file := filepath.Join(base, name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, content, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, content) {
			t.Errorf("packaging/%s is not current (%v); run: make generate", name, err)
		}
	}
	pages, err := filepath.Glob(filepath.Join(base, "man", "rollcall*.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		name := filepath.Base(p)
		if _, ok := want[filepath.Join("man", name)]; ok || !ours(name) {
			continue
		}
		if !*update {
			t.Errorf("packaging/man/%s belongs to no command; run: make generate", name)
		} else if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
}

// each walks the command tree.
func each(c *cobra.Command, fn func(*cobra.Command)) {
	fn(c)
	for _, sub := range c.Commands() {
		each(sub, fn)
	}
}

func TestEveryCommandExplainsItselfWithAnExample(t *testing.T) {
	each(testApp(io.Discard).root(), func(c *cobra.Command) {
		if c.Short == "" || c.Long == "" {
			t.Errorf("%s: short, long text or example is missing", c.CommandPath())
		}
		if !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s: no example shows it:\n%s", c.CommandPath(), c.Example)
		}
		for l := range strings.Lines(c.Long) {
			if w := displayWidth(strings.TrimSuffix(l, "\n")); w > 90 {
				t.Errorf("%s: help line of %d columns: %s", c.CommandPath(), w, l)
			}
		}
	})
}

func TestEveryReadingCommandDocumentsItsJSON(t *testing.T) {
	each(testApp(io.Discard).root(), func(c *cobra.Command) {
		if c.Flags().Lookup("json") == nil {
			return
		}
		if !strings.Contains(c.Long, "s JSON") {
			t.Errorf("%s: the help does not tell the shape of its JSON", c.CommandPath())
		}
	})
}

func TestCommandNamesAreOnePerFile(t *testing.T) {
	each(testApp(io.Discard).root(), func(c *cobra.Command) {
		name := strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(c.CommandPath(), "rollcall"), " "), " ", "_")
		if name == "" {
			name = "root"
		}
		if _, err := os.Stat(name + ".go"); err != nil {
			t.Errorf("%s has no file of its own: %v", c.CommandPath(), err)
		}
	})
}
