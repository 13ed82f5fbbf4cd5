package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) filterSaveCommand() *cobra.Command {
	var site, about string
	c := &cobra.Command{
		Use:   "save NAME FILTER",
		Short: "Save a filter under a name, or change one",
		Long: `Saves a filter under a name: letters in lower case, digits, hyphens and dots. What
has that name now is replaced. The filter is checked; words that begin with '$'
stand for values that are given where it is used.

Everybody of the site can use it, also whoever sees only a part of the site;
without --site it is for everybody, which takes a role that holds at all sites.
What is in it is still asked only about the CIs that the one who asks may see.

Needs one of the roles helpdesk, operator, change-manager and auditor.`,
		Example: `  rollcall filter save silent-lab 'presence = silent and site = elm/north/b1/*' --site elm/north
  rollcall filter save old-cups 'pkg(cups) < $version' --about 'printing breaks below'`,
		Args:              cmdline.Exactly("NAME", "FILTER"),
		ValidArgsFunction: a.first(a.savedFilters),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(func(s *server) error {
				reply, err := s.SaveFilter(c.Context(), &rollcallv1.SaveFilterRequest{Filter: &rollcallv1.SavedFilter{
					Name: args[0], Text: args[1], Site: site, About: about,
				}})
				if err != nil {
					return fmt.Errorf("save filter: %w", err)
				}
				a.out.line("saved for %s: use it as %s", everybody(reply.GetFilter().GetSite()), usageOf(reply.GetFilter()))
				return nil
			})
		},
	}
	c.Flags().StringVar(&site, "site", "", "for the people of this `SITE`")
	c.Flags().StringVar(&about, "about", "", "what it is good for, as a `TEXT`")
	a.complete(c, "site", a.sites)
	return c
}
