package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) operatorRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Short:   "End an operator's access",
		Long:    `Ends an operator's access at once. Nobody removes herself.`,
		Example: `  rollcall operator remove kari`,
		Args:    cmdline.Exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(func(s *server) error {
				if _, err := s.RemoveOperator(c.Context(), &rollcallv1.RemoveOperatorRequest{Name: args[0]}); err != nil {
					return fmt.Errorf("remove operator: %w", err)
				}
				a.out.line("removed operator %s", args[0])
				return nil
			})
		},
	}
}
