package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) siteRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove PATH",
		Short: "Remove an empty site",
		Long: `Removes a site in which, and below which, there is no CI and no other site. Needs
the role admin.`,
		Example:           `  rollcall site remove elm/north/b1/room12`,
		Args:              cmdline.Exactly("PATH"),
		ValidArgsFunction: a.first(a.sites),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(func(s *server) error {
				if _, err := s.RemoveSite(c.Context(), &rollcallv1.RemoveSiteRequest{Path: args[0]}); err != nil {
					return fmt.Errorf("remove site: %w", err)
				}
				a.out.line("removed site %s", args[0])
				return nil
			})
		},
	}
}
