package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// shells are those that completions are made for.
var shells = []string{"bash", "zsh", "fish"}

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion " + strings.Join(shells, "|"),
		Short: "Print the completion script for a shell",
		Long: `Prints the script that lets a shell complete commands, flags and, where you are
logged in, the names of CIs, sites and files. Packages install it already.`,
		Example: `  rollcall completion bash > ~/.local/share/bash-completion/completions/rollcall
  rollcall completion fish > ~/.config/fish/completions/rollcall.fish`,
		Args:              exactly("SHELL"),
		ValidArgsFunction: a.first(fixed(shells...)),
		RunE: func(c *cobra.Command, args []string) error {
			return a.completionScript(c.Root(), args[0])
		},
	}
}

func (a *app) completionScript(root *cobra.Command, shell string) error {
	var err error
	switch shell {
	case "bash":
		err = root.GenBashCompletionV2(a.out, true)
	case "zsh":
		err = root.GenZshCompletion(a.out)
	case "fish":
		err = root.GenFishCompletion(a.out, true)
	default:
		return usagef("completion: there is none for %q: %s", shell, strings.Join(shells, ", "))
	}
	if err != nil {
		return fmt.Errorf("completion: %w", err)
	}
	return nil
}
