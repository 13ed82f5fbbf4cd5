package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) proposalShowCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show exactly what would run",
		Long: `Shows a proposal: who made it, what runs when it is confirmed, with every name
resolved, and the digest of that; where it is to end the keys of many machines, each
of them.

As JSON: a proposal in the shape of 'rollcall proposal list'.`,
		Example:           `  rollcall proposal show 1a2b3c4d5e6f`,
		Args:              cmdline.Exactly("ID"),
		ValidArgsFunction: a.first(a.waitingProposals),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(func(s *server) error {
				p, err := theProposal(c.Context(), s, args[0])
				switch {
				case err != nil:
					return fmt.Errorf("show proposal: %w", err)
				case asJSON:
					return a.document(proposalOf(p))
				}
				a.showProposal(p)
				return a.proposedMany(c.Context(), s, p)
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

// theProposal finds the one that is meant by the beginning of an id.
func theProposal(ctx context.Context, s *server, id string) (*rollcallv1.Proposal, error) {
	reply, err := s.ListProposals(ctx, &rollcallv1.ListProposalsRequest{Id: id})
	if err != nil {
		return nil, err
	}
	if n := len(reply.GetProposals()); n != 1 {
		return nil, cmdline.Hinted(fmt.Errorf("%q means %d proposals", id, n), "write more of the id, see 'rollcall proposal list --all'")
	}
	return reply.GetProposals()[0], nil
}
