package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// secretKinds are what the radar tells apart; a newer server may know more.
var secretKinds = []string{"ssh-host-key", "keytab", "tls-key", "ssh-key", "wireguard", "vpn", "wifi"}

func (a *app) radarCommand() *cobra.Command {
	var q sweeping
	c := &cobra.Command{
		Use:   "radar [FILTER]",
		Short: "Find secrets that several machines share",
		Long: `Finds machines that have the same SSH host key, keytab, TLS key, SSH key, WireGuard
or VPN key, or wifi password: of all machines, or of those that a filter selects.
A shared host key means a cloned image. A wifi password is shared by all machines
of a network, as it should be; you judge.

No secret leaves a machine for it. Machines report keyed fingerprints under a key
that the server does not have (radar_key in agent.conf, made by 'rollcall-recovery
radar-key'); those without it are not seen here.

SINCE is when a second machine was first seen with it.

As JSON: {"at", "machines", "reporting", "groups": [{"kind", "secrets",
"machine_count", "since", "words", "holders": [{"ci", "name", "site", "paths",
"since"}]}], "more"}. "holders" lists at most 200.`,
		Example: "  rollcall radar\n  rollcall radar 'site = elm/*' --kind ssh-host-key --kind keytab\n  rollcall radar --json",
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			q.filter = words(args)
			return a.radar(c.Context(), q)
		},
	}
	atFlag(c, &q.at)
	jsonFlag(c, &q.json)
	c.Flags().StringSliceVar(&q.kinds, "kind", nil, "only secrets of this `KIND`; may be repeated")
	c.Flags().Uint32Var(&q.limit, "limit", 100, "at most `N` groups")
	a.complete(c, "kind", fixed(secretKinds...))
	return c
}

// sweeping is the question and how its answer is shown.
type sweeping struct {
	filter, at string
	kinds      []string
	limit      uint32
	json       bool
}

type holderJSON struct {
	CI    string   `json:"ci"`
	Name  string   `json:"name"`
	Site  string   `json:"site"`
	Paths []string `json:"paths"`
	Since msTime   `json:"since"`
}

type sharedJSON struct {
	Kind     string       `json:"kind"`
	Secrets  uint32       `json:"secrets"`
	Machines uint32       `json:"machine_count"`
	Since    msTime       `json:"since"`
	Words    string       `json:"words"`
	Holders  []holderJSON `json:"holders"`
}

type radarJSON struct {
	At        msTime       `json:"at"`
	Machines  uint32       `json:"machines"`
	Reporting uint32       `json:"reporting"`
	Groups    []sharedJSON `json:"groups"`
	More      bool         `json:"more"`
}

func (a *app) radar(ctx context.Context, q sweeping) error {
	at, err := a.parseTime("at", q.at, cmdline.End)
	if err != nil {
		return err
	}
	req := &rollcallv1.SharedRequest{Filter: q.filter, AtMs: millis(at), Kinds: q.kinds, Limit: q.limit}
	return a.ask(func(s *server) error {
		reply, err := s.Shared(ctx, req)
		switch {
		case err != nil:
			return fmt.Errorf("radar: %w", err)
		case q.json:
			return a.document(radarOf(req, reply))
		}
		a.showRadar(reply)
		return nil
	})
}

func radarOf(req *rollcallv1.SharedRequest, reply *rollcallv1.SharedReply) radarJSON {
	out := radarJSON{At: msTime(req.GetAtMs()), Machines: reply.GetMachines(), Reporting: reply.GetReporting(), Groups: []sharedJSON{}, More: reply.GetMore()}
	for _, g := range reply.GetGroups() {
		shared := sharedJSON{
			Kind: g.GetKind(), Secrets: g.GetSecrets(), Machines: g.GetMachines(), Since: msTime(g.GetSinceMs()), Words: g.GetWords(),
			Holders: []holderJSON{},
		}
		for _, h := range g.GetHolders() {
			shared.Holders = append(shared.Holders, holderJSON{h.GetCi(), h.GetName(), h.GetSite(), listOf(h.GetPaths()), msTime(h.GetSinceMs())})
		}
		out.Groups = append(out.Groups, shared)
	}
	return out
}

// shownHolders bounds the machines that stand below a group.
const shownHolders = 12

func (a *app) showRadar(reply *rollcallv1.SharedReply) {
	if reply.GetReporting() == 0 {
		a.err.line("rollcall: none of the %d machines reports fingerprints of its secrets: their agent.conf has no radar_key", reply.GetMachines())
		return
	}
	for _, g := range reply.GetGroups() {
		st := yellow
		if g.GetKind() == "ssh-host-key" || g.GetKind() == "keytab" {
			st = red
		}
		head := fmt.Sprintf("%s on %d machines", g.GetKind(), g.GetMachines())
		if g.GetSecrets() > 1 {
			head = fmt.Sprintf("%d × %s", g.GetSecrets(), head)
		}
		if g.GetSinceMs() != 0 {
			head += ", since " + a.whenAgo(g.GetSinceMs())
		}
		a.out.paragraph(st, "", "  ", head)
		a.out.paragraph(plain, "  ", "  ", g.GetWords())
		a.showHolders(g)
	}
	if len(reply.GetGroups()) == 0 {
		a.out.line("no secret is shared")
	}
	if reply.GetMore() {
		a.err.line("rollcall: there are more: --limit")
	}
	a.out.styled(faint, "%d of %d machines report fingerprints", reply.GetReporting(), reply.GetMachines())
}

func (a *app) showHolders(g *rollcallv1.SharedSecret) {
	holders := g.GetHolders()
	shown := holders[:min(len(holders), shownHolders)]
	for _, h := range shown {
		paths := make([]string, len(h.GetPaths()))
		for i, p := range h.GetPaths() {
			paths[i] = "/" + p
		}
		a.out.paragraph(plain, "  · ", "      ", h.GetName()+"  "+strings.Join(paths, " "))
	}
	if rest := int(g.GetMachines()) - len(shown); rest > 0 {
		a.out.line("  · and %d more: --json", rest)
	}
}
