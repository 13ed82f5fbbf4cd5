package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) compareCommand() *cobra.Command {
	var q comparing
	c := &cobra.Command{
		Use:   "compare --broken FILTER --working FILTER",
		Short: "Find what sets broken machines apart from working ones",
		Long: `Compares two groups of machines and ranks what the broken ones have and the
working ones do not: packages and versions, files and single settings in them,
hardware, services. Facts that always come together are one row. What came
shortly before the trouble began ranks higher: say when with --since. Groups can
also be lists of names in files. One machine is compared with its like by
rollcall why.

BROKEN and WORKING count the machines that have it. PROOF is strong if chance
would hardly do it, weak if it could, none if you should not build on it.
FIRST SEEN is when it came to the broken machines.

As JSON: {"at", "onset", "verdict", "differs", "broken", "working", "rows":
[{"rank", "what", "kind", "broken_have", "broken_all", "working_have",
"working_all", "score", "strength", "p", "first_seen", "why", "facts",
"more_facts", "ids", "counter_examples"}], "notes"}.`,
		Example: `  rollcall compare --broken 'name in (pc03, pc07, pc11)' --working 'site = elm/north/* and not name in (pc03, pc07, pc11)'
  rollcall compare --broken 'site = elm/north/b1/room12' --working 'site = elm/north/b1/room13' --since "2026-11-20 14:00"
  rollcall compare --broken-list calls.txt --working 'site = elm/north/*'`,
		Args: cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.compare(c.Context(), q) },
	}
	atFlag(c, &q.at)
	jsonFlag(c, &q.json)
	c.Flags().StringVar(&q.broken, "broken", "", "`FILTER` for the machines that have the trouble")
	c.Flags().StringVar(&q.working, "working", "", "`FILTER` for machines that should be like them and work")
	c.Flags().StringVar(&q.brokenList, "broken-list", "", "`FILE` with names of machines that have the trouble, - for standard input")
	c.Flags().StringVar(&q.workingList, "working-list", "", "`FILE` with names of machines that work")
	c.Flags().StringVar(&q.since, "since", "", "`TIME` at which the trouble began")
	c.Flags().Uint32Var(&q.limit, "limit", 10, "at most `N` rows")
	c.Flags().BoolVar(&q.facts, "facts", false, "show all facts behind each row")
	return c
}

// comparing is the question and how its answer is shown.
type comparing struct {
	broken, working         string
	brokenList, workingList string // files of names

	at, since string
	limit     uint32
	facts     bool
	json      bool
}

func (a *app) compare(ctx context.Context, q comparing) error {
	if strings.TrimSpace(q.broken) == "" && q.brokenList == "" || strings.TrimSpace(q.working) == "" && q.workingList == "" {
		return cmdline.Hinted(cmdline.Usagef("compare: name both groups"), "rollcall compare --broken 'site = elm/north/b1/room12' --working 'site = elm/north/b1/room13'")
	}
	at, err := a.parseTime("at", q.at, cmdline.End)
	if err != nil {
		return err
	}
	since, err := a.parseTime("since", q.since, cmdline.Begin)
	if err != nil {
		return err
	}
	req := &rollcallv1.CompareRequest{Broken: q.broken, Working: q.working, AtMs: millis(at), OnsetMs: millis(since), Limit: q.limit}
	if req.BrokenNames, err = a.names(q.brokenList); err != nil {
		return err
	}
	if req.WorkingNames, err = a.names(q.workingList); err != nil {
		return err
	}
	return a.ask(func(s *server) error {
		reply, err := s.Compare(ctx, req)
		switch {
		case err != nil:
			return fmt.Errorf("compare: %w", err)
		case q.json:
			return a.document(compareOf(req, reply))
		}
		a.showComparison(req, reply, q.facts)
		return nil
	})
}

func (a *app) showComparison(req *rollcallv1.CompareRequest, reply *rollcallv1.CompareReply, facts bool) {
	when := "now"
	if req.GetAtMs() != 0 {
		when = "as of " + a.when(req.GetAtMs())
	}
	broken, working := max(len(reply.GetBroken()), int(reply.GetBrokenOf())), max(len(reply.GetWorking()), int(reply.GetWorkingOf()))
	head := fmt.Sprintf("%d broken against %d working, %s", broken, working, when)
	if req.GetOnsetMs() != 0 {
		head += "; it began " + a.whenAgo(req.GetOnsetMs())
	}
	a.out.paragraph(faint, "", "", head)
	verdict := green
	if !reply.GetDiffers() {
		verdict = yellow
	}
	a.out.paragraph(verdict, "", "  ", sentence(reply.GetVerdict()))
	if len(reply.GetRows()) > 0 {
		a.out.line("")
		a.showRows(reply.GetRows(), facts)
	}
	for i, n := range reply.GetNotes() {
		if i == 0 {
			a.out.line("")
		}
		a.out.paragraph(plain, "note: ", "      ", n)
	}
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	if s == "" {
		return "The server gave no verdict."
	}
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}

// rowLayout are the widths of the columns of figures; what a row is about takes
// the rest of the line and is wrapped.
type rowLayout struct{ rank, what, broken, working, proof, seen int }

func layoutOf(rows []*rollcallv1.CompareRow, width int) rowLayout {
	l := rowLayout{rank: len(fmt.Sprint(len(rows))), broken: len("BROKEN"), working: len("WORKING"), proof: len("PROOF"), seen: len("FIRST SEEN")}
	for _, r := range rows {
		l.broken = max(l.broken, len(share(r.GetBrokenHave(), r.GetBrokenAll())))
		l.working = max(l.working, len(share(r.GetWorkingHave(), r.GetWorkingAll())))
		l.proof = max(l.proof, displayWidth(shorten(inertLine(r.GetStrength()), 8)))
	}
	figures := l.rank + l.broken + l.working + l.proof + l.seen + 5*columnGap
	l.what = max(20, width-figures)
	return l
}

func share(have, all uint32) string { return fmt.Sprintf("%d/%d", have, all) }

func (a *app) showRows(rows []*rollcallv1.CompareRow, facts bool) {
	l := layoutOf(rows, a.out.wrap())
	a.out.styled(bold, "%-*s  %-*s  %*s  %*s  %-*s  %s", l.rank, "#", l.what, "WHAT", l.broken, "BROKEN", l.working, "WORKING", l.proof, "PROOF", "FIRST SEEN")
	for i, r := range rows {
		a.showRow(l, i+1, r)
		indent := strings.Repeat(" ", l.rank+columnGap)
		a.showWhy(indent, r, facts)
	}
}

func (a *app) showRow(l rowLayout, rank int, r *rollcallv1.CompareRow) {
	indent := strings.Repeat(" ", l.rank+columnGap)
	for i, line := range wrapText(inertLine(r.GetWhat()), l.what) {
		if i > 0 {
			a.out.text(plain, indent)
			a.out.styled(bold, "%s", line)
			continue
		}
		a.out.text(plain, sprintf("%*d  ", l.rank, rank))
		a.out.text(bold, line)
		a.out.text(plain, strings.Repeat(" ", max(0, l.what-displayWidth(line))+columnGap))
		a.out.text(plain, sprintf("%*s  %*s  ", l.broken, share(r.GetBrokenHave(), r.GetBrokenAll()), l.working, share(r.GetWorkingHave(), r.GetWorkingAll())))
		proof := shorten(inertLine(r.GetStrength()), l.proof)
		a.out.text(proofStyle(r.GetStrength()), proof)
		a.out.text(plain, strings.Repeat(" ", max(0, l.proof-displayWidth(proof))+columnGap))
		a.out.line("%s", firstSeen(a, r))
	}
}

func firstSeen(a *app, r *rollcallv1.CompareRow) string {
	day, _, _ := strings.Cut(a.when(r.GetFirstSeenMs()), " ")
	return day
}

func proofStyle(strength string) style {
	switch strength {
	case "strong":
		return green
	case "weak":
		return yellow
	}
	return faint
}

// shownFacts and shownCounter bound what stands below a row.
const (
	shownFacts   = 3
	shownCounter = 6
)

// showWhy explains a row in lines below it.
func (a *app) showWhy(indent string, r *rollcallv1.CompareRow, all bool) {
	if r.GetWhy() != "" {
		a.out.paragraph(plain, indent, indent, r.GetWhy())
	}
	if r.GetFirstSeenMs() != 0 {
		a.out.paragraph(faint, indent, indent, "first seen "+a.whenAgo(r.GetFirstSeenMs()))
	}
	show := r.GetFacts()
	if len(show) == 1 && show[0] == r.GetWhat() {
		show = nil
	}
	hidden := int(r.GetMoreFacts())
	if !all && len(show) > shownFacts {
		hidden += len(show) - shownFacts
		show = show[:shownFacts]
	}
	for _, f := range show {
		a.out.paragraph(plain, indent+"· ", indent+"  ", f)
	}
	if hidden > 0 {
		a.out.line("%s· and %d more%s", indent, hidden, map[bool]string{false: ": --facts"}[all])
	}
	if c := r.GetCounterExamples(); len(c) > 0 {
		a.out.paragraph(yellow, indent+"exceptions: ", indent+"            ", some(c, shownCounter))
	}
}

type rowJSON struct {
	Rank            int      `json:"rank"`
	What            string   `json:"what"`
	Kind            string   `json:"kind"`
	BrokenHave      uint32   `json:"broken_have"`
	BrokenAll       uint32   `json:"broken_all"`
	WorkingHave     uint32   `json:"working_have"`
	WorkingAll      uint32   `json:"working_all"`
	Score           float64  `json:"score"`
	Strength        string   `json:"strength"`
	P               float64  `json:"p"`
	FirstSeen       msTime   `json:"first_seen"`
	Why             string   `json:"why"`
	Facts           []string `json:"facts"`
	MoreFacts       uint32   `json:"more_facts"`
	IDs             []string `json:"ids"`
	CounterExamples []string `json:"counter_examples"`
}

type compareJSON struct {
	At      msTime    `json:"at"`    // null: now
	Onset   msTime    `json:"onset"` // null: not said
	Verdict string    `json:"verdict"`
	Differs bool      `json:"differs"`
	Broken  []string  `json:"broken"`
	Working []string  `json:"working"`
	Rows    []rowJSON `json:"rows"`
	Notes   []string  `json:"notes"`
}

func compareOf(req *rollcallv1.CompareRequest, reply *rollcallv1.CompareReply) compareJSON {
	out := compareJSON{
		At: msTime(req.GetAtMs()), Onset: msTime(req.GetOnsetMs()), Verdict: reply.GetVerdict(), Differs: reply.GetDiffers(),
		Broken: listOf(reply.GetBroken()), Working: listOf(reply.GetWorking()), Rows: rowsOf(reply.GetRows()), Notes: listOf(reply.GetNotes()),
	}
	return out
}

func rowsOf(rows []*rollcallv1.CompareRow) []rowJSON {
	out := []rowJSON{}
	for i, r := range rows {
		out = append(out, rowJSON{
			Rank: i + 1, What: r.GetWhat(), Kind: r.GetKind(),
			BrokenHave: r.GetBrokenHave(), BrokenAll: r.GetBrokenAll(), WorkingHave: r.GetWorkingHave(), WorkingAll: r.GetWorkingAll(),
			Score: finite(r.GetScore()), Strength: r.GetStrength(), P: finite(r.GetP()), FirstSeen: msTime(r.GetFirstSeenMs()), Why: r.GetWhy(),
			Facts: listOf(r.GetFacts()), MoreFacts: r.GetMoreFacts(), IDs: listOf(r.GetIds()), CounterExamples: listOf(r.GetCounterExamples()),
		})
	}
	return out
}

// maxList bounds a file of names, in bytes.
const maxList = 1 << 20

// names reads names or ids of machines, one a line or several with blanks or
// commas between them; "#" begins a comment. "-" is standard input.
func (a *app) names(name string) ([]string, error) {
	if name == "" {
		return nil, nil
	}
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read list of machines: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxList+1))
	if err != nil {
		return nil, fmt.Errorf("read list of machines: %w", err)
	}
	if len(text) > maxList {
		return nil, fmt.Errorf("read list of machines %s: more than %s", name, sizeWords(uint64(maxList)))
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		names = append(names, strings.FieldsFunc(line, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })...)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("read list of machines %s: there is no name in it", name)
	}
	return names, nil
}
