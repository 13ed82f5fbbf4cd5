package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) enrolApproveCommand() *cobra.Command {
	req := &rollcallv1.DecideRequest{}
	var asJSON bool
	c := &cobra.Command{
		Use:   "approve KEY",
		Short: "Admit a waiting machine",
		Long: `Admits a machine that waits. KEY is the id of its key, the beginning of it, or its
host name, as 'rollcall enrol pending' shows them. Compare the words of the key
with those on the machine first. With --ci the machine takes over that CI with
its history.

A server needs two people: who made a token that names it counts as one and
cannot approve it; else two operators approve it with the same words. An admin of all
sites who is alone gives a reason with --break-glass, which the status shows for 30
days.

As JSON: the key in the shape of 'rollcall enrol pending'.`,
		Example: `  rollcall enrol approve 1a2b3c4d
  rollcall enrol approve 1a2b3c4d --ci tjener
  rollcall enrol approve pc07 --site elm/north/b1/room12 --class workstation`,
		Args:              cmdline.Exactly("KEY"),
		ValidArgsFunction: a.first(a.waitingKeys),
		RunE: func(c *cobra.Command, args []string) error {
			req.Key = args[0]
			return a.ask(func(s *server) error {
				reply, err := s.Approve(c.Context(), req)
				if err != nil {
					return fmt.Errorf("approve: %w", err)
				}
				return a.decided("approved", reply.GetKey(), asJSON)
			})
		},
	}
	c.Flags().StringVar(&req.Ci, "ci", "", "take over the CI of this `NAME`")
	c.Flags().StringVar(&req.Site, "site", "", "put it into this `SITE`, instead of the token's")
	c.Flags().StringVar(&req.Class, "class", "", "its `CLASS`, instead of the token's")
	a.glassFlag(c)
	jsonFlag(c, &asJSON)
	a.complete(c, "site", a.sites)
	a.complete(c, "class", fixed(classes...))
	a.complete(c, "ci", a.cis)
	return c
}

// decided tells what a decision did.
func (a *app) decided(did string, k *rollcallv1.KeyInfo, asJSON bool) error {
	if asJSON {
		return a.document(keyOf(k))
	}
	what := shortKey(k.GetKeyId()) + after(" ", k.GetHostname())
	if k.GetCiName() != "" && k.GetState() == "enrolled" {
		what += ", it is CI " + k.GetCiName()
	}
	if k.GetState() == "pending" {
		a.out.line("noted for %s, which still waits; it needs %s", what, k.GetNeeds())
		return nil
	}
	a.out.line("%s %s", did, what)
	return nil
}
