package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) baselineRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a baseline",
		Long: `Removes a baseline. Filters in which it is named are an error from then on. Needs
one of the roles operator and change-manager, at the site that it is for.`,
		Example:           `  rollcall baseline remove client`,
		Args:              cmdline.Exactly("NAME"),
		ValidArgsFunction: a.first(a.baselines),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(func(s *server) error {
				if _, err := s.RemoveBaseline(c.Context(), &rollcallv1.RemoveBaselineRequest{Name: args[0]}); err != nil {
					return fmt.Errorf("remove baseline: %w", err)
				}
				a.out.line("removed baseline %s", args[0])
				return nil
			})
		},
	}
}
