package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) enrolRevokeCommand() *cobra.Command {
	req := &rollcallv1.DecideRequest{}
	var asJSON bool
	c := &cobra.Command{
		Use:   "revoke KEY",
		Short: "End the access of an enrolled machine",
		Long: `Ends the access of a machine at once: nothing that is signed with its key is taken
any more. KEY is the id of the key, the beginning of it, or the name of the CI.
The CI keeps its history; a token made with 'rollcall enrol token --ci' lets the
machine come back.

As JSON: the key in the shape of 'rollcall enrol pending'.`,
		Example:           `  rollcall enrol revoke room12-pc07 --reason "stolen"`,
		Args:              cmdline.Exactly("KEY"),
		ValidArgsFunction: a.first(a.cis),
		RunE: func(c *cobra.Command, args []string) error {
			req.Key = args[0]
			return a.ask(func(s *server) error {
				reply, err := s.Revoke(c.Context(), req)
				if err != nil {
					return fmt.Errorf("revoke: %w", err)
				}
				return a.decided("revoked", reply.GetKey(), asJSON)
			})
		},
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why; kept with the key")
	jsonFlag(c, &asJSON)
	return c
}
