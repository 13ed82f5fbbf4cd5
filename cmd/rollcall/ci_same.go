package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) ciSameCommand() *cobra.Command {
	var asJSON bool
	var limit uint32
	c := &cobra.Command{
		Use:   "same NAME [OTHER]",
		Short: "Why two CIs are one machine, or are not",
		Long: `Weighs what two CIs show of themselves, and says in words why they are one machine
or two: serial numbers, SMBIOS UUID, permanent addresses of network cards, disks,
machine-id, SSH host keys, the host name, and when their keys spoke. What says
nothing is listed with the reason: a vendor's placeholder, a dock or adapter on USB,
an address that is passed through or made up by software, what a container shows of
its host, what more than three CIs show.

Without OTHER it lists the CIs that are most like one.

All of it can be forged by whoever is root on a machine: it is evidence, and you
decide. 'rollcall ci merge' makes one of two.

As JSON: {"item", "others": [{"item", "verdict", "points", "sentence", "pieces":
[{"kind", "value", "other", "points", "why"}]}], "notes"}.`,
		Example:           "  rollcall ci same room12-pc07 room12-pc07-2\n  rollcall ci same room12-pc07 --json",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.pair(a.cis),
		RunE: func(c *cobra.Command, args []string) error {
			req := &rollcallv1.SameRequest{Ci: args[0], Limit: limit}
			if len(args) > 1 {
				req.Other = args[1]
			}
			return a.same(c.Context(), req, asJSON)
		},
	}
	c.Flags().Uint32Var(&limit, "limit", 10, "at most `N` candidates")
	jsonFlag(c, &asJSON)
	return c
}

// pair completes the first two arguments.
func (a *app) pair(fn completer) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 1 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return fn(c.Context(), prefix)
	}
}

type pieceJSON struct {
	Kind   string `json:"kind"`
	Value  string `json:"value"`
	Other  string `json:"other"`
	Points int32  `json:"points"`
	Why    string `json:"why"`
}

type likenessJSON struct {
	Item     itemJSON    `json:"item"`
	Verdict  string      `json:"verdict"`
	Points   int32       `json:"points"`
	Sentence string      `json:"sentence"`
	Pieces   []pieceJSON `json:"pieces"`
}

type sameJSON struct {
	Item   itemJSON       `json:"item"`
	Others []likenessJSON `json:"others"`
	Notes  []string       `json:"notes"`
}

func (a *app) same(ctx context.Context, req *rollcallv1.SameRequest, asJSON bool) error {
	return a.ask(func(s *server) error {
		reply, err := s.Same(ctx, req)
		switch {
		case err != nil:
			return fmt.Errorf("same: %w", err)
		case asJSON:
			return a.document(sameOf(reply))
		}
		a.showSame(reply, req.GetOther() != "")
		return nil
	})
}

func sameOf(reply *rollcallv1.SameReply) sameJSON {
	out := sameJSON{Item: itemOf(reply.GetItem()), Others: []likenessJSON{}, Notes: append([]string{}, reply.GetNotes()...)}
	for _, o := range reply.GetOthers() {
		l := likenessJSON{Item: itemOf(o.GetItem()), Verdict: o.GetVerdict(), Points: o.GetPoints(), Sentence: o.GetSentence(), Pieces: []pieceJSON{}}
		for _, p := range o.GetPieces() {
			l.Pieces = append(l.Pieces, pieceJSON{p.GetKind(), p.GetValue(), p.GetOther(), p.GetPoints(), p.GetWhy()})
		}
		out.Others = append(out.Others, l)
	}
	return out
}

// showSame prints the evidence on a pair, or one line for each candidate.
func (a *app) showSame(reply *rollcallv1.SameReply, pair bool) {
	name := reply.GetItem().GetName()
	if len(reply.GetOthers()) == 0 {
		a.out.line("no other CI shows anything that identifies %s", name)
	}
	for _, o := range reply.GetOthers() {
		a.out.styled(bold, "%s", name+" and "+o.GetItem().GetName())
		a.out.line("  %s", o.GetSentence())
		if !pair {
			continue
		}
		for _, p := range o.GetPieces() {
			a.out.line("  %s %s: %s", mark(p.GetPoints()), p.GetWhy(), values(p))
		}
	}
	for _, n := range reply.GetNotes() {
		a.err.line("rollcall: %s", n)
	}
}

// mark shows on which side a piece of evidence is.
func mark(points int32) string {
	switch {
	case points > 0:
		return fmt.Sprintf("+%d", points)
	case points < 0:
		return fmt.Sprint(points)
	}
	return " ·"
}

func values(p *rollcallv1.LikenessPiece) string {
	if p.GetValue() == p.GetOther() {
		return p.GetValue()
	}
	return orDash(p.GetValue()) + " and " + orDash(p.GetOther())
}
