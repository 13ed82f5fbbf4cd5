package main

import (
	"fmt"

	"github.com/spf13/cobra"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) siteAddCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "add PATH [TITLE]",
		Short: "Add a site, or change its title",
		Long: `Adds a site at a path such as elm/north/b1/room12, with a title for people, or
gives one a new title. Needs the role admin.`,
		Example: `  rollcall site add elm/north "Elm, north school"
  rollcall site add elm/north/b1/room12`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.first(a.sites),
		RunE: func(c *cobra.Command, args []string) error {
			site := &rollcallv1.Site{Path: args[0]}
			if len(args) > 1 {
				site.Title = args[1]
			}
			return a.ask(func(s *server) error {
				reply, err := s.SetSite(c.Context(), &rollcallv1.SetSiteRequest{Site: site})
				if err != nil {
					return fmt.Errorf("add site: %w", err)
				}
				a.out.line("site %s%s", reply.GetSite().GetPath(), after(": ", reply.GetSite().GetTitle()))
				return nil
			})
		},
	}
}
