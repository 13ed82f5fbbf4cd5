package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) filterCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "filter",
		Short: "Save filters under names, list and remove them",
		Long: `A filter that is asked again and again gets a name: '@NAME' stands for it in every
filter, as if it stood there in brackets. Words in it that begin with '$' are
parameters; whoever uses the filter gives their values: '@NAME(version = 2.4)'.
docs/filter.md tells the filter language.`,
		Example: `  rollcall filter save old-cups 'pkg(cups) < $version' --about 'printing breaks below'
  rollcall find '@old-cups(version = 2.4.2-3+deb12u8) and site = elm/*'`,
	}
	c.AddCommand(a.filterListCommand(), a.filterSaveCommand(), a.filterRemoveCommand())
	return c
}

func (a *app) savedFilters(ctx context.Context, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.words(ctx, "filter", "", prefix), cobra.ShellCompDirectiveNoFileComp
}
