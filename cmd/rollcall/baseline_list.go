package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

type baselinesJSON struct {
	Baselines []baselineJSON `json:"baselines"`
}

func (a *app) baselineListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the baselines",
		Long: `Lists the baselines that you can use: those for everybody, those for your sites,
and those for what your sites lie in.

As JSON: {"baselines": [{"name", "site", "filter", "as_of", "machines", "share",
"paths", "facts", "reason", "by", "set"}]}.`,
		Example: `  rollcall baseline list`,
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(func(s *server) error {
				reply, err := s.Baselines(c.Context(), &rollcallv1.BaselinesRequest{})
				if err != nil {
					return fmt.Errorf("list baselines: %w", err)
				}
				doc := baselinesJSON{Baselines: []baselineJSON{}}
				t := table{header: []string{"NAME", "FACTS", "FROM", "FOR", "SET", "BY", "REASON"}, right: map[int]bool{1: true}, elastic: 6}
				for _, b := range reply.GetBaselines() {
					doc.Baselines = append(doc.Baselines, baselineOf(b))
					t.row(b.GetName(), fmt.Sprint(b.GetFacts()), b.GetFilter(), everybody(b.GetSite()), a.when(b.GetAtMs()), b.GetBy(), b.GetReason())
				}
				if asJSON {
					return a.document(doc)
				}
				t.write(a.out)
				if len(doc.Baselines) == 0 {
					a.err.line("rollcall: there is no baseline: rollcall baseline set NAME FILTER --reason TEXT")
				}
				return nil
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}
