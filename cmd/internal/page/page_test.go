package page

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func program() *cobra.Command {
	c := &cobra.Command{Use: "roll", Short: "Call", CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}}
	c.AddCommand(&cobra.Command{Use: "out", Short: "Out", Run: func(*cobra.Command, []string) {}})
	return c
}

func TestEachCommandHasAPageAndEachShellAScript(t *testing.T) {
	got, err := generate(program(), "8", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"completions/bash/roll", "completions/fish/roll.fish", "completions/zsh/_roll", "man/roll-out.8", "man/roll.8"}
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	again, err := generate(program(), "8", t.TempDir())
	if err != nil || !maps.EqualFunc(got, again, slices.Equal[[]byte]) {
		t.Errorf("the second time they are others, %v", err)
	}
	if page := string(got["man/roll.8"]); !strings.Contains(page, `"ROLL" "8"`) {
		t.Errorf("no page of section 8:\n%s", page)
	}
}

func TestOnlyOwnPagesWithoutACommandAreLeftOver(t *testing.T) {
	dir := t.TempDir()
	files := map[string][]byte{
		"man/roll.8": nil, "man/roll-out.8": nil, "man/roll-gone.8": nil, // its own
		"man/roll-gone.1": nil, "man/rollback.8": nil, // others'
	}
	if err := write(dir, files); err != nil {
		t.Fatal(err)
	}
	made, err := generate(program(), "8", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	got, err := orphans(dir, "roll", "8", made)
	if want := []string{"man/roll-gone.8"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
