package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/agent"
	"rollcall/agent/collect"
	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/fence"
)

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how this machine's agent is doing",
		Long: `Shows the server, the words of this machine's key, what waits to be sent, the
last receipt, how the collectors did, and whether secrets can be restored. It may
be used while the service runs, and asks nobody.`,
		Example: "  rollcall-agent status\n  rollcall-agent status --json",
		Args:    cmdline.Exactly(),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			st, err := agent.ReadStatus(cfg)
			if err != nil {
				return err
			}
			if asJSON {
				return a.document(st)
			}
			a.printStatus(st)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) printStatus(st agent.Status) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(a.out, "%-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	if st.Enrolled {
		ci := st.CI
		if ci == "" {
			ci = "not known yet (waited for approval when it enrolled)"
		}
		line("server", "%s", strings.Join(st.Addresses, ", "))
		line("pin", "%s", strings.Join(st.Pins, ", "))
		line("CI", "%s", ci)
		line("key", "%s, made %s", st.KeyID, stamp(st.KeyMade))
		line("key words", "%s", st.Words)
		if st.Trust == "T0" {
			line("trust", "T0: the server takes what this machine says as a claim, it booted from the network")
		}
		a.printSpool(st, line)
		if n := st.NoRoom; n != nil {
			line("disk", "%s", a.loud(fmt.Sprintf("NO ROOM since %s: %d looks could not be kept: %s", stamp(n.Since), n.Looks, n.Problem)))
			line("", "it goes on looking and sends what waits; what changed is reported once a look finds room")
		}
	} else {
		line("server", "%s", a.loud("NOT ENROLLED"))
	}
	if n := len(st.Recipients); n > 0 {
		line("secrets", "sealed to %d recipients", n)
		if n == 1 {
			line("", "%s", a.loud(oneRecipient))
		}
	} else {
		line("secrets", "%s", a.loud("CANNOT BE RESTORED: no recipient is configured; set recipient = age1… in agent.conf"))
	}
	if st.Last == nil {
		line("last look", "none yet")
		return
	}
	a.printFence(st.Last.Fence, line)
	line("last look", "%s, %s (%s), took %s", stamp(st.Last.At), st.Last.Outcome, st.Last.Reason, short(st.Last.Took))
	if st.Last.Problem != "" {
		line("problem", "%s", a.loud(st.Last.Problem))
	}
	for _, c := range st.Last.Collectors {
		if c.State != collect.OK && c.State != collect.NotHere || c.Detail != "" && c.State == collect.OK {
			line("collector", "%s: %s: %s", c.Name, c.State, c.Detail)
		}
	}
}

// oneRecipient is said wherever secrets are sealed to a single key.
const oneRecipient = "ONE RECIPIENT ONLY: if its identity is lost, no secret can be restored; add a second recipient to agent.conf"

func (a *app) printSpool(st agent.Status, line func(name, format string, args ...any)) {
	if st.Spool.Recorded.IsZero() {
		line("receipt", "none yet")
	} else {
		line("receipt", "report %d, recorded %s", st.Spool.Seq, stamp(st.Spool.Recorded))
	}
	if st.Spool.Waiting > 0 {
		line("spool", "%d reports wait (%d bytes), the oldest since %s", st.Spool.Waiting, st.Spool.Bytes, stamp(st.Spool.Oldest))
	} else {
		line("spool", "nothing waits")
	}
	if st.Spool.Kept > 0 {
		line("kept", "%d acknowledged reports, for a server that is restored from a backup", st.Spool.Kept)
	}
	if st.Spool.Gap != "" {
		line("next", "a full report: %s", st.Spool.Gap)
	}
}

// printFence says how the process of the last look was shut in, see package fence.
func (a *app) printFence(f *fence.State, line func(name, format string, args ...any)) {
	switch {
	case f == nil: // an older agent looked
		return
	case f.Calls && f.Files && f.Secrets:
		line("process", "shut in: it can start no program and write nowhere but in its state folder")
	}
	for _, why := range f.Missing {
		line("process", "%s", a.loud(why))
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
