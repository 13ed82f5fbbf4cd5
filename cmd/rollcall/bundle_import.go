package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/bundle"
	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) bundleImportCommand() *cobra.Command {
	var out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "import FILE...",
		Short: "Take in the files of machines without a line, and write receipts for them",
		Long: `Takes in the files that "rollcall-agent export" wrote, of any number of machines and
in any order: the reports of each machine go to the server in theirs. The server
judges each as if the machine itself had sent it: signature, order, quota. What is
there already is only counted, so that files may come twice; of a damaged file what
still can be read is taken.

Tells for each machine how many reports were recorded, which are missing, and what was
refused and why. The receipts go into a file, by default receipts.rcb beside the first
file: carry it back, "rollcall-agent import" on each machine reads it, and drops the
reports only then.

You need the role operator or approver where the machines are. Exit status 1 if
anything is missing, refused or left for later.

As JSON: {"receipts", "damaged", "machines": [{"key_id", "hostname", "ci", "name",
"enrolment", "note", "recorded", "already", "here", "left", "later", "gaps":
[{"after", "before"}], "refused": [{"report", "reports", "reason"}], "overtaken",
"quarantined", "sends_all"}]}. "here" is the number of the newest report at the server.`,
		Example: `  rollcall bundle import /media/stick/*.rcb
  rollcall bundle import pc07.rcb pc08.rcb --receipts back.rcb`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmdline.Usagef("import needs FILE...")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				out = filepath.Join(filepath.Dir(args[0]), "receipts.rcb")
			}
			return a.importBundles(c.Context(), args, out, asJSON)
		},
	}
	c.Flags().StringVar(&out, "receipts", "", "write the receipts into this `FILE`")
	jsonFlag(c, &asJSON)
	return c
}

type importedJSON struct {
	Receipts string        `json:"receipts"` // empty: there is nothing to carry back
	Damaged  []string      `json:"damaged"`
	Machines []carriedJSON `json:"machines"`
}

type carriedJSON struct {
	Key         string        `json:"key_id"`
	Hostname    string        `json:"hostname"`
	CI          string        `json:"ci"`
	Name        string        `json:"name"`
	Enrolment   string        `json:"enrolment"` // enrolled, pending or refused; empty: it did not ask
	Note        string        `json:"note"`
	Recorded    int           `json:"recorded"`
	Already     int           `json:"already"`
	Here        uint64        `json:"here"`
	Left        int           `json:"left"`  // reports that were not taken and may be another time
	Later       string        `json:"later"` // why the server takes no more now
	Gaps        []gapJSON     `json:"gaps"`
	Refused     []refusedJSON `json:"refused"`
	Overtaken   int           `json:"overtaken"`
	Quarantined int           `json:"quarantined"`
	SendsAll    string        `json:"sends_all"` // why the machine has to send everything
}

// gapJSON says that reports between two numbers are missing; numbers may be left
// out, so that it is not known how many.
type gapJSON struct {
	After  uint64 `json:"after"`
	Before uint64 `json:"before"`
}

type refusedJSON struct {
	Report  uint64 `json:"report"` // the first
	Reports int    `json:"reports"`
	Reason  string `json:"reason"`
}

func (d *carriedJSON) label() string {
	for _, s := range []string{d.Name, d.Hostname} {
		if s != "" {
			return s
		}
	}
	return shortKey(d.Key)
}

// refuse notes a refusal; many with the same reason are told as one.
func (d *carriedJSON) refuse(seq uint64, reason string) {
	if n := len(d.Refused); n > 0 && d.Refused[n-1].Reason == reason {
		d.Refused[n-1].Reports++
		return
	}
	d.Refused = append(d.Refused, refusedJSON{seq, 1, reason})
}

// whole tells whether everything of a machine is at the server.
func (d *carriedJSON) whole() bool {
	return d.Left == 0 && len(d.Gaps) == 0 && len(d.Refused) == 0 && d.Quarantined == 0 && d.SendsAll == "" && (d.Enrolment == "" || d.Enrolment == "enrolled")
}

func (a *app) importBundles(ctx context.Context, names []string, out string, asJSON bool) error {
	s, err := openSticks(names)
	if err != nil {
		return err
	}
	defer s.close()
	return a.ask(func(srv *server) error {
		c := &courier{server: srv, sticks: s}
		doc := importedJSON{Damaged: listOf(s.damaged), Machines: []carriedJSON{}}
		var failed error
		for _, m := range s.inOrder() {
			var one carriedJSON
			if one, failed = c.carry(ctx, m); failed != nil {
				break
			}
			doc.Machines = append(doc.Machines, one)
		}
		if len(c.back) > 0 { // also when something failed: what is recorded is recorded
			if err := a.writeReceipts(c, out); err != nil {
				return err
			}
			doc.Receipts = out
		}
		if asJSON {
			if err := a.document(doc); err != nil {
				return err
			}
		} else {
			a.showImport(doc)
		}
		return imported(doc, failed)
	})
}

func (a *app) writeReceipts(c *courier, out string) error {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	head := &rollcallv1.BundleHead{Public: c.answer, Hostname: fact.Value(host), MadeMs: a.now().UnixMilli()}
	return bundle.Create(out, head, func(w *bundle.Writer) error {
		for _, rec := range c.back {
			if err := w.Add(rec.Kind, rec.Data); err != nil {
				return err
			}
		}
		return nil
	})
}

// imported is the error of an import that left something to do.
func imported(doc importedJSON, failed error) error {
	if failed != nil {
		return failed
	}
	open := len(doc.Damaged)
	for _, m := range doc.Machines {
		if !m.whole() {
			open++
		}
	}
	switch {
	case open > 0:
		return fmt.Errorf("import: not everything is at the server, see above (%s)", plural(open, "case"))
	case len(doc.Machines) == 0:
		return fmt.Errorf("import: the files hold no report and no request")
	}
	return nil
}

func (a *app) showImport(doc importedJSON) {
	t := table{header: []string{"MACHINE", "CI", "RECORDED", "WERE HERE", "NOT TAKEN"}, right: map[int]bool{2: true, 3: true, 4: true}}
	for _, m := range doc.Machines {
		not := m.Left + m.Overtaken + m.Quarantined
		for _, r := range m.Refused {
			not += r.Reports
		}
		t.row(orDash(m.Hostname), orDash(m.CI), fmt.Sprint(m.Recorded), fmt.Sprint(m.Already), fmt.Sprint(not))
	}
	t.write(a.out)
	for _, m := range doc.Machines {
		for _, line := range m.words() {
			a.out.line("%s: %s", m.label(), line)
		}
	}
	for _, d := range doc.Damaged {
		a.out.styled(red, "%s", d)
	}
	if doc.Receipts != "" {
		a.out.line("receipts: %s", doc.Receipts)
		a.err.line("rollcall: hint: carry it back; on each machine: rollcall-agent import %s", filepath.Base(doc.Receipts))
	}
}

// words tells what is worth a sentence about a machine.
func (d *carriedJSON) words() (all []string) {
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	switch d.Enrolment {
	case "enrolled":
		say("enrolled as CI %s", d.CI)
	case "pending":
		say("%s: rollcall enrol approve %s; then import the file again", d.Note, shortKey(d.Key))
	case "refused":
		say("it is not admitted: %s", d.Note)
	}
	for _, g := range d.Gaps {
		say("the reports after number %d and before number %d are missing: bring a newer file, which holds all that is not acknowledged", g.After, g.Before)
	}
	for _, r := range d.Refused {
		say("%s from number %d on refused: %s", plural(r.Reports, "report"), r.Report, r.Reason)
	}
	if d.Overtaken > 0 {
		say("%s left out: the server went on without, to report %d", plural(d.Overtaken, "old report"), d.Here)
	}
	if d.Quarantined > 0 {
		say("its key speaks from two places: rollcall enrol forks %s", d.CI)
	}
	if d.SendsAll != "" {
		say("it has to send everything (%s); the receipts tell it so, bring its next file then", d.SendsAll)
	}
	if d.Later != "" {
		say("%s left for later: %s", plural(d.Left, "report"), d.Later)
	}
	return all
}
