package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// reportForms are the forms of an answer.
var reportForms = []string{"table", "csv", "json", "html"}

// reporting is a question for a report and how its answer is shown.
type reporting struct {
	site, class, filter, at, lang, form, out string
	limit                                    uint32
	json                                     bool
}

func (a *app) reportRunCommand() *cobra.Command {
	var q reporting
	c := &cobra.Command{
		Use:   "run NAME [PARAMETER=VALUE]...",
		Short: "Run a report",
		Long: `Runs a report, about all CIs of your sites or those that --filter, --site and
--class choose, and shows it as a table, or in another form: CSV for a spreadsheet
(RFC 4180, UTF-8; a cell that a spreadsheet would compute gets an apostrophe), one
HTML file to print or mail, or JSON for programs. 'rollcall report list NAME' tells
the parameters.

A parameter that is a date takes 2026-11-20, or how long ago: 7d, 2w, 3m (months).

As JSON: {"report", "title", "question", "lang", "at", "filter", "params",
"columns": [{"key", "title", "kind"}], "rows": [{KEY: VALUE}], "row_count",
"machines", "more"}. Sizes are in bytes; what is not known is null.`,
		Example: `  rollcall report run silent days=30
  rollcall report run package-below package=cups version=2.4.2-3+deb12u9
  rollcall report run changes-per-day since=7d zone=Europe/Oslo --site elm/north
  rollcall report run inventory --lang nb --format html --out inventar.html
  rollcall report run places --at 2026-09-01 --json`,
		Args: cobra.ArbitraryArgs, ValidArgsFunction: a.reportWords,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmdline.Hinted(cmdline.Usagef("report run: NAME is missing"), "rollcall report list")
			}
			if q.json {
				q.form = "json"
			}
			if !slices.Contains(reportForms, q.form) {
				return cmdline.Usagef("report run: --format %q: want one of %s", q.form, strings.Join(reportForms, ", "))
			}
			return a.runReport(c.Context(), q, args[0], args[1:])
		},
	}
	c.Flags().StringVar(&q.filter, "filter", "", "only CIs that this `FILTER` selects")
	c.Flags().StringVar(&q.site, "site", "", "only CIs in this `SITE` and below it")
	c.Flags().StringVar(&q.class, "class", "", "only CIs of this `CLASS`")
	atFlag(c, &q.at)
	c.Flags().Uint32Var(&q.limit, "limit", 0, "at most `N` rows (0: 10,000)")
	c.Flags().StringVar(&q.form, "format", "table", "`FORM` of the answer: "+strings.Join(reportForms, ", "))
	c.Flags().StringVar(&q.out, "out", "", "write it into this new `FILE`")
	a.langFlag(c, &q.lang)
	jsonFlag(c, &q.json)
	exclusive(c, "format", "json")
	a.complete(c, "site", a.sites)
	a.complete(c, "class", fixed(classes...))
	a.complete(c, "format", fixed(reportForms...))
	return c
}

// answer is a report as it came.
type answer struct {
	head *rollcallv1.ReportHead
	rows [][]string
	tail *rollcallv1.ReportTail
}

func (a *app) runReport(ctx context.Context, q reporting, name string, words []string) error {
	at, err := a.parseTime("at", q.at, cmdline.End)
	if err != nil {
		return err
	}
	params, bad := paramsOf(words)
	if bad != "" {
		return cmdline.Hinted(cmdline.Usagef("report run: %q is no PARAMETER=VALUE, or is given twice", bad), "rollcall report list %s", name)
	}
	return a.ask(func(s *server) error {
		got, err := s.runReport(ctx, &rollcallv1.RunReportRequest{
			Name: name, Params: params, Filter: narrowed(q.filter, q.site, q.class), AtMs: millis(at), Limit: q.limit, Lang: a.language(q.lang),
		})
		if err != nil {
			return fmt.Errorf("report: %w", err)
		}
		if err := a.showReport(got, q); err != nil {
			return err
		}
		if got.tail.GetMore() {
			a.err.line("rollcall: %d of %d rows: %s", len(got.rows), got.tail.GetRows(), got.head.GetWords()["more"])
		}
		return nil
	})
}

// runReport reads an answer to its end.
func (s *server) runReport(ctx context.Context, req *rollcallv1.RunReportRequest) (*answer, error) {
	st, err := s.RunReport(ctx, req)
	if err != nil {
		return nil, err
	}
	got := &answer{}
	for {
		reply, err := st.Recv()
		switch {
		case errors.Is(err, io.EOF):
			if got.head == nil || got.tail == nil {
				return nil, errors.New("the answer is not complete")
			}
			return got, nil
		case err != nil:
			return nil, err
		case reply.GetHead() != nil:
			got.head = reply.GetHead()
		case reply.GetTail() != nil:
			got.tail = reply.GetTail()
		}
		for _, row := range reply.GetRows() {
			if len(row.GetCells()) != len(got.head.GetColumns()) {
				return nil, fmt.Errorf("a row of %d cells below %d columns", len(row.GetCells()), len(got.head.GetColumns()))
			}
			got.rows = append(got.rows, row.GetCells())
		}
	}
}

// showReport writes an answer in its form, into a file or to the screen.
func (a *app) showReport(got *answer, q reporting) error {
	made, err := a.formed(got, q.form)
	if err != nil || q.out == "" && q.form == "table" {
		if err == nil {
			a.showReportTable(a.out, got)
		}
		return err
	}
	if q.out == "" {
		a.out.raw(made)
		return a.out.failed
	}
	if err := newFile(q.out, made); err != nil {
		return err
	}
	a.err.line("rollcall: %s of %s in %s", plural(len(got.rows), "row"), got.head.GetName(), q.out)
	return nil
}

// reportWords completes the name of a report, then its parameters and what they
// take.
func (a *app) reportWords(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.reportNames(c, args, prefix)
	}
	var out []string
	given, _ := paramsOf(args[1:])
	for _, r := range a.knownReports(c.Context()) {
		if r.GetName() != args[0] {
			continue
		}
		for _, p := range r.GetParams() {
			if _, ok := given[p.GetName()]; ok {
				continue
			}
			values := p.GetAllowed()
			if len(values) == 0 || !strings.HasPrefix(prefix, p.GetName()+"=") {
				values = []string{""}
			}
			for _, v := range values {
				if w := p.GetName() + "=" + v; strings.HasPrefix(w, prefix) && inertLine(w) == w {
					out = append(out, w)
				}
			}
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
