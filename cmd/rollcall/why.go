package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) whyCommand() *cobra.Command {
	var q asking
	c := &cobra.Command{
		Use:   "why MACHINE",
		Short: "Show what is odd about one machine, and what changed since it worked",
		Long: `Compares one machine with others like it and with itself. The others are chosen
by the server: of the same class, near by site, of the same model, with nearly the
same packages. Shown is what hardly any of them has, then what is not as it was
when the machine last worked, what the fewest of the others share first.

Say with --worked when it last worked, if you know; without it, changes of the
last 14 days are shown, or those since --since. PEERS counts the others that are
like it now. To compare groups of machines, use rollcall compare.

As JSON: {"ci", "name", "peers", "chosen", "compared", "odd": [{"rank", "what",
"kind", "broken_have", "broken_all", "working_have", "working_all", "score",
"strength", "p", "first_seen", "why", "facts", "more_facts", "ids",
"counter_examples"}], "changes": [{"path", "old", "new", "at", "peers_have",
"peers_all"}], "more_changes", "notes"}. The row of a machine counts itself as
broken and its peers as working.`,
		Example: `  rollcall why room12-pc07
  rollcall why room12-pc07 --worked "2026-11-20 14:00"`,
		Args:              cmdline.Exactly("MACHINE"),
		ValidArgsFunction: a.first(a.cis),
		RunE: func(c *cobra.Command, args []string) error {
			q.ci = args[0]
			return a.why(c.Context(), q)
		},
	}
	jsonFlag(c, &q.json)
	c.Flags().StringVar(&q.worked, "worked", "", "`TIME` at which it last worked")
	c.Flags().StringVar(&q.since, "since", "", "`TIME` since which changes are shown (default 14 days ago)")
	c.Flags().Uint32Var(&q.limit, "limit", 10, "at most `N` odd facts, and changes")
	c.Flags().BoolVar(&q.facts, "facts", false, "show all facts behind each row")
	return c
}

// asking is the question and how its answer is shown.
type asking struct {
	ci            string
	worked, since string
	limit         uint32
	facts, json   bool
}

func (a *app) why(ctx context.Context, q asking) error {
	if q.worked != "" && q.since != "" {
		return cmdline.Usagef("why: --worked and --since are two ways to say one time: name one")
	}
	worked, err := a.parseTime("worked", q.worked, cmdline.Begin)
	if err != nil {
		return err
	}
	since, err := a.parseTime("since", q.since, cmdline.Begin)
	if err != nil {
		return err
	}
	req := &rollcallv1.WhyRequest{Ci: q.ci, WorkedMs: millis(worked), SinceMs: millis(since), Limit: q.limit}
	return a.ask(func(s *server) error {
		reply, err := s.Why(ctx, req)
		switch {
		case err != nil:
			return fmt.Errorf("why %s: %w", q.ci, err)
		case q.json:
			return a.document(whyOf(reply))
		}
		a.showReasons(reply, q)
		return nil
	})
}

func (a *app) showReasons(reply *rollcallv1.WhyReply, q asking) {
	a.out.paragraph(faint, "", "", reply.GetName()+" against "+reply.GetChosen())
	if len(reply.GetPeers()) > 0 {
		a.out.paragraph(faint, "", "", "they are "+some(reply.GetPeers(), shownCounter))
	}
	a.out.line("")
	if len(reply.GetOdd()) == 0 {
		a.out.paragraph(yellow, "", "", "Nothing that we collect is odd about it.")
	}
	for i, r := range reply.GetOdd() {
		a.showOdd(i+1, r, q.facts)
	}
	a.out.line("")
	since := "since " + a.whenAgo(reply.GetComparedMs())
	if q.worked != "" {
		since = "since it worked, " + a.whenAgo(reply.GetComparedMs())
	}
	if len(reply.GetChanges()) == 0 {
		a.out.paragraph(yellow, "", "", "Nothing changed on it "+since+".")
	} else {
		a.out.styled(bold, "%s", "Changed "+since)
	}
	for _, c := range reply.GetChanges() {
		a.showWhyChange(c)
	}
	if n := reply.GetMoreChanges(); n > 0 {
		a.out.line("and %d more: --limit", n)
	}
	for _, n := range reply.GetNotes() {
		a.out.paragraph(plain, "note: ", "      ", n)
	}
}

func (a *app) showOdd(rank int, r *rollcallv1.CompareRow, facts bool) {
	first := sprintf("%2d  ", rank)
	a.out.paragraph(bold, first, "    ", r.GetWhat())
	a.showWhy("    ", r, facts)
}

func (a *app) showWhyChange(c *rollcallv1.WhyChange) {
	if words := fileChange(c); words != "" {
		a.out.line("  ~ /%s: %s", c.GetPath(), words)
	} else {
		a.showFactChange(&rollcallv1.FactChange{Path: c.GetPath(), Old: c.GetOld(), New: c.GetNew()})
	}
	words := ""
	if c.GetAtMs() != 0 {
		words = a.when(c.GetAtMs())
	}
	if all := c.GetPeersAll(); all > 0 {
		if words != "" {
			words += "; "
		}
		words += fmt.Sprintf("so on %s of its peers", share(c.GetPeersHave(), all))
	}
	if words != "" {
		a.out.paragraph(faint, "      ", "      ", words)
	}
}

// fileChange says in words what is not as it was about a file, "" for anything else.
func fileChange(c *rollcallv1.WhyChange) string {
	if fact.SectionOf(c.GetPath()) != "etc" {
		return ""
	}
	was, err := fact.ParseFile(c.GetOld())
	if err != nil {
		return ""
	}
	is, err := fact.ParseFile(c.GetNew())
	if err != nil {
		return ""
	}
	var words []string
	if was.Kind != is.Kind || was.Digest != is.Digest || was.Fingerprint != is.Fingerprint {
		words = append(words, "another content")
	}
	for _, part := range [][2]string{
		{fmt.Sprintf("%04o", fact.UnixMode(was.Mode)), fmt.Sprintf("%04o", fact.UnixMode(is.Mode))}, {was.Owner + ":" + was.Group, is.Owner + ":" + is.Group}, {was.Target, is.Target},
	} {
		if part[0] != part[1] {
			words = append(words, part[0]+" → "+part[1])
		}
	}
	return strings.Join(words, ", ")
}

type whyChangeJSON struct {
	Path      string `json:"path"`
	Old       string `json:"old"`
	New       string `json:"new"`
	At        msTime `json:"at"`
	PeersHave uint32 `json:"peers_have"`
	PeersAll  uint32 `json:"peers_all"`
}

type whyJSON struct {
	CI          string          `json:"ci"`
	Name        string          `json:"name"`
	Peers       []string        `json:"peers"`
	Chosen      string          `json:"chosen"`
	Compared    msTime          `json:"compared"`
	Odd         []rowJSON       `json:"odd"`
	Changes     []whyChangeJSON `json:"changes"`
	MoreChanges uint32          `json:"more_changes"`
	Notes       []string        `json:"notes"`
}

func whyOf(reply *rollcallv1.WhyReply) whyJSON {
	out := whyJSON{
		CI: reply.GetCi(), Name: reply.GetName(), Peers: listOf(reply.GetPeers()), Chosen: reply.GetChosen(), Compared: msTime(reply.GetComparedMs()),
		Odd: rowsOf(reply.GetOdd()), Changes: []whyChangeJSON{}, MoreChanges: reply.GetMoreChanges(), Notes: listOf(reply.GetNotes()),
	}
	for _, c := range reply.GetChanges() {
		out.Changes = append(out.Changes, whyChangeJSON{c.GetPath(), c.GetOld(), c.GetNew(), msTime(c.GetAtMs()), c.GetPeersHave(), c.GetPeersAll()})
	}
	return out
}
