package main

import "github.com/spf13/cobra"

func (a *app) bundleCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bundle",
		Short: "Take in what machines without a line send on a stick",
		Long: `A machine without a line to the server writes what waits into a file ("rollcall-agent
export"); somebody carries the file here, and receipts back. docs/offline.md tells the
whole way.`,
		Example: "  rollcall bundle import /media/stick/*.rcb",
	}
	c.AddCommand(a.bundleImportCommand())
	return c
}
