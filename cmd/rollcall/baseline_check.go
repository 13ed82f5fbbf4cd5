package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

type valueJSON struct {
	Value    *string `json:"value"` // null: nothing is there
	Machines uint32  `json:"machines"`
}

type deviationJSON struct {
	Path     string      `json:"path"`
	Want     string      `json:"want"`
	Machines uint32      `json:"machines"`
	Values   []valueJSON `json:"values"`
	Names    []string    `json:"names"`
}

type deviationsJSON struct {
	Baseline   baselineJSON    `json:"baseline"`
	Machines   uint32          `json:"machines"`
	Differing  uint32          `json:"differing"`
	Deviations []deviationJSON `json:"deviations"`
	Total      uint32          `json:"deviations_in_all"`
	Notes      []string        `json:"notes"`
}

func (a *app) baselineCheckCommand() *cobra.Command {
	req := &rollcallv1.DeviationsRequest{}
	var at string
	var asJSON bool
	c := &cobra.Command{
		Use:   "check NAME [FILTER]",
		Short: "Tell what deviates from a baseline, and where",
		Long: `Tells which facts of a baseline the machines of a filter, or all, have not, what
they have instead, and names some of them; what most machines have not stands
first. The exit status is 0 also if something deviates.

As JSON: {"baseline", "machines", "differing", "deviations": [{"path", "want",
"machines", "values": [{"value", "machines"}], "names"}], "deviations_in_all",
"notes"}.`,
		Example: `  rollcall baseline check client 'class = workstation'
  rollcall baseline check client --path etc --at yesterday`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.first(a.baselines),
		RunE: func(c *cobra.Command, args []string) error {
			when, err := a.parseTime("at", at, cmdline.End)
			if err != nil {
				return err
			}
			req.Name, req.Filter, req.AtMs = args[0], words(args[1:]), millis(when)
			return a.ask(func(s *server) error {
				reply, err := s.Deviations(c.Context(), req)
				if err != nil {
					return fmt.Errorf("check baseline: %w", err)
				}
				if asJSON {
					return a.document(deviationsOf(reply))
				}
				a.showDeviations(reply)
				return nil
			})
		},
	}
	atFlag(c, &at)
	c.Flags().StringArrayVar(&req.Paths, "path", nil, "only facts at or below this `PATH`")
	c.Flags().Uint32Var(&req.Limit, "limit", 50, "at most `N` facts")
	jsonFlag(c, &asJSON)
	return c
}

func deviationsOf(reply *rollcallv1.DeviationsReply) deviationsJSON {
	doc := deviationsJSON{
		Baseline: baselineOf(reply.GetBaseline()), Machines: reply.GetMachines(), Differing: reply.GetDiffering(), Deviations: []deviationJSON{},
		Total: reply.GetRowsTotal(), Notes: listOf(reply.GetNotes()),
	}
	for _, r := range reply.GetRows() {
		d := deviationJSON{Path: r.GetPath(), Want: r.GetWant(), Machines: r.GetMachines(), Values: []valueJSON{}, Names: listOf(r.GetNames())}
		for _, v := range r.GetValues() {
			one := valueJSON{Machines: v.GetMachines()}
			if !v.GetMissing() {
				value := v.GetValue()
				one.Value = &value
			}
			d.Values = append(d.Values, one)
		}
		doc.Deviations = append(doc.Deviations, d)
	}
	return doc
}

func (a *app) showDeviations(reply *rollcallv1.DeviationsReply) {
	t := table{header: []string{"MACHINES", "FACT", "BASELINE", "INSTEAD", "FOR EXAMPLE"}, right: map[int]bool{0: true}, elastic: 3}
	for _, r := range reply.GetRows() {
		var instead []string
		for _, v := range r.GetValues() {
			text := v.GetValue()
			if v.GetMissing() {
				text = "nothing"
			}
			instead = append(instead, fmt.Sprintf("%s (%d)", text, v.GetMachines()))
		}
		t.row(fmt.Sprint(r.GetMachines()), r.GetPath(), r.GetWant(), strings.Join(instead, ", "), strings.Join(r.GetNames()[:min(3, len(r.GetNames()))], ", "))
	}
	t.write(a.out)
	a.err.line("rollcall: %d of %d machines differ from %s, in %d of %d facts", reply.GetDiffering(), reply.GetMachines(), reply.GetBaseline().GetName(),
		reply.GetRowsTotal(), reply.GetBaseline().GetFacts())
	if n := int(reply.GetRowsTotal()) - len(reply.GetRows()); n > 0 {
		a.err.line("rollcall: %d more facts: --limit shows more", n)
	}
	for _, note := range reply.GetNotes() {
		a.err.line("rollcall: %s", note)
	}
}
