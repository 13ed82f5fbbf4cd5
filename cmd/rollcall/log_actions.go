package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

type actionJSON struct {
	Index  uint64            `json:"index"`
	Time   msTime            `json:"time"`
	Kind   string            `json:"kind"`
	By     string            `json:"by"`
	CI     string            `json:"ci"`
	CIName string            `json:"ci_name"`
	Key    string            `json:"key"`
	Detail map[string]string `json:"detail"`
	Erased bool              `json:"erased"`

	Changes []changedJSON `json:"changes"`
}

type changedJSON struct {
	Record string `json:"record"`
	Before string `json:"before"`
	After  string `json:"after"`
}

func changedRecords(x *rollcallv1.Action) []changedJSON {
	all := []changedJSON{}
	for _, c := range x.GetChanges() {
		all = append(all, changedJSON{c.GetRecord(), hex.EncodeToString(c.GetBefore()), hex.EncodeToString(c.GetAfter())})
	}
	return all
}

type actionsJSON struct {
	Actions []actionJSON `json:"actions"`
	Next    uint64       `json:"next"`
}

func (a *app) logActionsCommand() *cobra.Command {
	req := &rollcallv1.ActionsRequest{}
	var since, until string
	var asJSON bool
	c := &cobra.Command{
		Use:   "actions",
		Short: "Show who decided what",
		Long: `Shows what people did, newest first, out of the log that nobody can rewrite unseen:
machines that were admitted and ended, declarations, sites, operators, logins,
proposals with both names, and what was done alone with --break-glass. It needs the
role auditor; one of some sites sees what is about the CIs there.

As JSON: {"actions": [{"index", "time", "kind", "by", "ci", "ci_name", "key",
"detail", "erased", "changes": [{"record", "before", "after"}]}], "next"}; "index" is
that of the leaf, "changes" tells which operators, sites, tokens and keys became
others, by digests that only the server can make, and "next", where it is not 0, goes
on with --before.`,
		Example: `  rollcall log actions
  rollcall log actions --by kari --since yesterday
  rollcall log actions --kind break-glass --json`,
		Args: cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			from, err := a.parseTime("since", since, cmdline.Begin)
			if err != nil {
				return err
			}
			to, err := a.parseTime("until", until, cmdline.End)
			if err != nil {
				return err
			}
			req.SinceMs, req.UntilMs = millis(from), millis(to)
			return a.showActions(c.Context(), req, asJSON)
		},
	}
	c.Flags().StringVar(&req.By, "by", "", "what the operator `NAME` did, or confirmed")
	c.Flags().StringVar(&req.Kind, "kind", "", "only leaves of this `KIND`, such as approve or declare")
	c.Flags().StringVar(&req.Ci, "ci", "", "what was done about the CI of this `NAME`")
	c.Flags().StringVar(&since, "since", "", "not before this `TIME`")
	c.Flags().StringVar(&until, "until", "", "not after this `TIME`")
	c.Flags().Uint32Var(&req.Limit, "limit", 0, "at most `N`; 0: 100")
	c.Flags().Uint64Var(&req.Before, "before", 0, "only leaves before this `INDEX`")
	jsonFlag(c, &asJSON)
	a.complete(c, "ci", a.cis)
	return c
}

func (a *app) showActions(ctx context.Context, req *rollcallv1.ActionsRequest, asJSON bool) error {
	return a.ask(func(s *server) error {
		reply, err := s.Actions(ctx, req)
		if err != nil {
			return fmt.Errorf("log: %w", err)
		}
		doc := actionsJSON{Actions: []actionJSON{}, Next: reply.GetNext()}
		t := table{header: []string{"TIME", "WHO", "WHAT", "ABOUT", "DETAIL"}, elastic: 4}
		for _, x := range reply.GetActions() {
			detail := x.GetDetail()
			if detail == nil {
				detail = map[string]string{}
			}
			doc.Actions = append(doc.Actions, actionJSON{
				x.GetIndex(), msTime(x.GetTimeMs()), x.GetKind(), x.GetBy(), x.GetCi(), x.GetCiName(), x.GetKey(), detail, x.GetErased(), changedRecords(x),
			})
			about := x.GetCiName()
			if about == "" {
				about = x.GetCi()
			}
			t.row(a.when(x.GetTimeMs()), strings.TrimPrefix(x.GetBy(), "operator "), x.GetKind(), orDash(about), detailWords(x))
		}
		if asJSON {
			return a.document(doc)
		}
		t.write(a.out)
		switch {
		case reply.GetNext() > 0:
			a.err.line("rollcall: there is more: --before %d", reply.GetNext())
		case len(reply.GetActions()) == 0:
			a.err.line("rollcall: nothing of this kind in the log")
		}
		return nil
	})
}

func detailWords(x *rollcallv1.Action) string {
	if x.GetErased() {
		return "(erased)"
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(x.GetDetail())) {
		words = append(words, name+"="+x.GetDetail()[name])
	}
	return strings.Join(words, " ")
}
