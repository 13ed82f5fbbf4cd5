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

func (a *app) firstCommand() *cobra.Command {
	var q firstQuestion
	c := &cobra.Command{
		Use:   "first CONDITION",
		Short: "Show when something was first seen where, and how it spread",
		Long: `Shows on which CI a condition first held, and when; then on which ones it held next,
how many more each day, and at which sites. CONDITION is of the filter language: what
is asked about packages, files and facts, fields that machines report, and name, class,
site and status. --where chooses the CIs that are asked about, as they are now.

CHANGE is what made it so: what was there before and after. "first report" is where it
was so when the CI was first heard of. GONE is since when it is not so any more.

Where the selected CIs have more than 500,000 revisions in all, only those on which
it is so now are looked at; where these have more, their history is halved, as one
looks up a word in a book. What may be missing for that is said below the answer.

As JSON: {"at", "condition", "machines", "gone", "sightings": [{"ci", "name", "site",
"revision", "recorded", "gone", "first_report", "earlier", "by", "facts": [{"path",
"old", "new"}], "more_facts"}], "more", "sites": [{"site", "machines", "first"}],
"times": [{"from", "machines"}], "asked", "looked", "revisions", "halved", "notes"}.
"times" counts the CIs by quarters of an hour. "earlier" is true where what was before
is not kept any more. "asked" is how many CIs the question was about, "looked" of how
many the history was looked at.`,
		Example: `  rollcall first 'pkg(cups) = 2.4.2-3+deb12u8'
  rollcall first 'file(/etc/cups/client.conf)' --where 'site = elm/*' --limit 100
  rollcall first 'fact(hw/pci/*) = "10ec:8168*"' --at 2026-11-01 --json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if q.condition = strings.TrimSpace(words(args)); q.condition == "" {
				return cmdline.Hinted(cmdline.Usagef("first: CONDITION is missing"), "for example: rollcall first 'pkg(cups) = 2.4.2-3+deb12u8'")
			}
			return a.firstSeen(c.Context(), q)
		},
	}
	atFlag(c, &q.at)
	jsonFlag(c, &q.json)
	c.Flags().StringVar(&q.where, "where", "", "ask only about the CIs that this `FILTER` selects")
	c.Flags().Uint32Var(&q.limit, "limit", 20, "show at most `N` CIs, and sites")
	return c
}

// firstQuestion is the question and how its answer is shown.
type firstQuestion struct {
	condition, where, at string
	limit                uint32
	json                 bool
}

type sightingJSON struct {
	CI          string           `json:"ci"`
	Name        string           `json:"name"`
	Site        string           `json:"site"`
	Revision    uint64           `json:"revision"`
	Recorded    msTime           `json:"recorded"`
	Gone        msTime           `json:"gone"`
	FirstReport bool             `json:"first_report"`
	Earlier     bool             `json:"earlier"`
	By          string           `json:"by"`
	Facts       []factChangeJSON `json:"facts"`
	MoreFacts   uint32           `json:"more_facts"`
}

type spreadSiteJSON struct {
	Site     string `json:"site"`
	Machines uint32 `json:"machines"`
	First    msTime `json:"first"`
}

type spreadTimeJSON struct {
	From     msTime `json:"from"`
	Machines uint32 `json:"machines"`
}

type firstJSON struct {
	At        msTime           `json:"at"`
	Condition string           `json:"condition"`
	Machines  uint32           `json:"machines"`
	Gone      uint32           `json:"gone"`
	Sightings []sightingJSON   `json:"sightings"`
	More      bool             `json:"more"`
	Sites     []spreadSiteJSON `json:"sites"`
	Times     []spreadTimeJSON `json:"times"`
	Asked     uint32           `json:"asked"`
	Looked    uint32           `json:"looked"`
	Revisions uint64           `json:"revisions"`
	Halved    bool             `json:"halved"`
	Notes     []string         `json:"notes"`
}

func (a *app) firstSeen(ctx context.Context, q firstQuestion) error {
	at, err := a.parseTime("at", q.at, cmdline.End)
	if err != nil {
		return err
	}
	req := &rollcallv1.FirstRequest{Condition: q.condition, Filter: q.where, AtMs: millis(at), Limit: q.limit}
	return a.ask(func(s *server) error {
		reply, err := s.First(ctx, req)
		switch {
		case err != nil:
			return fmt.Errorf("first: %w", err)
		case q.json:
			return a.document(firstReplyOf(req, reply))
		}
		a.showFirst(reply, int(q.limit))
		for _, n := range reply.GetNotes() {
			a.err.line("rollcall: %s", n)
		}
		return nil
	})
}

func firstReplyOf(req *rollcallv1.FirstRequest, reply *rollcallv1.FirstReply) firstJSON {
	out := firstJSON{
		At: msTime(req.GetAtMs()), Condition: req.GetCondition(), Machines: reply.GetMachines(), Gone: reply.GetGone(),
		Sightings: []sightingJSON{}, More: reply.GetMore(), Sites: []spreadSiteJSON{}, Times: []spreadTimeJSON{},
		Asked: reply.GetAsked(), Looked: reply.GetLooked(), Revisions: reply.GetRevisions(), Halved: reply.GetHalved(), Notes: listOf(reply.GetNotes()),
	}
	for _, s := range reply.GetSightings() {
		out.Sightings = append(out.Sightings, sightingJSON{
			s.GetCi(), s.GetName(), s.GetSite(), s.GetRevision(), msTime(s.GetRecordedMs()), msTime(s.GetGoneMs()),
			s.GetFirstReport(), s.GetEarlier(), s.GetBy(), factChangesOf(s.GetFacts()), s.GetMoreFacts(),
		})
	}
	for _, s := range reply.GetSites() {
		out.Sites = append(out.Sites, spreadSiteJSON{s.GetSite(), s.GetMachines(), msTime(s.GetFirstMs())})
	}
	for _, t := range reply.GetTimes() {
		out.Times = append(out.Times, spreadTimeJSON{msTime(t.GetFromMs()), t.GetMachines()})
	}
	return out
}

func (a *app) showFirst(reply *rollcallv1.FirstReply, limit int) {
	if len(reply.GetSightings()) == 0 {
		a.err.line("rollcall: never seen on %s", plural(reply.GetLooked(), "CI"))
		return
	}
	s := reply.GetSightings()[0]
	a.out.paragraph(bold, "", "  ", fmt.Sprintf("first seen %s on %s%s", a.whenAgo(s.GetRecordedMs()), s.GetName(), after(" at ", s.GetSite())))
	seen := "on " + plural(reply.GetMachines(), "CI")
	if reply.GetGone() > 0 {
		seen += fmt.Sprintf(", on %d of them no more", reply.GetGone())
	}
	a.out.paragraph(plain, "", "  ", seen)
	a.out.line("")
	t := table{header: []string{"FIRST SEEN", "CI", "SITE", "CHANGE", "GONE"}, elastic: 3}
	for _, s := range reply.GetSightings() {
		t.row(a.when(s.GetRecordedMs()), s.GetName(), orDash(s.GetSite()), orDash(sightWords(s)), a.when(s.GetGoneMs()))
	}
	t.write(a.out)
	if reply.GetMore() {
		a.out.line("and %d more: --limit", int(reply.GetMachines())-len(reply.GetSightings()))
	}
	if reply.GetMachines() > 1 {
		a.showTimes(reply.GetTimes())
		a.showSpread(reply.GetSites(), limit)
	}
}

// sightWords says what made it so.
func sightWords(s *rollcallv1.Sighting) string {
	var parts []string
	for _, f := range s.GetFacts() {
		switch {
		case f.GetOld() == f.GetNew() || s.GetEarlier():
			parts = append(parts, f.GetPath()+" = "+f.GetNew())
		case f.GetOld() == "" && s.GetFirstReport():
			parts = append(parts, "first report: "+f.GetPath()+" = "+f.GetNew())
		case f.GetOld() == "":
			parts = append(parts, "new "+f.GetPath()+" = "+f.GetNew())
		default:
			parts = append(parts, f.GetPath()+" "+f.GetOld()+" → "+f.GetNew())
		}
	}
	if len(parts) > 2 {
		parts = append(parts[:2], fmt.Sprintf("and %d more", len(parts)-2+int(s.GetMoreFacts())))
	}
	if s.GetEarlier() {
		parts = append(parts, "or earlier: what was before is not kept")
	}
	return strings.Join(parts, "; ")
}

// maxDays is how many days are shown one by one; more are folded by month.
const maxDays = 31

// showTimes counts by day, in the zone of whoever asks.
func (a *app) showTimes(times []*rollcallv1.SpreadTime) {
	rows := a.folded(times, time.DateOnly)
	head := "DAY"
	if len(rows) > maxDays {
		rows, head = a.folded(times, "2006-01"), "MONTH"
	}
	a.out.line("")
	t := table{header: []string{head, "NEW", "IN ALL"}, right: map[int]bool{1: true, 2: true}}
	all := uint32(0)
	for _, r := range rows {
		all += r.machines
		t.row(r.name, fmt.Sprint(r.machines), fmt.Sprint(all))
	}
	t.write(a.out)
}

type foldedTime struct {
	name     string
	machines uint32
}

func (a *app) folded(times []*rollcallv1.SpreadTime, layout string) (rows []foldedTime) {
	for _, t := range times {
		name := time.UnixMilli(t.GetFromMs()).In(a.zone).Format(layout)
		if n := len(rows); n == 0 || rows[n-1].name != name {
			rows = append(rows, foldedTime{name: name})
		}
		rows[len(rows)-1].machines += t.GetMachines()
	}
	return rows
}

func (a *app) showSpread(sites []*rollcallv1.SpreadSite, limit int) {
	if len(sites) == 0 || len(sites) == 1 && sites[0].GetSite() == "" {
		return
	}
	a.out.line("")
	t := table{header: []string{"SITE", "CIs", "FIRST SEEN"}, right: map[int]bool{1: true}, elastic: 0}
	for _, s := range sites[:min(len(sites), max(limit, 1))] {
		t.row(orDash(s.GetSite()), fmt.Sprint(s.GetMachines()), a.when(s.GetFirstMs()))
	}
	t.write(a.out)
	if n := len(sites) - limit; n > 0 {
		a.out.line("and %s: --limit", plural(n, "more site"))
	}
}
