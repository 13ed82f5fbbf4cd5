package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
)

// root builds the command tree: programs, man pages and completions are all made
// from it.
func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use:   "rollcall",
		Short: "Ask what the machines are and were, and decide who is admitted",
		Long: `rollcall asks a Rollcall server: which machines there are, what each one is and
was, what changed, what sets broken machines apart from working ones, and what a
restore would bring back. It also admits machines and operators.

Log in once with 'rollcall login'. Each reading command gives one JSON document
with --json, and answers for an earlier time with --at. Exit status: 0 done,
1 failed, 2 wrong usage.

Times are written as ` + cmdline.TimeForms + `.
A day alone means its beginning for --since, its end for --at and --until.`,
		Example: `  rollcall status
  rollcall find 'class = workstation and pkg(cups) < 2.4.2-3+deb12u8'
  rollcall changes --since yesterday`,
		SilenceUsage: true, SilenceErrors: true, Version: version,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	c.PersistentFlags().StringVar(&a.loginFile, "login", "", "`FILE` of the login, instead of your own (also: ROLLCALL_CONFIG)")
	c.AddGroup(
		&cobra.Group{ID: groupAsk, Title: "Ask:"},
		&cobra.Group{ID: groupDecide, Title: "Decide:"},
		&cobra.Group{ID: groupSelf, Title: "This program:"},
	)
	c.SetHelpCommandGroupID(groupSelf)
	c.AddCommand(
		in(groupAsk, a.statusCommand()), in(groupAsk, a.findCommand()), in(groupAsk, a.askCommand()), in(groupAsk, a.ciCommand()),
		in(groupAsk, a.changesCommand()), in(groupAsk, a.firstCommand()), in(groupAsk, a.fileCommand()), in(groupAsk, a.compareCommand()), in(groupAsk, a.whyCommand()),
		in(groupAsk, a.reportCommand()), in(groupAsk, a.filterCommand()), in(groupAsk, a.baselineCommand()), in(groupAsk, a.restoreCommand()), in(groupAsk, a.radarCommand()),
		in(groupAsk, a.proveCommand()), in(groupAsk, a.verifyCommand()), in(groupAsk, a.logCommand()),
		in(groupDecide, a.enrolCommand()), in(groupDecide, a.bundleCommand()), in(groupDecide, a.siteCommand()), in(groupDecide, a.operatorCommand()),
		in(groupDecide, a.proposalCommand()), in(groupDecide, a.policyCommand()),
		in(groupSelf, a.loginCommand()), in(groupSelf, a.logoutCommand()), in(groupSelf, a.passwordCommand()), in(groupSelf, a.versionCommand()),
		in(groupSelf, completionCommand()),
	)
	cmdline.Strict(c)
	return c
}

// The groups of the help.
const (
	groupAsk    = "ask"
	groupDecide = "decide"
	groupSelf   = "self"
)

func in(group string, c *cobra.Command) *cobra.Command {
	c.GroupID = group
	return c
}

// words joins what was typed without quotes: rollcall find class = laptop.
func words(args []string) string { return strings.Join(args, " ") }

// atFlag and jsonFlag are the same everywhere.
func atFlag(c *cobra.Command, at *string) {
	c.Flags().StringVar(at, "at", "", "answer for this `TIME` instead of now")
}

func jsonFlag(c *cobra.Command, on *bool) {
	c.Flags().BoolVar(on, "json", false, "one JSON document instead of text")
}

// glassFlag is on commands that may need a second person.
func (a *app) glassFlag(c *cobra.Command) {
	c.Flags().StringVar(&a.glass, "break-glass", "", "do alone what needs two people, as an admin of all sites, for this `REASON`")
}

// exclusive makes two flags of a command exclude each other.
func exclusive(c *cobra.Command, names ...string) {
	before := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		given := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !c.Flags().Changed(name) })
		if len(given) > 1 {
			return cmdline.Usagef("%s--%s and --%s do not go together", cmdline.About(c), given[0], given[1])
		}
		if before == nil {
			return nil
		}
		return before(c, args)
	}
}

// ask runs fn with a connection and closes it.
func (a *app) ask(fn func(s *server) error) error {
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.close()
	return fn(s)
}
