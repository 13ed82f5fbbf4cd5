package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) enrolForksCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "forks CI",
		Short: "Show both sides of a key that speaks from two places",
		Long: `Shows both sides of a key that speaks from two places, as after cloning a disk or
going back to an older state of it: the last report that is part of the CI's
history, and those that were kept apart since, with when and from where they
came, the boot they were made in, and what they say of the machine's name and
network cards. All of that can be forged; what differs tells which it was.

Then decide: 'rollcall enrol keep CI' if there is one machine (its disk was put
back to an earlier state, or the copy is gone); the next full report is taken.
'rollcall enrol revoke CI' if there are two: both are enrolled anew, the rightful
one with 'rollcall enrol token --ci CI'.

As JSON: {"key", "recorded", "forks": [{"at", "seq", "boot_id", "from", "claimed",
"hostname", "macs", "unchanged", "envelope"}], "full"}; "key" in the shape of
'rollcall enrol pending'.`,
		Example: `  rollcall find 'cloned = yes' --names
  rollcall enrol forks room12-pc07`,
		Args:              cmdline.Exactly("CI"),
		ValidArgsFunction: a.first(a.cis),
		RunE:              func(c *cobra.Command, args []string) error { return a.forks(c.Context(), args[0], asJSON) },
	}
	jsonFlag(c, &asJSON)
	return c
}

type branchJSON struct {
	At        msTime   `json:"at"`
	Seq       uint64   `json:"seq"`
	BootID    string   `json:"boot_id"`
	From      string   `json:"from"`
	Claimed   msTime   `json:"claimed"`
	Hostname  string   `json:"hostname"`
	MACs      []string `json:"macs"`
	Unchanged bool     `json:"unchanged"`
	Envelope  string   `json:"envelope"`
}

type forksJSON struct {
	Key      keyJSON      `json:"key"`
	Recorded *branchJSON  `json:"recorded"` // null: nothing was ever recorded
	Forks    []branchJSON `json:"forks"`
	Full     bool         `json:"full"`
}

func branchOf(b *rollcallv1.Branch) branchJSON {
	return branchJSON{
		At: msTime(b.GetAtMs()), Seq: b.GetSeq(), BootID: b.GetBootId(), From: b.GetFrom(), Claimed: msTime(b.GetClaimedMs()),
		Hostname: b.GetHostname(), MACs: append([]string{}, b.GetMacs()...), Unchanged: b.GetUnchanged(), Envelope: b.GetEnvelope(),
	}
}

func (a *app) forks(ctx context.Context, ci string, asJSON bool) error {
	return a.ask(func(s *server) error {
		reply, err := s.Forks(ctx, &rollcallv1.ForksRequest{Key: ci})
		if err != nil {
			return fmt.Errorf("forks: %w", err)
		}
		if asJSON {
			return a.document(forksOf(reply))
		}
		if !reply.GetKey().GetCloned() && len(reply.GetForks()) == 0 {
			a.err.line("rollcall: the key of %s speaks from one place", ci)
			return nil
		}
		t := table{header: []string{"", "CAME", "NUMBER", "BOOT", "FROM", "CALLS ITSELF", "MACS"}}
		if r := reply.GetRecorded(); r != nil {
			t.row(a.branch("recorded", r)...)
		}
		for _, f := range reply.GetForks() {
			t.row(a.branch("apart", f)...)
		}
		t.write(a.out)
		if reply.GetFull() {
			a.err.line("rollcall: no more are kept until you decide")
		}
		name := shellWord(reply.GetKey().GetCiName())
		a.err.line("rollcall: one machine: rollcall enrol keep %s; two: rollcall enrol revoke %s, and enrol both anew", name, name)
		return nil
	})
}

func (a *app) branch(what string, b *rollcallv1.Branch) []string {
	name := orDash(b.GetHostname())
	if b.GetUnchanged() {
		name = "(nothing has changed)"
	}
	boot := b.GetBootId()
	return []string{
		what, a.when(b.GetAtMs()), strconv.FormatUint(b.GetSeq(), 10), orDash(boot[:min(8, len(boot))]), orDash(b.GetFrom()), name,
		orDash(strings.Join(slices.Compact(b.GetMacs()), " ")),
	}
}

func forksOf(reply *rollcallv1.ForksReply) forksJSON {
	doc := forksJSON{Key: keyOf(reply.GetKey()), Forks: []branchJSON{}, Full: reply.GetFull()}
	if r := reply.GetRecorded(); r != nil {
		b := branchOf(r)
		doc.Recorded = &b
	}
	for _, f := range reply.GetForks() {
		doc.Forks = append(doc.Forks, branchOf(f))
	}
	return doc
}
