package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

type baselineFactsJSON struct {
	Baseline baselineJSON      `json:"baseline"`
	Facts    map[string]string `json:"facts"`
}

func (a *app) baselineShowCommand() *cobra.Command {
	var asJSON bool
	var under string
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Show what a baseline holds",
		Long: `Shows how a baseline was made and the facts that it holds.

As JSON: {"baseline": {…}, "facts": {PATH: VALUE}}; the baseline as in 'baseline
list'.`,
		Example: `  rollcall baseline show client
  rollcall baseline show client --path etc/cups`,
		Args:              cmdline.Exactly("NAME"),
		ValidArgsFunction: a.first(a.baselines),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(func(s *server) error {
				reply, err := s.Baselines(c.Context(), &rollcallv1.BaselinesRequest{Name: args[0]})
				if err == nil && len(reply.GetBaselines()) != 1 {
					err = fmt.Errorf("the answer holds %d baselines", len(reply.GetBaselines()))
				}
				if err != nil {
					return fmt.Errorf("show baseline: %w", err)
				}
				facts, err := fact.DecodeSet(reply.GetFacts())
				if err != nil {
					return fmt.Errorf("show baseline %s: %w", args[0], err)
				}
				return a.showBaseline(reply.GetBaselines()[0], facts, strings.Trim(under, "/"), asJSON)
			})
		},
	}
	c.Flags().StringVar(&under, "path", "", "only facts at or below this `PATH`")
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) showBaseline(b *rollcallv1.Baseline, facts fact.Set, under string, asJSON bool) error {
	doc := baselineFactsJSON{Baseline: baselineOf(b), Facts: map[string]string{}}
	t := table{header: []string{"FACT", "VALUE"}, elastic: 1}
	for _, f := range facts {
		if !fact.Under(f.Path, under) {
			continue
		}
		doc.Facts[f.Path] = f.Value
		t.row(f.Path, f.Value)
	}
	if asJSON {
		return a.document(doc)
	}
	a.out.line("%s for %s: %s", b.GetName(), everybody(b.GetSite()), a.madeFrom(b))
	a.out.line("machines: %s", b.GetFilter())
	a.out.line("set %s by %s: %s", a.when(b.GetAtMs()), b.GetBy(), b.GetReason())
	t.write(a.out)
	return nil
}
