package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) filterRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a saved filter",
		Long: `Removes a saved filter. Filters in which it is named are an error from then on.
Needs one of the roles helpdesk, operator, change-manager and auditor, at the site
that it was saved for.`,
		Example:           `  rollcall filter remove old-cups`,
		Args:              cmdline.Exactly("NAME"),
		ValidArgsFunction: a.first(a.savedFilters),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(func(s *server) error {
				if _, err := s.RemoveFilter(c.Context(), &rollcallv1.RemoveFilterRequest{Name: args[0]}); err != nil {
					return fmt.Errorf("remove filter: %w", err)
				}
				a.out.line("removed filter %s", args[0])
				return nil
			})
		},
	}
}
