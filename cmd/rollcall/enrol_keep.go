package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) enrolKeepCommand() *cobra.Command {
	req := &rollcallv1.KeepRequest{}
	var asJSON bool
	c := &cobra.Command{
		Use:   "keep CI",
		Short: "Go on with a key that spoke from two places",
		Long: `Ends the quarantine of a key that spoke from two places: its next full report is
taken, from whichever side it comes. That is right where there is one machine:
its disk was put back to an earlier state, or the copy is gone. Look at both
sides first: 'rollcall enrol forks CI'. Where two machines are still about, the
key is in quarantine again as soon as the second one reports: revoke it then.

As JSON: the key in the shape of 'rollcall enrol pending'.`,
		Example:           `  rollcall enrol keep room12-pc07 --reason "disk restored from an image"`,
		Args:              cmdline.Exactly("CI"),
		ValidArgsFunction: a.first(a.cis),
		RunE: func(c *cobra.Command, args []string) error {
			req.Key = args[0]
			return a.ask(func(s *server) error {
				reply, err := s.Keep(c.Context(), req)
				if err != nil {
					return fmt.Errorf("keep: %w", err)
				}
				return a.decided("kept", reply.GetKey(), asJSON)
			})
		},
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why; kept in the CI's history")
	jsonFlag(c, &asJSON)
	return c
}
