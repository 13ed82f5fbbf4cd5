package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"rollcall/agent"
	"rollcall/cmd/internal/cmdline"
)

// carry runs fn on this machine's agent, which nobody else uses meanwhile.
func (a *app) carry(beside string, fn func(*agent.Agent) error) error {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	if cfg.InMemory {
		return errors.New("spool = memory: nothing is kept that could be carried")
	}
	log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ag, err := agent.Open(cfg, agent.Deps{Log: log, Fence: a.fence, Version: version, Beside: beside})
	if err != nil {
		return err
	}
	return errors.Join(fn(ag), ag.Close())
}

func (a *app) exportCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "export FILE|FOLDER",
		Short: "Write what waits for the server into a file, for a stick",
		Long: `Writes the reports that wait for the server into a file, with the contents of files
that they name, for a machine without a line: somebody carries the file to where the
server can be reached, "rollcall bundle import" takes it in, and "rollcall-agent
import" reads what comes back. In a folder the file is named after the machine.

The file holds what the line would carry: reports as this machine signed them, and
what is secret sealed. It is not encrypted otherwise. The reports stay here until the
receipts come back, so that a lost stick costs nothing: the next file holds all of
them again. The service must not run meanwhile. Where nothing waits no file is
written, which is no failure.`,
		Example: "  systemctl stop rollcall-agent\n  rollcall-agent export /media/stick\n  systemctl start rollcall-agent",
		Args:    cmdline.Exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			to, err := filepath.Abs(args[0])
			if err != nil {
				return fmt.Errorf("export: %w", err)
			}
			beside := to
			if info, err := os.Stat(to); err != nil || !info.IsDir() {
				beside = filepath.Dir(to)
			}
			return a.carry(beside, func(ag *agent.Agent) error {
				out, err := ag.Export(c.Context(), to)
				if errors.Is(err, agent.ErrNothing) && !asJSON {
					fmt.Fprintln(a.out, "nothing waits for the server; no file is written")
					return nil
				}
				if err != nil {
					return err
				}
				if asJSON {
					return a.document(out)
				}
				a.printExport(out)
				return nil
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) printExport(out agent.Exported) {
	fmt.Fprintf(a.out, "%s: reports: %d, contents of files: %d, bytes: %d\n", out.File, out.Reports, out.Contents, out.Bytes)
	if out.Asks {
		fmt.Fprintln(a.out, "with the request to admit this machine")
	}
	if out.Again > 0 {
		fmt.Fprintf(a.out, "of the reports before, should the server have lost them: %d\n", out.Again)
	}
	if out.Held > 0 {
		fmt.Fprintln(a.out, a.loud(fmt.Sprintf("reports that did not go: %d: the spool is full of those that were carried before; import their receipts first", out.Held)))
	}
	if out.Lacking > 0 {
		fmt.Fprintf(a.out, "%d contents changed before they were kept; if the server has none of them it asks for everything\n", out.Lacking)
	}
	fmt.Fprintf(a.err, "rollcall-agent: hint: where the server can be reached: rollcall bundle import %s\n", filepath.Base(out.File))
}

func (a *app) importCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Read the receipts that came back on a stick",
		Long: `Reads the file that "rollcall bundle import" wrote: the reports that the server has
by its signed word are dropped here, a request for admission is answered, and a report
that the server will not take is replaced by a full one with the next look. Only what
the server's key signed counts, and what is for other machines is passed over: one
file serves all of them, and may be read twice. The service must not run meanwhile.`,
		Example: "  systemctl stop rollcall-agent\n  rollcall-agent import /media/stick/receipts.rcb\n  systemctl start rollcall-agent",
		Args:    cmdline.Exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.carry("", func(ag *agent.Agent) error {
				in, err := ag.Import(args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return a.document(in)
				}
				a.printImport(in)
				return nil
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) printImport(in agent.Imported) {
	if in.Enrolled != "" {
		fmt.Fprintf(a.out, "enrolled as CI %s\n", in.Enrolled)
	}
	fmt.Fprintf(a.out, "reports at the server: %d, waiting: %d\n", in.Receipts, in.Waiting)
	if in.SendAll != "" {
		fmt.Fprintf(a.out, "the next report is a full one: %s\n", in.SendAll)
	}
}
