package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) ciListCommand() *cobra.Command {
	var l listing
	var site, class string
	c := &cobra.Command{
		Use:   "list [FILTER]",
		Short: "List CIs",
		Long: `Lists the CIs that a filter selects, or all, by name. 'rollcall find --help' and
docs/filter.md tell the filter language.

As JSON: {"at", "cis": [{"id", "name", "class", "site", "status", "presence",
"last_seen", "changed", "created", "revision", "os", "model", "serial",
"cloned", "trust"}], "more", "notes"}; with --explain also "steps": [{"condition",
"how", "in_question", "looked_at", "fit", "took_us"}].`,
		Example: `  rollcall ci list
  rollcall ci list --site elm/north --class laptop
  rollcall ci list 'presence = silent' --at yesterday`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			l.filter = narrowed(words(args), site, class)
			return a.list(c.Context(), l)
		},
	}
	l.flags(c)
	c.Flags().StringVar(&site, "site", "", "only CIs in this `SITE` and below it")
	c.Flags().StringVar(&class, "class", "", "only CIs of this `CLASS`")
	a.complete(c, "site", a.sites)
	a.complete(c, "class", fixed(classes...))
	return c
}

// listing is a question for CIs and how its answer is shown.
type listing struct {
	filter string
	at     string
	limit  uint32
	names  bool
	json   bool

	explain bool
}

func (l *listing) flags(c *cobra.Command) {
	atFlag(c, &l.at)
	jsonFlag(c, &l.json)
	c.Flags().BoolVar(&l.names, "names", false, "names alone, one a line")
	c.Flags().Uint32Var(&l.limit, "limit", 0, "at most `N` CIs (0: all)")
	c.Flags().BoolVar(&l.explain, "explain", false, "tell how the filter was answered instead of what it selects")
	exclusive(c, "names", "json")
	exclusive(c, "names", "explain")
}

// narrowed adds what the flags ask for to a filter.
func narrowed(filter, site, class string) string {
	var parts []string
	if filter != "" {
		parts = append(parts, "("+filter+")")
	}
	if site != "" {
		if !strings.ContainsAny(site, "*?") {
			site = strings.Trim(site, "/") + "/*" // a site and all below it
		}
		parts = append(parts, "site = "+quoted(site))
	}
	if class != "" {
		parts = append(parts, "class = "+quoted(class))
	}
	if len(parts) == 1 && filter != "" {
		return filter
	}
	return strings.Join(parts, " and ")
}

// quoted writes a word for a filter.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

type listJSON struct {
	At   msTime     `json:"at"` // null: now
	CIs  []itemJSON `json:"cis"`
	More bool       `json:"more"`

	Notes []string        `json:"notes"`           // what was left out and why
	Steps []conditionJSON `json:"steps,omitempty"` // with --explain
}

// conditionJSON is one condition of a filter, as it was answered.
type conditionJSON struct {
	Condition string `json:"condition"`
	How       string `json:"how"`
	Among     uint64 `json:"in_question"`
	Looked    uint64 `json:"looked_at"`
	Found     uint64 `json:"fit"`
	TookUS    int64  `json:"took_us"`
}

func stepsOf(steps []*rollcallv1.QueryStep) []conditionJSON {
	var out []conditionJSON
	for _, p := range steps {
		out = append(out, conditionJSON{p.GetTerm(), p.GetHow(), p.GetAmong(), p.GetLooked(), p.GetFound(), p.GetTookUs()})
	}
	return out
}

// showSteps prints how a filter was answered, in the order in which it was done.
func (a *app) showSteps(steps []*rollcallv1.QueryStep) {
	t := table{header: []string{"CONDITION", "ANSWERED BY", "IN QUESTION", "LOOKED AT", "FIT", "TOOK"}, elastic: 0}
	for _, p := range steps {
		took := (time.Duration(p.GetTookUs()) * time.Microsecond).String()
		t.rows = append(t.rows, []cell{
			{text: orDash(p.GetTerm())}, {text: p.GetHow()}, {text: fmt.Sprint(p.GetAmong())}, {text: fmt.Sprint(p.GetLooked())}, {text: fmt.Sprint(p.GetFound())}, {text: took},
		})
	}
	t.write(a.out)
}

func (a *app) list(ctx context.Context, l listing) error {
	at, err := a.parseTime("at", l.at, cmdline.End)
	if err != nil {
		return err
	}
	if l.explain && !l.json {
		l.limit = 1 // the answer is not shown
	}
	return a.ask(func(s *server) error {
		found, err := s.items(ctx, l, at)
		if err != nil {
			return fmt.Errorf("list CIs: %w", err)
		}
		items, more := found.items, found.more
		switch {
		case l.json:
			return a.document(listJSON{At: msTime(millis(at)), CIs: itemsOf(items), More: more, Notes: listOf(found.notes), Steps: stepsOf(found.steps)})
		case l.explain:
			a.showSteps(found.steps)
		case l.names:
			for _, i := range items {
				a.out.line("%s", i.GetName())
			}
		default:
			a.showItems(items, at)
		}
		for _, note := range found.notes {
			a.err.line("rollcall: %s", note)
		}
		if more && !l.explain {
			a.err.line("rollcall: there are more; --limit %d ended the list", l.limit)
		}
		return nil
	})
}

func itemsOf(items []*rollcallv1.ItemSummary) []itemJSON {
	out := make([]itemJSON, len(items))
	for i, item := range items {
		out[i] = itemOf(item)
	}
	return out
}

func (a *app) showItems(items []*rollcallv1.ItemSummary, at time.Time) {
	t := table{header: []string{"NAME", "CLASS", "SITE", "STATUS", "PRESENCE", "LAST SEEN"}, elastic: 2}
	for _, i := range items {
		seen := a.ago(i.GetLastSeenMs())
		if i.GetLastSeenMs() == 0 && i.GetPresence() != "never-seen" {
			seen = "-" // it has been heard of after the time asked about
		}
		t.rows = append(t.rows, []cell{
			{text: i.GetName()},
			{text: classWords(i)},
			{text: orDash(i.GetSite())},
			{text: orDash(i.GetStatus())},
			{presenceWords(i), presenceStyle(i)},
			{text: seen},
		})
	}
	t.write(a.out)
	note := plural(len(items), "CI")
	if !at.IsZero() {
		note += " as of " + a.moment(at)
	}
	a.err.styled(faint, "%s", note)
}

const (
	pageItems = 10_000
	mostItems = 1_000_000
)

// found is what the server gave for a filter.
type found struct {
	items []*rollcallv1.ItemSummary
	more  bool
	notes []string
	steps []*rollcallv1.QueryStep
}

// items asks page by page until the limit (0: all).
func (s *server) items(ctx context.Context, l listing, at time.Time) (all found, err error) {
	after, limit := "", int(l.limit)
	for len(all.items) < mostItems {
		page := pageItems
		if limit > 0 {
			page = min(page, limit-len(all.items))
		}
		reply, err := s.List(ctx, &rollcallv1.ListRequest{Filter: l.filter, AtMs: millis(at), Limit: uint32(page), After: after, Explain: l.explain && after == ""})
		if err != nil {
			return found{}, err
		}
		if after == "" {
			all.notes, all.steps = reply.GetNotes(), reply.GetSteps()
		}
		all.items, all.more = append(all.items, reply.GetItems()...), reply.GetMore()
		n := len(reply.GetItems())
		if !reply.GetMore() || n == 0 || limit > 0 && len(all.items) >= limit {
			return all, nil
		}
		last := reply.GetItems()[n-1].GetName()
		if last == after {
			return found{}, fmt.Errorf("the server gives the same page again after %q", after)
		}
		after = last
	}
	all.more = true
	return all, nil
}
