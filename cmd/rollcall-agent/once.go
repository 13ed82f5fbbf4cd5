package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"rollcall/agent"
	"rollcall/agent/collect"
	"rollcall/cmd/internal/cmdline"
)

func (a *app) onceCommand() *cobra.Command {
	var dry, asJSON bool
	var boot booting
	c := &cobra.Command{
		Use:   "once",
		Short: "Take the inventory once and report it",
		Long: `Takes the inventory once, reports what changed, and prints how each collector
did. If the server cannot be reached the report waits in the state folder; that
is exit status 1.

With --dry-run nothing is written and nothing is sent, and no enrolment is
needed: the summary is that of a first, full report.

With --stateless it is for machines without a disk, once at each boot: the key is
made in memory, the machine claims its seat with the token of its boot image
("rollcall enrol token --netboot"), says what it has otherwise than the image that
"rollcall-agent image" tells of, and nothing is written anywhere. A state folder that
the image brought along is not looked at. If the server is away, or the seat still
taken, it tries for as long as --patience says.`,
		Example: "  rollcall-agent once\n  rollcall-agent once --stateless --token-file /etc/rollcall/netboot.token\n  rollcall-agent once --dry-run --json\n  rollcall-agent once --root /mnt/pc07 --state /var/lib/rollcall-pc07",
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if (dry || boot.stateless) && a.state == "" {
				a.state = agent.Default().State // not looked at
			}
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			agent.Tune(cfg)
			log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
			deps := agent.Deps{Log: log, Fence: a.fence, Version: version, DryRun: dry}
			if deps.Seat, err = a.seat(boot); err != nil {
				return err
			}
			ag, err := agent.Open(cfg, deps)
			if err != nil {
				return err
			}
			look, reason := ag.Once, "manual"
			if boot.stateless {
				look, reason = ag.Boot, "boot"
			}
			sum, err := look(c.Context(), reason)
			if err = errors.Join(err, ag.Close()); err != nil {
				return err
			}
			if asJSON {
				err = a.document(sum)
			} else {
				err = a.printSummary(sum)
			}
			if err == nil && sum.Problem != "" {
				err = errors.New("the report was not taken: " + sum.Problem)
			}
			return err
		},
	}
	boot.flags(c)
	c.Flags().BoolVar(&dry, "dry-run", false, "only look; write and send nothing")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.MarkFlagsMutuallyExclusive("dry-run", "stateless")
	return c
}

func (a *app) printSummary(s agent.Summary) error {
	if err := a.printCollectors(s.Collectors); err != nil {
		return err
	}
	total := 0
	for _, n := range s.Facts {
		total += n
	}
	fmt.Fprintf(a.out, "\n%d facts in %d sections, %d of %d collectors had trouble, took %s\n",
		total, len(s.Facts), troubled(s), len(s.Collectors), short(s.Took))
	if len(s.Changed) > 0 {
		var parts []string
		for _, section := range slices.Sorted(maps.Keys(s.Changed)) {
			d := s.Changed[section]
			parts = append(parts, fmt.Sprintf("%s +%d -%d", section, d.Put, d.Drop))
		}
		fmt.Fprintf(a.out, "changed: %s\n", strings.Join(parts, ", "))
	}
	kind := "delta"
	if s.Full {
		kind = "full report"
	}
	switch s.Outcome {
	case agent.Unchanged:
		fmt.Fprintf(a.out, "%s: nothing to report (%d bytes)\n", s.Outcome, s.Envelope)
	case agent.DryRun:
		fmt.Fprintf(a.out, "%s: a %s of %d bytes would be sent\n", s.Outcome, kind, s.Payload)
	default:
		fmt.Fprintf(a.out, "%s: %s of %d bytes, %d contents kept for upload\n", s.Outcome, kind, s.Envelope, s.Contents)
	}
	if s.Recipients == 1 {
		fmt.Fprintln(a.out, a.loud(oneRecipient))
	}
	if s.Withheld > 0 {
		fmt.Fprintln(a.out, a.loud(fmt.Sprintf("%d SECRET FILES CANNOT BE RESTORED: no recipient is configured; only fingerprints of them are reported", s.Withheld)))
	}
	return nil
}

func (a *app) printCollectors(all []agent.Collected) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "COLLECTOR\tSTATE\tFACTS\tTIME\tDETAIL")
	for _, c := range all {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", c.Name, c.State, c.Facts, short(c.Took), c.Detail)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func troubled(s agent.Summary) int {
	n := 0
	for _, c := range s.Collectors {
		if c.State != collect.OK && c.State != collect.NotHere {
			n++
		}
	}
	return n
}

func short(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }
