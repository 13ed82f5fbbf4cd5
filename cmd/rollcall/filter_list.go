package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

type filterJSON struct {
	Name   string   `json:"name"`
	Filter string   `json:"filter"`
	Params []string `json:"params"`
	Site   string   `json:"site"`
	About  string   `json:"about"`
	By     string   `json:"by"`
	Saved  msTime   `json:"saved"`
}

type filtersJSON struct {
	Filters []filterJSON `json:"filters"`
}

func (a *app) filterListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the saved filters",
		Long: `Lists the saved filters that you can use: those for everybody, those for your
sites, and those for what your sites lie in.

As JSON: {"filters": [{"name", "filter", "params", "site", "about", "by", "saved"}]}.`,
		Example: `  rollcall filter list`,
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(func(s *server) error {
				reply, err := s.Filters(c.Context(), &rollcallv1.FiltersRequest{})
				if err != nil {
					return fmt.Errorf("list filters: %w", err)
				}
				doc := filtersJSON{Filters: []filterJSON{}}
				t := table{header: []string{"NAME", "FILTER", "FOR", "BY", "ABOUT"}, elastic: 1}
				for _, f := range reply.GetFilters() {
					doc.Filters = append(doc.Filters, filterJSON{f.GetName(), f.GetText(), listOf(f.GetParams()), f.GetSite(), f.GetAbout(), f.GetBy(), msTime(f.GetAtMs())})
					t.row(usageOf(f), f.GetText(), everybody(f.GetSite()), f.GetBy(), f.GetAbout())
				}
				if asJSON {
					return a.document(doc)
				}
				t.write(a.out)
				if len(doc.Filters) == 0 {
					a.err.line("rollcall: no filter is saved: rollcall filter save NAME FILTER")
				}
				return nil
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

// usageOf shows how a saved filter is written in another one.
func usageOf(f *rollcallv1.SavedFilter) string {
	if len(f.GetParams()) == 0 {
		return "@" + f.GetName()
	}
	return "@" + f.GetName() + "(" + strings.Join(f.GetParams(), " = …, ") + " = …)"
}

// everybody says for whom something was saved.
func everybody(site string) string {
	if site == "" {
		return "everybody"
	}
	return site
}
