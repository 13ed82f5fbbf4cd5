package main

import "github.com/spf13/cobra"

func (a *app) logCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "log",
		Short: "Look at the log that nobody can rewrite unseen",
		Long: `Every recorded report, every key and everything that people decide is a leaf of one
log, which the server signs every minute. These commands show what people did and how
the log stands, and fetch all leaves, for 'rollcall verify --leaves'.`,
		Example: "  rollcall log actions --since yesterday\n  rollcall log show\n  rollcall log leaves --out all.leaves",
	}
	c.AddCommand(a.logActionsCommand(), a.logShowCommand(), a.logLeavesCommand())
	return c
}
