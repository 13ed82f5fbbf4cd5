package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

type siteJSON struct {
	Path  string `json:"path"`
	Title string `json:"title"`
	CIs   uint64 `json:"cis"`
}

type sitesJSON struct {
	Sites []siteJSON `json:"sites"`
}

func (a *app) siteListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the sites",
		Long: `Lists the sites and how many CIs are in and below each.

As JSON: {"sites": [{"path", "title", "cis"}]}.`,
		Example: `  rollcall site list`,
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(func(s *server) error {
				reply, err := s.Sites(c.Context(), &rollcallv1.SitesRequest{})
				if err != nil {
					return fmt.Errorf("list sites: %w", err)
				}
				doc := sitesJSON{Sites: []siteJSON{}}
				t := table{header: []string{"SITE", "CIS", "TITLE"}, right: map[int]bool{1: true}, elastic: 2}
				for _, site := range reply.GetSites() {
					doc.Sites = append(doc.Sites, siteJSON{site.GetPath(), site.GetTitle(), site.GetItems()})
					t.row(site.GetPath(), fmt.Sprint(site.GetItems()), site.GetTitle())
				}
				if asJSON {
					return a.document(doc)
				}
				t.write(a.out)
				return nil
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}
