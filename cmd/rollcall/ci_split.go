package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) ciSplitCommand() *cobra.Command {
	var reason string
	var asJSON bool
	c := &cobra.Command{
		Use:   "split NAME",
		Short: "Undo a merge: the CI is its own again",
		Long: `Undoes 'rollcall ci merge': NAME is a CI of its own again, with the facts and the
status that it had. What happened meanwhile stays with the CI that it was merged into.
It is a revision of both, and a leaf of the evidence log.

Needs the role operator at the sites of both.

As JSON: {"item", "from"}, CIs in the shape of 'rollcall ci list'.`,
		Example:           `  rollcall ci split room12-pc07 --reason "they stand side by side"`,
		Args:              cmdline.Exactly("NAME"),
		ValidArgsFunction: a.first(a.cis),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(func(s *server) error {
				reply, err := s.Split(c.Context(), &rollcallv1.SplitRequest{Ci: args[0], Reason: reason})
				switch {
				case err != nil:
					return fmt.Errorf("split: %w", err)
				case asJSON:
					return a.document(splitJSON{itemOf(reply.GetItem()), itemOf(reply.GetFrom())})
				}
				a.out.line("%s is its own again, %s stays", reply.GetItem().GetName(), reply.GetFrom().GetName())
				return nil
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why; kept with the revisions")
	jsonFlag(c, &asJSON)
	return c
}

type splitJSON struct {
	Item itemJSON `json:"item"`
	From itemJSON `json:"from"`
}
