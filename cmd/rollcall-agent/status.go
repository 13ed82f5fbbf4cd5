package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/agent"
	"rollcall/agent/spool"
	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/fence"
)

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how this machine's agent is doing",
		Long: `Shows the server, the words of this machine's key and its trust class, what is
collected and how often, the last reports and the receipt, what waits to be sent,
whether the disk has room, whether secrets can be restored, and what each collector
said in the last look. It may be used while the service runs, and asks nobody.`,
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
			return a.printStatus(st)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// printer prints one line with the name of what it tells; further ones of the same
// have none.
type printer func(name, format string, args ...any)

func (a *app) printStatus(st agent.Status) error {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(a.out, "%-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	if st.Enrolled {
		a.printIdentity(st, line)
		a.printSpool(st.Spool, line)
		a.printRoom(st.NoRoom, line)
	} else {
		line("server", "%s", a.loud("NOT ENROLLED"))
	}
	a.printPolicy(st.Policy, line)
	a.printRecipients(len(st.Recipients), line)
	if st.Last == nil {
		line("last look", "none yet")
		return nil
	}
	a.printFence(st.Last.Fence, line)
	line("last look", "%s, %s (%s), took %s", stamp(st.Last.At), st.Last.Outcome, st.Last.Reason, short(st.Last.Took))
	if st.Last.Problem != "" {
		line("problem", "%s", a.loud(st.Last.Problem))
	}
	line("collectors", "%d, of which %d had trouble", len(st.Last.Collectors), troubled(*st.Last))
	fmt.Fprintln(a.out)
	return a.printCollectors(st.Last.Collectors)
}

func (a *app) printIdentity(st agent.Status, line printer) {
	ci := st.CI
	if ci == "" {
		ci = "not known yet (waited for approval when it enrolled)"
	}
	line("server", "%s", strings.Join(st.Addresses, ", "))
	line("pin", "%s", strings.Join(st.Pins, ", "))
	line("CI", "%s", ci)
	line("key", "%s, made %s", st.KeyID, stamp(st.KeyMade))
	line("key words", "%s", st.Words)
	line("trust", "%s", cmp.Or(trustWords[st.Trust], "as the server decided: it has not said so yet"))
}

// trustWords say what the trust classes mean.
var trustWords = map[string]string{
	"T0": "T0: the server takes what this machine says as a claim, it booted from the network",
	"T1": "T1: its key is a file",
	"T2": "T2: a boot server has seen it",
	"T3": "T3: its key is in a TPM",
}

func (a *app) printPolicy(p agent.Policy, line printer) {
	a.printBundle(p.Bundle, line)
	watches := "at these times alone"
	if p.WatchEtc {
		watches = "and soon after changes below /etc and by dpkg"
	}
	line("looks", "every %s, %s", p.Interval, watches)
	if p.Debsums {
		line("", "all files of packages are compared with their digests")
	}
	if len(p.Skip) > 0 {
		line("left out", "collectors: %s", strings.Join(p.Skip, ", "))
	}
	if len(p.Exclude) > 0 {
		line("left out", "below /etc, beside the built-in list: %s", strings.Join(p.Exclude, ", "))
	}
}

// printBundle says whose word the policy is.
func (a *app) printBundle(b *agent.Bundle, line printer) {
	switch {
	case b == nil:
		line("policy", "the configuration of this machine alone: it names no policy key")
		return
	case b.State == agent.BundleInForce:
		line("policy", "version %d, from %s, until %s, and the configuration: the narrower counts", b.Version, b.Source, stamp(b.Until))
	case b.State == agent.BundleExpired:
		line("policy", "%s", a.loud(fmt.Sprintf("VERSION %d EXPIRED on %s: the configuration of this machine counts alone", b.Version, stamp(b.Until))))
	default:
		line("policy", "no signed one yet: the configuration of this machine counts alone")
	}
	for _, source := range slices.Sorted(maps.Keys(b.Refused)) {
		line("", "%s", a.loud(fmt.Sprintf("REFUSED what came from the %s: %s", source, b.Refused[source])))
	}
	if b.NextPin != "" {
		line("", "it announces the server's next key: %s", b.NextPin)
	}
	if b.Realm != "" {
		line("", "realm %s", b.Realm)
	}
}

// printRoom says whether the state folder took what was written last.
func (a *app) printRoom(n *agent.NoRoom, line printer) {
	if n == nil {
		line("disk", "the last look had room")
		return
	}
	line("disk", "%s", a.loud(fmt.Sprintf("NO ROOM since %s: %d looks could not be kept: %s", stamp(n.Since), n.Looks, n.Problem)))
	line("", "it goes on looking and sends what waits; what changed is reported once a look finds room")
}

func (a *app) printRecipients(n int, line printer) {
	if n == 0 {
		line("secrets", "%s", a.loud("CANNOT BE RESTORED: no recipient is configured; set recipient = age1… in agent.conf"))
		return
	}
	line("secrets", "sealed to %d recipients", n)
	if n == 1 {
		line("", "%s", a.loud(oneRecipient))
	}
}

// oneRecipient is said wherever secrets are sealed to a single key.
const oneRecipient = "ONE RECIPIENT ONLY: if its identity is lost, no secret can be restored; add a second recipient to agent.conf"

func (a *app) printSpool(s spool.Status, line printer) {
	switch {
	case s.Recorded.IsZero():
		line("receipt", "none yet")
	case s.Leaf != nil:
		line("receipt", "report %d, the machine's number %d, recorded %s as leaf %d of the log", s.Seq, s.Number, stamp(s.Recorded), *s.Leaf)
	default:
		line("receipt", "report %d, the machine's number %d, recorded %s", s.Seq, s.Number, stamp(s.Recorded))
	}
	name := "reports"
	for _, r := range s.Reports {
		kind, state := "changes", "waits"
		if r.Full {
			kind = "full"
		}
		if r.Acknowledged {
			state = "acknowledged"
		}
		line(name, "%d of %s, %s, %d bytes, %s", r.Seq, stamp(r.At), kind, r.Bytes, state)
		name = ""
	}
	if s.Waiting > 0 {
		line("spool", "%d reports wait (%d bytes), the oldest since %s", s.Waiting, s.Bytes, stamp(s.Oldest))
	} else {
		line("spool", "nothing waits")
	}
	if s.Kept > 0 {
		line("kept", "%d acknowledged reports, for a server that is restored from a backup", s.Kept)
	}
	if s.Gap != "" {
		line("next", "a full report: %s", s.Gap)
	}
}

// printFence says how the process of the last look was shut in, see package fence.
func (a *app) printFence(f *fence.State, line printer) {
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
