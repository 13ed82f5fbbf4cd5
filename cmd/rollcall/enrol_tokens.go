package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) enrolTokensCommand() *cobra.Command {
	var all, asJSON bool
	c := &cobra.Command{
		Use:   "tokens",
		Short: "List the tokens that still admit machines",
		Long: `Lists the tokens that still admit machines: of which kind, for how many, from
where, until when and who made them. Their secrets are nowhere but with whoever
carries them. With --all also those that are used, expired or withdrawn.

As JSON: {"tokens": [{"id", "kind", "name", "site", "class", "ci", "ci_name",
"standing", "uses", "used", "nets", "image", "needs_approval", "by", "created", "expires",
"last_used", "last_used_by", "withdrawn_by"}]}.`,
		Example: `  rollcall enrol tokens
  rollcall enrol tokens --all --json`,
		Args: cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.tokens(c.Context(), all, asJSON) },
	}
	c.Flags().BoolVar(&all, "all", false, "also those that admit nobody any more")
	jsonFlag(c, &asJSON)
	return c
}

type tokenInfoJSON struct {
	ID            string   `json:"id"`
	Kind          string   `json:"kind"`
	Name          string   `json:"name"`
	Site          string   `json:"site"`
	Class         string   `json:"class"`
	CI            string   `json:"ci"`
	CIName        string   `json:"ci_name"`
	Standing      string   `json:"standing"`
	Uses          uint32   `json:"uses"`
	Used          uint32   `json:"used"`
	Nets          []string `json:"nets"`
	Image         string   `json:"image"` // id of the CI of the image that it lies in
	NeedsApproval bool     `json:"needs_approval"`
	By            string   `json:"by"`
	Created       msTime   `json:"created"`
	Expires       msTime   `json:"expires"`
	LastUsed      msTime   `json:"last_used"`
	LastUsedBy    string   `json:"last_used_by"`
	WithdrawnBy   string   `json:"withdrawn_by"`
}

type tokensJSON struct {
	Tokens []tokenInfoJSON `json:"tokens"`
}

func tokenOf(t *rollcallv1.TokenInfo) tokenInfoJSON {
	return tokenInfoJSON{
		ID: t.GetId(), Kind: t.GetKind(), Name: t.GetName(), Site: t.GetSite(), Class: t.GetClass(), CI: t.GetCi(), CIName: t.GetCiName(),
		Standing: t.GetStanding(), Uses: t.GetUses(), Used: t.GetUsed(), Nets: append([]string{}, t.GetNets()...), Image: t.GetImage(),
		NeedsApproval: t.GetNeedsApproval(), By: t.GetBy(), Created: msTime(t.GetCreatedMs()), Expires: msTime(t.GetExpiresMs()),
		LastUsed: msTime(t.GetUsedMs()), LastUsedBy: t.GetUsedBy(), WithdrawnBy: t.GetWithdrawnBy(),
	}
}

func (a *app) tokens(ctx context.Context, all, asJSON bool) error {
	return a.ask(func(s *server) error {
		reply, err := s.Tokens(ctx, &rollcallv1.TokensRequest{All: all})
		if err != nil {
			return fmt.Errorf("list tokens: %w", err)
		}
		doc := tokensJSON{Tokens: []tokenInfoJSON{}}
		t := table{header: []string{"ID", "KIND", "ADMITS", "FOR", "FROM", "UNTIL", "BY", "NAME"}}
		for _, i := range reply.GetTokens() {
			doc.Tokens = append(doc.Tokens, tokenOf(i))
			t.row(i.GetId(), i.GetKind(), admits(i), orDash(strings.Join(present(i.GetCiName(), i.GetSite(), i.GetClass()), ", ")),
				orDash(strings.Join(i.GetNets(), " ")), a.when(i.GetExpiresMs()), i.GetBy(), orDash(i.GetName()))
		}
		switch {
		case asJSON:
			return a.document(doc)
		case len(reply.GetTokens()) == 0:
			a.err.line("rollcall: no token admits a machine now")
		default:
			t.write(a.out)
		}
		return nil
	})
}

// admits says how many a token still admits, or why none.
func admits(t *rollcallv1.TokenInfo) string {
	if t.GetStanding() != "good" {
		return "none: " + t.GetStanding()
	}
	noun := "machine"
	if t.GetKind() == "netboot" {
		noun = "more seat"
	}
	left := uint32(0)
	if t.GetUses() > t.GetUsed() {
		left = t.GetUses() - t.GetUsed()
	}
	text := plural(left, noun)
	if t.GetNeedsApproval() {
		text += " after approval"
	}
	return text
}
