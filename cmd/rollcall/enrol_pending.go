package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) enrolPendingCommand() *cobra.Command {
	var all, asJSON bool
	c := &cobra.Command{
		Use:   "pending",
		Short: "List the machines that wait for approval",
		Long: `Lists the machines that wait for approval: where they ask from, what they claim,
the words of their key, and the CI that they look like with what is otherwise
there. All of it is the machine's own claim; the words are what to compare. With
--all also keys that are enrolled, refused, revoked or rotated.

As JSON: {"keys": [{"key_id", "words", "state", "hostname", "source",
"token_name", "site", "class", "ci", "ci_name", "like_ci", "like_why", "asked",
"facts", "cloned", "decided_by", "decided", "reason", "trust", "token_id",
"token_kind", "approvals", "needs", "replaced", "successor", "forks",
"differs": [{"path", "known", "claimed"}]}]}.`,
		Example: `  rollcall enrol pending
  rollcall enrol pending --all --json`,
		Args: cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.pending(c.Context(), all, asJSON) },
	}
	c.Flags().BoolVar(&all, "all", false, "also keys that have been decided about")
	jsonFlag(c, &asJSON)
	return c
}

type pendingJSON struct {
	Keys []keyJSON `json:"keys"`
}

func (a *app) pending(ctx context.Context, all, asJSON bool) error {
	return a.ask(func(s *server) error {
		reply, err := s.Pending(ctx, &rollcallv1.PendingRequest{All: all})
		if err != nil {
			return fmt.Errorf("pending: %w", err)
		}
		if asJSON {
			doc := pendingJSON{Keys: []keyJSON{}}
			for _, k := range reply.GetKeys() {
				doc.Keys = append(doc.Keys, keyOf(k))
			}
			return a.document(doc)
		}
		for i, k := range reply.GetKeys() {
			if i > 0 {
				a.out.line("")
			}
			a.showKey(k)
		}
		if len(reply.GetKeys()) == 0 {
			a.err.line("rollcall: no machine waits")
		}
		return nil
	})
}

// shortKey is how much of a key id people type.
func shortKey(id string) string {
	const n = 12
	if len(id) <= n {
		return id
	}
	return id[:n]
}

func (a *app) showKey(k *rollcallv1.KeyInfo) {
	st := yellow
	if k.GetState() != "pending" {
		st = plain
	}
	a.out.text(bold, sprintf("%s  %s", shortKey(k.GetKeyId()), orDash(k.GetHostname())))
	a.out.styled(st, "  %s", k.GetState())
	rows := [][2]string{
		{"words", k.GetWords()},
		{"asked", fmt.Sprintf("%s from %s", a.whenAgo(k.GetAskedMs()), orDash(k.GetSource()))},
		{"for", strings.Join(present(k.GetSite(), k.GetClass(), after("token ", k.GetTokenName())), ", ")},
		{"CI", k.GetCiName()},
		{"claims", claims(k.GetFacts())},
	}
	if k.GetLikeCi() != "" {
		rows = append(rows, [2]string{"looks like", k.GetLikeCi() + after(": ", k.GetLikeWhy())})
	}
	rows = append(rows, [2]string{"differs", differences(k.GetDiffers())}, [2]string{"trust", trustWords(k.GetTrust())})
	for _, v := range k.GetApprovals() {
		rows = append(rows, [2]string{"approved", v})
	}
	if k.GetState() == "pending" && k.GetNeeds() != "an approval" {
		rows = append(rows, [2]string{"needs", k.GetNeeds()})
	}
	rows = append(rows, [2]string{"decided by", k.GetDecidedBy()}, [2]string{"reason", k.GetReason()})
	if k.GetSuccessor() != "" {
		rows = append(rows, [2]string{"rotated to", shortKey(k.GetSuccessor())})
	}
	if k.GetCloned() {
		rows = append(rows, [2]string{"warning", "this key speaks from two places: rollcall enrol forks " + shellWord(k.GetCiName())})
	}
	a.fields("  ", slices.DeleteFunc(rows, func(r [2]string) bool { return r[1] == "" }))
	if k.GetState() == "pending" {
		take := ""
		if k.GetLikeCi() != "" && k.GetCi() == "" {
			take = " [--ci " + shellWord(k.GetLikeCi()) + "]"
		}
		a.out.styled(cyan, "  rollcall enrol approve %s%s", shortKey(k.GetKeyId()), take)
	}
}

// differences names what a machine claims that is otherwise in the CI.
func differences(all []*rollcallv1.Difference) string {
	var parts []string
	for _, d := range all {
		switch {
		case d.GetKnown() == "":
			parts = append(parts, d.GetPath()+" "+d.GetClaimed()+" is new")
		default:
			parts = append(parts, d.GetPath()+" "+d.GetKnown()+" → "+d.GetClaimed())
		}
	}
	return some(parts, 6)
}

// trustWords explains a trust class that is not the usual one.
func trustWords(class string) string {
	if class == "T0" {
		return "T0: only a claim, it booted from the network"
	}
	return ""
}

// present drops empty words.
func present(words ...string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}

// claimedFacts decodes what a machine said of itself. It can be anything: what
// does not decode is told as such and is no failure.
func claimedFacts(encoded []byte) map[string]string {
	out := map[string]string{}
	if len(encoded) == 0 {
		return out
	}
	set, err := fact.DecodeSet(encoded)
	if err != nil {
		return map[string]string{"unreadable": err.Error()}
	}
	for _, f := range set {
		out[f.Path] = f.Value
	}
	return out
}

// claims picks what tells an approver most.
func claims(encoded []byte) string {
	facts := claimedFacts(encoded)
	var parts []string
	for _, path := range slices.Sorted(maps.Keys(facts)) {
		switch {
		case strings.HasPrefix(path, "id/serial/"), path == "id/class", path == "unreadable", strings.HasPrefix(path, "id/site/"),
			strings.HasPrefix(path, "net/") && (strings.HasSuffix(path, "/mac") || strings.HasSuffix(path, "/permanent")):
			parts = append(parts, path+" "+facts[path])
		}
	}
	return some(parts, 6)
}
