package cmdline

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Shells returns the shells that completions are made for.
func Shells() []string { return []string{"bash", "zsh", "fish"} }

// Completion is the command that prints completion scripts. What names which
// words they complete: "commands and flags".
func Completion(program, what string) *cobra.Command {
	return &cobra.Command{
		Use:   "completion " + strings.Join(Shells(), "|"),
		Short: "Print the completion script for a shell",
		Long: fmt.Sprintf(`Prints the script that lets a shell complete %s.
Packages install it already.`, what),
		Example: fmt.Sprintf(`  %[1]s completion bash > ~/.local/share/bash-completion/completions/%[1]s
  %[1]s completion fish > ~/.config/fish/completions/%[1]s.fish`, program),
		Args: Exactly("SHELL"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return Shells(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			return Script(c.OutOrStdout(), c.Root(), args[0])
		},
	}
}

// Script writes the completion script of a program for a shell.
func Script(w io.Writer, root *cobra.Command, shell string) error {
	var err error
	switch shell {
	case "bash":
		err = root.GenBashCompletionV2(w, true)
	case "zsh":
		err = root.GenZshCompletion(w)
	case "fish":
		err = root.GenFishCompletion(w, true)
	default:
		return Usagef("completion: there is none for %q: %s", shell, strings.Join(Shells(), ", "))
	}
	if err != nil {
		return fmt.Errorf("completion: %w", err)
	}
	return nil
}
