package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) ciHistoryCommand() *cobra.Command {
	var q changing
	c := &cobra.Command{
		Use:   "history NAME",
		Short: "Show the revisions of one CI, newest first",
		Long: `Shows each recorded change of a CI: when, what, by whom and why. With --facts also
the facts that changed, old and new.

As JSON: the shape of 'rollcall changes'.`,
		Example: `  rollcall ci history room12-pc07
  rollcall ci history room12-pc07 --since 7d --path /etc/cups --facts`,
		Args:              cmdline.Exactly("NAME"),
		ValidArgsFunction: a.first(a.cis),
		RunE: func(c *cobra.Command, args []string) error {
			return a.changes(c.Context(), q, false, func(ctx context.Context, s *server, span spanRequest) (*rollcallv1.ChangesReply, error) {
				reply, err := s.History(ctx, &rollcallv1.HistoryRequest{
					Ci: args[0], SinceMs: span.since, UntilMs: span.until, Limit: q.limit, Path: q.path,
				})
				if err != nil {
					return nil, fmt.Errorf("history: %w", err)
				}
				return reply, nil
			})
		},
	}
	q.flags(c)
	return c
}
