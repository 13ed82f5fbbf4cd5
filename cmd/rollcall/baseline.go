package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) baselineCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "baseline",
		Short: "Write down what machines should have in common, and find what deviates",
		Long: `A baseline holds facts that machines have in common: the versions of packages, the
files of /etc, services, hardware. It is made from machines that are as they
should be, and stays as it is until it is set again. 'differs from NAME' in a
filter selects the CIs that have not all of it; what a CI has besides is no
difference.`,
		Example: `  rollcall baseline set client 'site = elm/north/b1/room14' --path pkg --path etc/cups --reason 'room 14 after RFC 7'
  rollcall baseline check client 'class = workstation'
  rollcall find 'differs from client in pkg/cups'`,
	}
	c.AddCommand(a.baselineListCommand(), a.baselineSetCommand(), a.baselineShowCommand(), a.baselineCheckCommand(), a.baselineRemoveCommand())
	return c
}

func (a *app) baselines(ctx context.Context, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.words(ctx, "baseline", "", prefix), cobra.ShellCompDirectiveNoFileComp
}

type baselineJSON struct {
	Name     string   `json:"name"`
	Site     string   `json:"site"`
	Filter   string   `json:"filter"`
	AsOf     msTime   `json:"as_of"` // null: when it was set
	Machines uint32   `json:"machines"`
	Share    uint32   `json:"share"`
	Paths    []string `json:"paths"`
	Facts    uint32   `json:"facts"`
	Reason   string   `json:"reason"`
	By       string   `json:"by"`
	Set      msTime   `json:"set"`
}

func baselineOf(b *rollcallv1.Baseline) baselineJSON {
	return baselineJSON{
		b.GetName(), b.GetSite(), b.GetFilter(), msTime(b.GetAsOfMs()), b.GetMachines(), b.GetShare(), listOf(b.GetPaths()), b.GetFacts(), b.GetReason(), b.GetBy(),
		msTime(b.GetAtMs()),
	}
}

// madeFrom says what a baseline was made from.
func (a *app) madeFrom(b *rollcallv1.Baseline) string {
	s := fmt.Sprintf("%d facts that %d %% of %d machines had", b.GetFacts(), b.GetShare(), b.GetMachines())
	switch {
	case b.GetMachines() == 1:
		s = fmt.Sprintf("%d facts of 1 machine", b.GetFacts())
	case b.GetShare() == 100:
		s = fmt.Sprintf("%d facts that all %d machines had", b.GetFacts(), b.GetMachines())
	}
	if len(b.GetPaths()) > 0 {
		s += " at or below " + strings.Join(b.GetPaths(), ", ")
	}
	if b.GetAsOfMs() != 0 {
		s += ", as of " + a.when(b.GetAsOfMs())
	}
	return s
}
