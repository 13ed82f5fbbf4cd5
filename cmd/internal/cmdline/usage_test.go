package cmdline

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestOnlyAMistakeInTheCommandLineIsMisuse(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("disk full"), Failed},
		{Usagef("no such thing"), Misused},
		{fmt.Errorf("restore: %w", Hinted(Usage(errors.New("x")), "y")), Misused},
		{Usage(nil), 0},
		{Hinted(nil, "never"), 0},
	} {
		if got := Exit(tt.err); got != tt.want {
			t.Errorf("Exit(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestAComplaintKeepsItsPrefixToItself(t *testing.T) {
	cause := errors.New("line 1\nroll: hint: rm -rf /\n")
	for _, tt := range []struct {
		err        error
		hint, want string
	}{
		{cause, "", "roll: line 1\n  roll: hint: rm -rf /\n"},
		{cause, "look\nthere", "roll: line 1\n  roll: hint: rm -rf /\nroll: hint: look\n  there\n"},
		{Hinted(errors.New("no"), "own"), "given", "roll: no\nroll: hint: own\n"},
	} {
		var b bytes.Buffer
		Complain(&b, "roll", tt.err, tt.hint)
		if got := b.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestAFlagSaysWhatItWants(t *testing.T) {
	for _, tt := range []struct{ arg, want string }{
		{"--limit=-1", `invalid argument "-1" for "--limit" flag: want a whole number`},
		{"--limit=x: strconv.y", `invalid argument "x`},
		{"--limit=4294967296", `invalid argument "4294967296" for "--limit" flag: too large a number`},
		{"--json=maybe", `invalid argument "maybe" for "--json" flag: want true or false`},
		{"--nothing", "unknown flag: --nothing"},
	} {
		root := tree()
		root.PersistentFlags().Uint32("limit", 0, "")
		root.PersistentFlags().Bool("json", false, "")
		root.SetArgs([]string{"status", tt.arg})
		err := root.Execute()
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "strconv.Parse") || !IsUsage(err) {
			t.Errorf("status %s: %v, want %s", tt.arg, err, tt.want)
		}
	}
}

// tree is a program with one command and one group.
func tree() *cobra.Command {
	ok := func(*cobra.Command, []string) error { return nil }
	root := &cobra.Command{Use: "roll", SilenceErrors: true, SilenceUsage: true, CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}}
	group := &cobra.Command{Use: "ci"}
	group.AddCommand(&cobra.Command{Use: "show NAME", Args: Exactly("NAME"), RunE: ok})
	root.AddCommand(group, &cobra.Command{Use: "status", Args: Exactly(), RunE: ok}, Completion("roll", "commands"))
	Strict(root)
	return root
}

func TestEveryMistakeIsMisuseAndSaysWhatToDo(t *testing.T) {
	for _, tt := range []struct{ line, text, hint string }{
		{"", "which command? ci, completion, status", "see 'roll --help'"},
		{"statsu", `there is no command "statsu"`, "did you mean 'roll status'?"},
		{"qqqqqqqq", `there is no command "qqqqqqqq"`, "there are: ci, completion, status"},
		{"ci", "ci: which command? show", "see 'roll ci --help'"},
		{"ci shwo", `ci: there is no command "shwo"`, "did you mean 'roll ci show'?"},
		{"ci show", "ci show: NAME is missing", "roll ci show NAME"},
		{"ci show a b", `ci show: what is "b" for?`, "roll ci show NAME"},
		{"status --nonsense", "unknown flag: --nonsense", "see 'roll status --help'"},
		{"completion csh", `completion: there is none for "csh": bash, zsh, fish`, ""},
	} {
		c := tree()
		c.SetArgs(strings.Fields(tt.line))
		err := c.Execute()
		if !IsUsage(err) {
			t.Errorf("roll %s: %v is no error of usage", tt.line, err)
			continue
		}
		text, hint, _ := strings.Cut(err.Error(), HintMark)
		if text != tt.text || !strings.HasPrefix(hint, tt.hint) {
			t.Errorf("roll %s: got %q, hint %q, want %q, hint %q", tt.line, text, hint, tt.text, tt.hint)
		}
	}
}

func TestCompletionIsPrintedForEachShell(t *testing.T) {
	for _, shell := range Shells() {
		c := tree()
		var b bytes.Buffer
		c.SetOut(&b)
		c.SetArgs([]string{"completion", shell})
		if err := c.Execute(); err != nil || !strings.Contains(b.String(), "roll") {
			t.Errorf("%s: %v, %d bytes", shell, err, b.Len())
		}
	}
	c := tree()
	var b bytes.Buffer
	c.SetOut(&b)
	c.SetArgs([]string{cobra.ShellCompNoDescRequestCmd, "completion", ""})
	if err := c.Execute(); err != nil || !slices.Equal(strings.Fields(b.String())[:3], Shells()) {
		t.Errorf("%v, completes %q", err, b.String())
	}
}
