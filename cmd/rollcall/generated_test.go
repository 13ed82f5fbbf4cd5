package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/page"
)

func TestGeneratedManPagesAndCompletionsAreCurrent(t *testing.T) {
	page.Check(t, testApp(io.Discard).root(), "1", *update)
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
