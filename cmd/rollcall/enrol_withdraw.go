package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) enrolWithdrawCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "withdraw TOKEN",
		Short: "End a token, so that it admits nobody any more",
		Long: `Ends a token at once: one that was lost, or is not needed any more. TOKEN is its
id, the beginning of it, or its name, as 'rollcall enrol tokens' shows them.
Machines that came with it stay: 'rollcall enrol revoke' ends those.

As JSON: the token in the shape of 'rollcall enrol tokens'.`,
		Example:           `  rollcall enrol withdraw 00ff12`,
		Args:              cmdline.Exactly("TOKEN"),
		ValidArgsFunction: a.first(a.goodTokens),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(func(s *server) error {
				reply, err := s.Withdraw(c.Context(), &rollcallv1.WithdrawRequest{Token: args[0]})
				if err != nil {
					return fmt.Errorf("withdraw: %w", err)
				}
				if asJSON {
					return a.document(tokenOf(reply.GetToken()))
				}
				a.out.line("withdrew token %s%s", reply.GetToken().GetId(), after(", ", reply.GetToken().GetName()))
				return nil
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}
