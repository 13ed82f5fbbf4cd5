package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) ciMergeCommand() *cobra.Command {
	var reason string
	var anyway, asJSON bool
	c := &cobra.Command{
		Use:   "merge NAME INTO",
		Short: "Make one CI of two that are one machine",
		Long: `Says that the CI NAME is the CI INTO, which stays in its place. From then on lists,
filters and counts leave NAME out; its name, its history and what was declared about
it stay, and 'rollcall ci split' undoes it. It is a revision of both, and a leaf of the
evidence log. In the git mirror the folder of NAME has nothing more but a note where it
went; all that was in it is in the history.

INTO takes nothing over: what was declared about NAME alone is listed, to be set with
'rollcall ci set'. While a key speaks for NAME nothing is merged: merge the other way
round, or revoke it. A machine that boots from the network is never merged. Where the
evidence says that they are two machines, it takes --anyway: see 'rollcall ci same'.

Needs the role operator at the sites of both.

As JSON: {"item", "gone", "left": {FIELD: VALUE}, "sentence"}.`,
		Example:           `  rollcall ci merge room12-pc07 room12-pc07-2 --reason "installed anew without a token"`,
		Args:              cmdline.Exactly("NAME", "INTO"),
		ValidArgsFunction: a.pair(a.cis),
		RunE: func(c *cobra.Command, args []string) error {
			return a.merge(c.Context(), &rollcallv1.MergeRequest{Ci: args[0], Into: args[1], Reason: reason, Anyway: anyway}, asJSON)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why; kept with the revisions")
	c.Flags().BoolVar(&anyway, "anyway", false, "also where the evidence says that they are two machines")
	jsonFlag(c, &asJSON)
	return c
}

type mergeJSON struct {
	Item     itemJSON          `json:"item"`
	Gone     itemJSON          `json:"gone"`
	Left     map[string]string `json:"left"`
	Sentence string            `json:"sentence"`
}

func (a *app) merge(ctx context.Context, req *rollcallv1.MergeRequest, asJSON bool) error {
	return a.ask(func(s *server) error {
		reply, err := s.Merge(ctx, req)
		if err != nil {
			return fmt.Errorf("merge: %w", err)
		}
		if asJSON {
			left := map[string]string{}
			maps.Copy(left, reply.GetLeft())
			return a.document(mergeJSON{itemOf(reply.GetItem()), itemOf(reply.GetGone()), left, reply.GetSentence()})
		}
		gone, stays := reply.GetGone().GetName(), reply.GetItem().GetName()
		a.out.line("%s is %s from now on", gone, stays)
		a.out.line("  %s", reply.GetSentence())
		for _, name := range slices.Sorted(maps.Keys(reply.GetLeft())) {
			a.out.line("  declared about %s alone: %s = %s", gone, name, reply.GetLeft()[name])
		}
		a.err.line("rollcall: hint: rollcall ci split %s undoes it", gone)
		return nil
	})
}
