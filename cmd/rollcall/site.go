package main

import (
	"github.com/spf13/cobra"
)

func (a *app) siteCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "site",
		Short: "List, add and remove sites",
		Long: `Sites are a tree, written as a path: municipality/school/building/room. Each
school has one repository in the git mirror.`,
		Example: `  rollcall site list
  rollcall site add elm/north "Elm, north school"`,
	}
	c.AddCommand(a.siteListCommand(), a.siteAddCommand(), a.siteRemoveCommand())
	return c
}
