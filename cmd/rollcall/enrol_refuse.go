package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) enrolRefuseCommand() *cobra.Command {
	req := &rollcallv1.DecideRequest{}
	var asJSON bool
	c := &cobra.Command{
		Use:   "refuse KEY",
		Short: "Turn a waiting machine away",
		Long: `Turns a machine away that waits. Its key is refused for good; the machine needs a
new key and a new token to ask again.

As JSON: the key in the shape of 'rollcall enrol pending'.`,
		Example:           `  rollcall enrol refuse 1a2b3c4d --reason "nobody knows this laptop"`,
		Args:              cmdline.Exactly("KEY"),
		ValidArgsFunction: a.first(a.waitingKeys),
		RunE: func(c *cobra.Command, args []string) error {
			req.Key = args[0]
			return a.ask(func(s *server) error {
				reply, err := s.Refuse(c.Context(), req)
				if err != nil {
					return fmt.Errorf("refuse: %w", err)
				}
				return a.decided("refused", reply.GetKey(), asJSON)
			})
		},
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why; kept with the key")
	jsonFlag(c, &asJSON)
	return c
}
