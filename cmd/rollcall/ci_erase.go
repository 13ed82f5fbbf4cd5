package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) ciEraseCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "erase NAME",
		Short: "Remove a CI with its whole history for good",
		Long: `Removes a CI as if it had never been: its history, its reports, the contents that
nobody else has, and what the evidence log says of it. Its key is ended. It is for
personal data that must go; to take a machine out of use, set status=disposed.

The leaves of the log stay, so that it can be proved whole, and nobody can link
them to the machine any more. That a CI was erased, by whom and why, stays too:
name the law in the reason, not the person.

Needs the role admin, and a second admin who confirms, see 'rollcall proposal'.
Afterwards the server makes its git mirror anew; clones of it keep what they have.
The store's file holds the bytes until 'rollcall-server compact'; backups hold them
until they are replaced.`,
		Example:           `  rollcall ci erase laptop-of-ola --reason "GDPR art. 17, case 2026/114"`,
		Args:              cmdline.Exactly("NAME"),
		ValidArgsFunction: a.first(a.cis),
		RunE: func(c *cobra.Command, args []string) error {
			if reason == "" {
				return cmdline.Usagef("erase CI: give a --reason: it stays in the log")
			}
			return a.eraseCI(c.Context(), args[0], reason)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why; stays in the log for ever")
	a.glassFlag(c)
	return c
}

func (a *app) eraseCI(ctx context.Context, name, reason string) error {
	return a.ask(func(s *server) error {
		reply, err := s.Erase(ctx, &rollcallv1.EraseRequest{Ci: name, Reason: reason})
		if err != nil {
			return fmt.Errorf("erase CI: %w", err)
		}
		a.out.line("erased %s: %d revisions, %d contents; %d leaves of the log say nothing any more", reply.GetCi(), reply.GetRevisions(), reply.GetContents(), reply.GetLeaves())
		a.out.line("the store's file holds the bytes until 'rollcall-server compact'")
		return nil
	})
}
