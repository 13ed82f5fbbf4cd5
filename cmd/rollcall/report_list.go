package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// reportUsers are whom reports are for; a newer server may know more.
var reportUsers = []string{"operator", "technician", "auditor", "principal"}

func (a *app) reportListCommand() *cobra.Command {
	var user, lang string
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [NAME]",
		Short: "List reports, or tell all about one",
		Long: `Lists the reports that you may run; with NAME, tells what one asks and which
parameters it has.

As JSON: {"lang", "reports": [{"name", "users", "title", "question", "at",
"filter", "params": [{"name", "help", "kind", "default", "allowed", "optional"}]}]}.`,
		Example: `  rollcall report list
  rollcall report list --for auditor
  rollcall report list package-below`,
		Args:              cmdline.AtMost("NAME"),
		ValidArgsFunction: a.reportNames,
		RunE: func(c *cobra.Command, args []string) error {
			if user != "" && !slices.Contains(reportUsers, user) {
				return cmdline.Usagef("report list: --for %q: want one of %s", user, strings.Join(reportUsers, ", "))
			}
			return a.listReports(c.Context(), strings.Join(args, ""), user, lang, asJSON)
		},
	}
	c.Flags().StringVar(&user, "for", "", "only those for this `USER`: "+strings.Join(reportUsers, ", "))
	a.complete(c, "for", fixed(reportUsers...))
	a.langFlag(c, &lang)
	jsonFlag(c, &asJSON)
	return c
}

type paramJSON struct {
	Name     string   `json:"name"`
	Help     string   `json:"help"`
	Kind     string   `json:"kind"`
	Default  string   `json:"default"`
	Allowed  []string `json:"allowed"`
	Optional bool     `json:"optional"`
}

type reportInfoJSON struct {
	Name     string      `json:"name"`
	Users    []string    `json:"users"`
	Title    string      `json:"title"`
	Question string      `json:"question"`
	At       bool        `json:"at"`
	Filter   string      `json:"filter"`
	Params   []paramJSON `json:"params"`
}

type reportsJSON struct {
	Lang    string           `json:"lang"`
	Reports []reportInfoJSON `json:"reports"`
}

func (a *app) listReports(ctx context.Context, name, user, lang string, asJSON bool) error {
	return a.ask(func(s *server) error {
		reply, err := s.ListReports(ctx, &rollcallv1.ListReportsRequest{Lang: a.language(lang)})
		if err != nil {
			return fmt.Errorf("list reports: %w", err)
		}
		var found []*rollcallv1.ReportInfo
		for _, r := range reply.GetReports() {
			if (name == "" || r.GetName() == name) && (user == "" || slices.Contains(r.GetUsers(), user)) {
				found = append(found, r)
			}
		}
		switch {
		case name != "" && len(found) == 0:
			return cmdline.Hinted(fmt.Errorf("list reports: there is no report %q, or it is not for you", name), "rollcall report list")
		case asJSON:
			return a.document(reportsOf(reply.GetLang(), found))
		case name != "":
			a.showReportInfo(found[0])
			return nil
		}
		t := table{header: []string{"NAME", "FOR", "TITLE"}, elastic: 2}
		for _, r := range found {
			t.row(r.GetName(), strings.Join(r.GetUsers(), ", "), r.GetTitle())
		}
		t.write(a.out)
		a.err.styled(faint, "%s; 'rollcall report list NAME' tells more", plural(len(found), "report"))
		return nil
	})
}

func reportsOf(lang string, found []*rollcallv1.ReportInfo) reportsJSON {
	doc := reportsJSON{Lang: lang, Reports: []reportInfoJSON{}}
	for _, r := range found {
		info := reportInfoJSON{r.GetName(), listOf(r.GetUsers()), r.GetTitle(), r.GetQuestion(), r.GetAt(), r.GetFilter(), []paramJSON{}}
		for _, p := range r.GetParams() {
			info.Params = append(info.Params, paramJSON{p.GetName(), p.GetHelp(), p.GetKind(), p.GetDefault(), listOf(p.GetAllowed()), p.GetOptional()})
		}
		doc.Reports = append(doc.Reports, info)
	}
	return doc
}

func (a *app) showReportInfo(r *rollcallv1.ReportInfo) {
	a.out.paragraph(bold, "", "", r.GetTitle())
	a.out.paragraph(plain, "", "", r.GetQuestion())
	rows := [][2]string{{"for", strings.Join(r.GetUsers(), ", ")}}
	if r.GetFilter() != "" {
		rows = append(rows, [2]string{"of", r.GetFilter()})
	}
	if !r.GetAt() {
		rows = append(rows, [2]string{"time", "the present only"})
	}
	line := []string{"rollcall report run", r.GetName()}
	for _, p := range r.GetParams() {
		what := p.GetHelp()
		switch {
		case len(p.GetAllowed()) > 0:
			what += ": " + strings.Join(p.GetAllowed(), ", ")
		default:
			what += " (" + p.GetKind() + ")"
		}
		switch {
		case p.GetDefault() != "":
			what += "; " + p.GetDefault() + " unless given"
		case !p.GetOptional():
			what += "; must be given"
			line = append(line, p.GetName()+"=…")
		}
		rows = append(rows, [2]string{p.GetName() + "=", what})
	}
	a.fields("  ", append(rows, [2]string{"run it", strings.Join(line, " ")}))
}

// reportNames completes the first argument with the names of reports.
func (a *app) reportNames(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, r := range a.knownReports(c.Context()) {
		if name := r.GetName(); strings.HasPrefix(name, prefix) && inertLine(name) == name {
			out = append(out, name+"\t"+inertLine(r.GetTitle()))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// knownReports asks the server for its reports, within the time that a completion
// may take; it is silent about every failure.
func (a *app) knownReports(ctx context.Context) []*rollcallv1.ReportInfo {
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	s, err := a.connect()
	if err != nil {
		return nil
	}
	defer s.close()
	reply, err := s.ListReports(ctx, &rollcallv1.ListReportsRequest{Lang: a.language("")})
	if err != nil {
		return nil
	}
	return reply.GetReports()
}
