package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) proposalCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "proposal",
		Short: "Decide about what needs two people",
		Long: `Some decisions need two people: to make somebody admin or give an admin a new
login, to make a CI a server, to erase a CI, and to end the keys of more than one
machine. Whoever asks for one of these is told that it waits; it runs when another
person who could have asked for it too confirms it, within seven days. Both names go
into the log. For 30 days nobody can confirm by a login that was given out by the one
who proposes, unless that too took two people.

Where there is one admin only, or in the night, an admin of all sites does it alone
with --break-glass REASON. That is logged in a leaf of its own, and the status warns
of it for 30 days.`,
		Example: `  rollcall proposal list
  rollcall proposal confirm 1a2b3c4d5e6f`,
	}
	c.AddCommand(a.proposalListCommand(), a.proposalShowCommand(), a.proposalConfirmCommand(), a.proposalRefuseCommand())
	return c
}

type proposalJSON struct {
	ID        string `json:"id"`
	What      string `json:"what"`
	Method    string `json:"method"`
	Request   string `json:"request"`
	Digest    string `json:"digest"`
	Site      string `json:"site"`
	By        string `json:"by"`
	Made      msTime `json:"made"`
	Expires   msTime `json:"expires"`
	State     string `json:"state"`
	DecidedBy string `json:"decided_by"`
	Decided   msTime `json:"decided"`
	Reason    string `json:"reason"`
	Yours     bool   `json:"yours"`
	May       bool   `json:"may_confirm"`
}

func proposalOf(p *rollcallv1.Proposal) proposalJSON {
	return proposalJSON{
		ID: p.GetId(), What: p.GetWhat(), Method: p.GetMethod(), Request: p.GetRequest(), Digest: hex.EncodeToString(p.GetDigest()),
		Site: p.GetSite(), By: p.GetBy(), Made: msTime(p.GetMadeMs()), Expires: msTime(p.GetExpiresMs()), State: p.GetState(),
		DecidedBy: p.GetDecidedBy(), Decided: msTime(p.GetDecidedMs()), Reason: p.GetReason(), Yours: p.GetYours(), May: p.GetMayConfirm(),
	}
}

// showProposal writes everything that a second person must see.
func (a *app) showProposal(p *rollcallv1.Proposal) {
	a.out.text(bold, sprintf("%s  %s", p.GetId(), p.GetWhat()))
	a.out.styled(yellow, "  %s", p.GetState())
	where := p.GetSite()
	if where == "" {
		where = "everywhere"
	}
	rows := [][2]string{
		{"proposed", fmt.Sprintf("%s by %s", a.whenAgo(p.GetMadeMs()), p.GetBy())},
		{"expires", a.when(p.GetExpiresMs())},
		{"site", where},
		{"runs", strings.TrimPrefix(p.GetMethod(), "/rollcall.v1.")},
		{"request", p.GetRequest()},
		{"digest", hex.EncodeToString(p.GetDigest())},
	}
	if p.GetDecidedBy() != "" {
		rows = append(rows, [2]string{"decided", fmt.Sprintf("%s by %s%s", a.whenAgo(p.GetDecidedMs()), p.GetDecidedBy(), after(": ", p.GetReason()))})
	}
	a.fields("  ", rows)
	switch {
	case p.GetMayConfirm():
		a.out.styled(cyan, "  rollcall proposal confirm %s", p.GetId())
	case p.GetYours() && p.GetState() == "waiting":
		a.out.styled(cyan, "  another person types: rollcall proposal confirm %s", p.GetId())
	}
}

// waitingProposals completes the ids of proposals, with what they are about.
func (a *app) waitingProposals(ctx context.Context, prefix string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	s, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer s.close()
	reply, err := s.ListProposals(ctx, &rollcallv1.ListProposalsRequest{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, p := range reply.GetProposals() {
		if id := p.GetId(); strings.HasPrefix(id, prefix) && inertLine(id) == id {
			out = append(out, id+"\t"+inertLine(p.GetWhat()))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
