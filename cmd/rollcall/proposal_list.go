package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

type proposalsJSON struct {
	Proposals []proposalJSON `json:"proposals"`
}

func (a *app) proposalListCommand() *cobra.Command {
	var all, asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List what waits for a second person",
		Long: `Lists what waits for a second person: your own proposals and those that you may
confirm; for an auditor all at her sites. With --all also those that have been
decided or have expired, for 90 days.

As JSON: {"proposals": [{"id", "what", "method", "request", "digest", "site", "by",
"made", "expires", "state", "decided_by", "decided", "reason", "yours",
"may_confirm"}]}.`,
		Example: `  rollcall proposal list
  rollcall proposal list --all --json`,
		Args: cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(func(s *server) error {
				reply, err := s.ListProposals(c.Context(), &rollcallv1.ListProposalsRequest{All: all})
				if err != nil {
					return fmt.Errorf("list proposals: %w", err)
				}
				doc := proposalsJSON{Proposals: []proposalJSON{}}
				t := table{header: []string{"ID", "WHAT", "BY", "STATE", "EXPIRES"}, elastic: 1}
				for _, p := range reply.GetProposals() {
					doc.Proposals = append(doc.Proposals, proposalOf(p))
					t.row(p.GetId(), p.GetWhat(), p.GetBy(), p.GetState(), a.when(p.GetExpiresMs()))
				}
				if asJSON {
					return a.document(doc)
				}
				t.write(a.out)
				if len(reply.GetProposals()) == 0 {
					a.err.line("rollcall: nothing waits for a second person")
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "also what has been decided or has expired")
	jsonFlag(c, &asJSON)
	return c
}
