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
"cloned", "trust"}], "more"}.`,
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
}

func (l *listing) flags(c *cobra.Command) {
	atFlag(c, &l.at)
	jsonFlag(c, &l.json)
	c.Flags().BoolVar(&l.names, "names", false, "names alone, one a line")
	c.Flags().Uint32Var(&l.limit, "limit", 0, "at most `N` CIs (0: all)")
	exclusive(c, "names", "json")
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
}

func (a *app) list(ctx context.Context, l listing) error {
	at, err := a.parseTime("at", l.at, cmdline.End)
	if err != nil {
		return err
	}
	return a.ask(func(s *server) error {
		items, more, err := s.items(ctx, l.filter, at, int(l.limit))
		if err != nil {
			return fmt.Errorf("list CIs: %w", err)
		}
		switch {
		case l.json:
			return a.document(listJSON{At: msTime(millis(at)), CIs: itemsOf(items), More: more})
		case l.names:
			for _, i := range items {
				a.out.line("%s", i.GetName())
			}
		default:
			a.showItems(items, at)
		}
		if more {
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

// items asks page by page until limit (0: all).
func (s *server) items(ctx context.Context, filter string, at time.Time, limit int) (all []*rollcallv1.ItemSummary, more bool, err error) {
	after := ""
	for len(all) < mostItems {
		page := pageItems
		if limit > 0 {
			page = min(page, limit-len(all))
		}
		reply, err := s.List(ctx, &rollcallv1.ListRequest{Filter: filter, AtMs: millis(at), Limit: uint32(page), After: after})
		if err != nil {
			return nil, false, err
		}
		all = append(all, reply.GetItems()...)
		n := len(reply.GetItems())
		if !reply.GetMore() || n == 0 || limit > 0 && len(all) >= limit {
			return all, reply.GetMore(), nil
		}
		last := reply.GetItems()[n-1].GetName()
		if last == after {
			return nil, false, fmt.Errorf("the server gives the same page again after %q", after)
		}
		after = last
	}
	return all, true, nil
}
