package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) proposalRefuseCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "refuse ID",
		Short: "Refuse a proposal, or take your own back",
		Long:  `Ends a proposal without running it: one that you could confirm, or your own.`,
		Example: `  rollcall proposal refuse 1a2b3c4d5e6f --reason 'not one of ours'
  rollcall proposal refuse 1a2b3c4d5e6f`,
		Args:              cmdline.Exactly("ID"),
		ValidArgsFunction: a.first(a.waitingProposals),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(func(s *server) error {
				reply, err := s.Decline(c.Context(), &rollcallv1.DeclineRequest{Id: args[0], Reason: reason})
				if err != nil {
					return fmt.Errorf("refuse proposal: %w", err)
				}
				a.out.line("refused proposal %s: %s", reply.GetProposal().GetId(), reply.GetProposal().GetWhat())
				return nil
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the log: `TEXT`")
	return c
}
