package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) baselineSetCommand() *cobra.Command {
	req := &rollcallv1.SetBaselineRequest{}
	var at string
	c := &cobra.Command{
		Use:   "set NAME FILTER",
		Short: "Make a baseline out of what machines have in common",
		Long: `Makes a baseline out of the facts that all machines of a filter have, or with
--share so many in 100 of them. What has that name now is replaced; the log keeps
who set it when, and why.

Machines that are all alike have more in common than you may want to compare:
--path keeps what is at or below a path, and can be given several times. Of more
than 2,000 machines 2,000 are looked at, evenly chosen.

Needs one of the roles operator and change-manager, at the site that it is for.`,
		Example: `  rollcall baseline set client 'site = elm/north/b1/room14' --path pkg --path etc/cups --reason 'room 14 after RFC 7'
  rollcall baseline set spring 'class = workstation' --share 95 --path pkg --at 2026-05-01 --reason 'as they were before the upgrade'`,
		Args:              cmdline.Exactly("NAME", "FILTER"),
		ValidArgsFunction: a.first(a.baselines),
		RunE: func(c *cobra.Command, args []string) error {
			when, err := a.parseTime("at", at, cmdline.End)
			if err != nil {
				return err
			}
			req.Name, req.Filter, req.AtMs = args[0], args[1], millis(when)
			return a.ask(func(s *server) error {
				reply, err := s.SetBaseline(c.Context(), req)
				if err != nil {
					return fmt.Errorf("set baseline: %w", err)
				}
				a.out.line("baseline %s for %s: %s", reply.GetBaseline().GetName(), everybody(reply.GetBaseline().GetSite()), a.madeFrom(reply.GetBaseline()))
				for _, note := range reply.GetNotes() {
					a.err.line("rollcall: %s", note)
				}
				return nil
			})
		},
	}
	atFlag(c, &at)
	c.Flags().Uint32Var(&req.Share, "share", 100, "facts that `N` in 100 of the machines have")
	c.Flags().StringArrayVar(&req.Paths, "path", nil, "only facts at or below this `PATH`, such as pkg or etc/cups")
	c.Flags().StringVar(&req.Site, "site", "", "for the people of this `SITE`")
	c.Flags().StringVar(&req.Reason, "reason", "", "why, as a `TEXT` that stays in the log")
	a.complete(c, "site", a.sites)
	return c
}
