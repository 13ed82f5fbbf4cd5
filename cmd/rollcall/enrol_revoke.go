package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) enrolRevokeCommand() *cobra.Command {
	req := &rollcallv1.DecideRequest{}
	many := revokeMany{app: a}
	var asJSON bool
	c := &cobra.Command{
		Use:   "revoke {KEY | --filter FILTER}",
		Short: "End the access of an enrolled machine, or of many",
		Long: `Ends the access of a machine at once: nothing that is signed with its key is taken
any more. KEY is the id of the key, the beginning of it, or the name of the CI.
The CI keeps its history; a token made with 'rollcall enrol token --ci' lets the
machine come back.

With --filter the keys of all machines that fit, within your sites. What would be
ended is shown, and you are asked; more than one machine takes a second person, see
'rollcall proposal'. What was shown is what is ended: a machine that comes to fit
later is not, and those that are not there any more are named. A server that is
killed meanwhile goes on when it starts. Filter and reason stay in the log for ever:
name no person in them.

As JSON: the key in the shape of 'rollcall enrol pending'; with --filter
{"id", "machines", "revoked", "gone", "failed", "left": [{"ci", "name", "class",
"site", "presence", "key_id", "state"}]}.`,
		Example: `  rollcall enrol revoke room12-pc07 --reason "stolen"
  rollcall enrol revoke --filter 'site = elm/north/b1 and presence = silent' --reason "building closed"`,
		Args: func(_ *cobra.Command, args []string) error {
			if n := len(args); n > 1 || (n == 1) == (many.filter != "") {
				return cmdline.Usagef("revoke: name one KEY, or give a --filter")
			}
			return nil
		},
		ValidArgsFunction: a.first(a.cis),
		RunE: func(c *cobra.Command, args []string) error {
			if many.filter != "" {
				return many.run(c.Context(), req.GetReason(), asJSON)
			}
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
	c.Flags().StringVar(&many.filter, "filter", "", "all machines that fit this `FILTER`")
	c.Flags().BoolVar(&many.yes, "yes", false, "with --filter: do not ask")
	a.glassFlag(c)
	jsonFlag(c, &asJSON)
	return c
}
