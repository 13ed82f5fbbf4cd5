package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) changesCommand() *cobra.Command {
	var q changing
	c := &cobra.Command{
		Use:   "changes [FILTER]",
		Short: "Show what changed on all selected CIs, newest first",
		Long: `Shows the recorded changes of the CIs that a filter selects, or of all: when, on
which CI, and what. With --facts also the facts that changed, old and new.

As JSON: {"since", "until", "revisions": [{"ci", "name", "site", "revision",
"recorded", "claimed", "by", "report", "reason", "summary", "first",
"facts": [{"path", "old", "new"}], "more_facts", "fields": [{"path", "old",
"new"}], "events": [{"time", "kind", "text"}]}], "more"}. "recorded" is the
server's time, "claimed" the machine's own, "report" the hash of the signed
report behind it.`,
		Example: `  rollcall changes --since yesterday
  rollcall changes 'site = elm/*' --since 7d --path /etc/cups
  rollcall changes --since "2026-11-20 14:00" --until "2026-11-20 16:00" --facts`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			filter := words(args)
			return a.changes(c.Context(), q, true, func(ctx context.Context, s *server, span spanRequest) (*rollcallv1.ChangesReply, error) {
				reply, err := s.Changes(ctx, &rollcallv1.ChangesRequest{
					Filter: filter, SinceMs: span.since, UntilMs: span.until, Limit: q.limit, Path: q.path,
				})
				if err != nil {
					return nil, fmt.Errorf("changes: %w", err)
				}
				return reply, nil
			})
		},
	}
	q.flags(c)
	return c
}

// changing is a question for changes and how its answer is shown.
type changing struct {
	since, until string
	path         string
	limit        uint32
	facts        bool
	json         bool
}

func (q *changing) flags(c *cobra.Command) {
	c.Flags().StringVar(&q.since, "since", "", "only changes since `TIME`")
	c.Flags().StringVar(&q.until, "until", "", "only changes until `TIME`")
	c.Flags().StringVar(&q.path, "path", "", "only changes at or below `PATH`: /etc/cups, or a fact such as pkg/cups")
	c.Flags().Uint32Var(&q.limit, "limit", 100, "at most `N` changes")
	c.Flags().BoolVar(&q.facts, "facts", false, "also show the facts that changed")
	jsonFlag(c, &q.json)
}

type spanRequest struct{ since, until int64 }

type changeAsker func(ctx context.Context, s *server, span spanRequest) (*rollcallv1.ChangesReply, error)

// changes asks and shows; named says whether the CI stands in each row.
func (a *app) changes(ctx context.Context, q changing, named bool, ask changeAsker) error {
	since, err := a.parseTime("since", q.since, cmdline.Begin)
	if err != nil {
		return err
	}
	until, err := a.parseTime("until", q.until, cmdline.End)
	if err != nil {
		return err
	}
	if !until.IsZero() && until.Before(since) {
		return cmdline.Usagef("--until is before --since: nothing can lie between")
	}
	span := spanRequest{millis(since), millis(until)}
	return a.ask(func(s *server) error {
		reply, err := ask(ctx, s, span)
		switch {
		case err != nil:
			return err
		case q.json:
			return a.document(changesOf(reply, span))
		case q.facts:
			a.showChangesInFull(reply.GetRevisions())
		default:
			a.showChanges(reply.GetRevisions(), named)
		}
		if len(reply.GetRevisions()) == 0 {
			a.err.line("rollcall: nothing changed")
		}
		if reply.GetMore() {
			a.err.line("rollcall: there are more; raise --limit %d, or narrow it with --since, --until or --path", q.limit)
		}
		return nil
	})
}

func (a *app) showChanges(revisions []*rollcallv1.RevisionInfo, named bool) {
	t := table{header: []string{"WHEN", "REV", "WHAT", "BY"}, right: map[int]bool{1: true}, elastic: 2}
	if named {
		t = table{header: []string{"WHEN", "CI", "WHAT", "BY"}, elastic: 2}
	}
	for _, r := range revisions {
		second := fmt.Sprint(r.GetRevision())
		if named {
			second = r.GetName()
		}
		t.row(a.when(r.GetRecordedMs()), second, summaryOf(r), byWords(r.GetBy()))
	}
	t.write(a.out)
}

// summaryOf is what a revision did, and why where somebody said it.
func summaryOf(r *rollcallv1.RevisionInfo) string {
	text := r.GetSummary()
	if r.GetReason() != "" && strings.HasPrefix(r.GetBy(), "operator ") && text != r.GetReason() {
		text += " (" + r.GetReason() + ")"
	}
	return orDash(text)
}

// byWords shortens "agent KEYID" to "agent": which agent it was follows from the
// CI.
func byWords(by string) string {
	if strings.HasPrefix(by, "agent ") {
		return "agent"
	}
	return strings.TrimPrefix(by, "operator ")
}

func (a *app) showChangesInFull(revisions []*rollcallv1.RevisionInfo) {
	for i, r := range revisions {
		if i > 0 {
			a.out.line("")
		}
		a.out.styled(bold, "%s  %s  revision %d", a.whenAgo(r.GetRecordedMs()), r.GetName(), r.GetRevision())
		a.out.paragraph(plain, "  ", "  ", summaryOf(r))
		a.out.styled(faint, "  by %s%s", r.GetBy(), after(", report ", r.GetReport()))
		if skew := r.GetClaimedMs() - r.GetRecordedMs(); r.GetClaimedMs() != 0 && (skew > 60_000 || skew < -60_000) {
			a.out.styled(faint, "  the machine's own clock said %s", a.when(r.GetClaimedMs()))
		}
		for _, f := range append(r.GetFields(), r.GetFacts()...) {
			a.showFactChange(f)
		}
		if n := r.GetMoreFacts(); n > 0 {
			a.out.line("  … and %s", plural(n, "more fact"))
		}
		for _, e := range r.GetEvents() {
			a.out.styled(faint, "  %s %s: %s", a.when(e.GetTimeMs()), e.GetKind(), e.GetText())
		}
	}
}

func (a *app) showFactChange(f *rollcallv1.FactChange) {
	switch {
	case f.GetOld() == "":
		a.out.styled(green, "  + %s = %s", f.GetPath(), f.GetNew())
	case f.GetNew() == "":
		a.out.styled(red, "  - %s = %s", f.GetPath(), f.GetOld())
	default:
		a.out.styled(red, "  - %s = %s", f.GetPath(), f.GetOld())
		a.out.styled(green, "  + %s = %s", f.GetPath(), f.GetNew())
	}
}

type factChangeJSON struct {
	Path string `json:"path"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

type eventJSON struct {
	Time msTime `json:"time"`
	Kind string `json:"kind"`
	Text string `json:"text"`
}

type revisionJSON struct {
	CI        string           `json:"ci"`
	Name      string           `json:"name"`
	Site      string           `json:"site"`
	Revision  uint64           `json:"revision"`
	Recorded  msTime           `json:"recorded"`
	Claimed   msTime           `json:"claimed"`
	By        string           `json:"by"`
	Report    string           `json:"report"`
	Reason    string           `json:"reason"`
	Summary   string           `json:"summary"`
	First     bool             `json:"first"`
	Facts     []factChangeJSON `json:"facts"`
	MoreFacts uint32           `json:"more_facts"`
	Fields    []factChangeJSON `json:"fields"`
	Events    []eventJSON      `json:"events"`
}

type changesJSON struct {
	Since     msTime         `json:"since"` // null: from the beginning
	Until     msTime         `json:"until"` // null: now
	Revisions []revisionJSON `json:"revisions"`
	More      bool           `json:"more"`
}

func changesOf(reply *rollcallv1.ChangesReply, span spanRequest) changesJSON {
	out := changesJSON{Since: msTime(span.since), Until: msTime(span.until), Revisions: []revisionJSON{}, More: reply.GetMore()}
	for _, r := range reply.GetRevisions() {
		events := []eventJSON{}
		for _, e := range r.GetEvents() {
			events = append(events, eventJSON{msTime(e.GetTimeMs()), e.GetKind(), e.GetText()})
		}
		out.Revisions = append(out.Revisions, revisionJSON{
			CI: r.GetCi(), Name: r.GetName(), Site: r.GetSite(), Revision: r.GetRevision(),
			Recorded: msTime(r.GetRecordedMs()), Claimed: msTime(r.GetClaimedMs()), By: r.GetBy(), Report: r.GetReport(),
			Reason: r.GetReason(), Summary: r.GetSummary(), First: r.GetFirst(),
			Facts: factChangesOf(r.GetFacts()), MoreFacts: r.GetMoreFacts(), Fields: factChangesOf(r.GetFields()), Events: events,
		})
	}
	return out
}

func factChangesOf(changes []*rollcallv1.FactChange) []factChangeJSON {
	out := make([]factChangeJSON, len(changes))
	for i, c := range changes {
		out[i] = factChangeJSON{c.GetPath(), c.GetOld(), c.GetNew()}
	}
	return out
}
