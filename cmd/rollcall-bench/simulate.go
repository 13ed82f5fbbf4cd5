package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
	"rollcall/internal/sim"
)

// plan is what simulate was asked for.
type plan struct {
	machines, clients, days int
	seed                    uint64
	from                    string
	program, folder         string // of the own server
	login, second, net      string // of another server
	json                    string
	patience                time.Duration
	night                   bool
}

func (a *app) simulateCommand() *cobra.Command {
	var p plan
	c := &cobra.Command{
		Use:   "simulate",
		Short: "Let a fleet live through some days at a server",
		Long: `Lets a fleet of machines live through some days at a server: enrolment, first
reports, ticks without a change, days with security updates, edits by hand, replaced
parts and moves, a power cut, re-installed and cloned machines, and a point release
that reaches everybody in one night. At the end it prints a table: each phase with
its count, time, rate, median and 99th percentile, what was refused and tried again,
and the server's work, memory, store and mirror.

Without --login it starts a server of its own in a temporary folder, with a
configuration that has room for its clients and lets many machines enrol at once,
and has nothing else out of the ordinary.
Each school's machines come from an address of their own. Interrupted, it prints
what there is by then.

With --night the machines, their keys and what they are at first are written straight
into the store, and nothing is played but the point release: each machine reports it
over a connection of its own, while index and mirror run, and it ends when both have
it. So the night of a large fleet can be played without its first days.

The JSON of --json: {"version", "machines", "seed", "from", "clients", "complete",
"phases": [{"name", "count", "seconds", "per_second", "median_ms", "p99_ms",
"refused", "failed", "waiting", "facts", "server_us", "store_bytes"}],
"server": {"rss_bytes", "peak_rss_bytes", "cpu_seconds", "store_bytes",
"mirror_bytes", "mirror_backlog", "store_per_machine", "growth_per_machine_year"}}.
"server_us" is the server's processor time for one of the count,
"growth_per_machine_year" is 0 where there were too few days or machines to tell.`,
		Example: `  rollcall-bench simulate --machines 500
  rollcall-bench simulate --machines 2000 --seed 7 --days 14 --json run.json
  rollcall-bench simulate --machines 10000 --night --mirror-wait 30m
  rollcall-bench simulate --machines 100 --login kari.login --second ola.login --net 10.0.0.0/8`,
		Args: cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.simulate(c.Context(), p) },
	}
	f := c.Flags()
	f.IntVar(&p.machines, "machines", 500, "`NUMBER` of machines, servers included")
	f.Uint64Var(&p.seed, "seed", 1, "`NUMBER` that decides the fleet")
	f.IntVar(&p.days, "days", 7, "`NUMBER` of ordinary days")
	f.StringVar(&p.from, "from", "2026-06-29", "virtual `DAY` of the first reports, from 2023-06-10")
	f.IntVar(&p.clients, "clients", 64, "`NUMBER` of machines that speak at the same time")
	f.DurationVar(&p.patience, "mirror-wait", 2*time.Minute, "at most so long a phase waits until the git mirror has caught up")
	f.BoolVar(&p.night, "night", false, "fill the store of the own server, and play the night of a point release alone")
	f.StringVar(&p.program, "server-program", "", "rollcall-server as a `FILE`; empty: beside this program, else in PATH")
	f.StringVar(&p.folder, "folder", "", "new `FOLDER` for the own server, which is kept; empty: a temporary one")
	f.StringVar(&p.login, "login", "", "`FILE` with the login of an admin and approver of the server to use")
	f.StringVar(&p.second, "second", "", "`FILE` with the login of a second approver there: servers need two people")
	f.StringVar(&p.net, "net", "127.0.0.0/8", "`NETWORK` that the machines come from, as the server sees them")
	f.StringVar(&p.json, "json", "", "write the results as JSON to this `FILE`; -: to standard output, without the table")
	return c
}

// check finds what makes no sense before anything is started.
func (p plan) check() (from, release sim.Day, err error) {
	if p.machines < 1 || p.machines > sim.MaxMachines {
		return 0, 0, cmdline.Usagef("--machines %d: want 1 to %d", p.machines, sim.MaxMachines)
	}
	if p.clients < 1 || p.clients > 1000 {
		return 0, 0, cmdline.Usagef("--clients %d: want 1 to 1000", p.clients)
	}
	if p.days < 0 {
		return 0, 0, cmdline.Usagef("--days %d: want 0 or more", p.days)
	}
	if p.login == "" && p.second != "" || p.login != "" && (p.program != "" || p.folder != "") {
		return 0, 0, cmdline.Usagef("--login and --second lead to a server that runs; --server-program and --folder are for one of our own")
	}
	if p.login != "" && p.night {
		return 0, 0, cmdline.Usagef("--night writes into the store of a server of our own: leave --login out")
	}
	if from, err = sim.ParseDay(p.from); err != nil {
		return 0, 0, cmdline.Usage(fmt.Errorf("--from: %w", err))
	}
	releases, err := sim.PointReleases()
	if err != nil {
		return 0, 0, err
	}
	for _, day := range releases {
		if int(day) > int(from)+p.days {
			return from, day, nil
		}
	}
	return 0, 0, cmdline.Usagef("--from %s and --days %d: no point release comes after them; the last was on %s", p.from, p.days, releases[len(releases)-1])
}

func (a *app) simulate(ctx context.Context, p plan) (err error) {
	from, release, err := p.check()
	if err != nil {
		return err
	}
	fleet, err := sim.New(sim.Options{Machines: p.machines, Seed: p.seed, Day: from})
	if err != nil {
		return err
	}
	var own *process
	var logins [2]identity.Token
	var filled *filler
	switch {
	case p.night:
		own, logins, filled, err = a.openNight(ctx, p, fleet)
	case p.login == "":
		own, logins, err = openProcess(ctx, p)
	default:
		logins, err = loginsOf(p)
	}
	if err != nil {
		return err
	}
	if own != nil {
		defer func() { err = errors.Join(err, own.close()) }()
	}
	d, err := newDriver(ctx, fleet, logins, p, own, newProgress(a.err))
	if err != nil {
		return err
	}
	defer d.close()
	if filled != nil {
		d.take(filled)
		err = d.night(ctx, release)
	} else {
		err = d.live(ctx, p.days, release)
	}
	if ctx.Err() != nil {
		err = errors.Join(errors.New("interrupted: the table is of what was done by then"), d.problem())
	}
	res, e := d.result(context.WithoutCancel(ctx), p, err == nil)
	return errors.Join(err, e, a.tell(p.json, res))
}

func loginsOf(p plan) (logins [2]identity.Token, err error) {
	if logins[0], err = cmdline.LoadLogin(p.login); err == nil && p.second != "" {
		logins[1], err = cmdline.LoadLogin(p.second)
	}
	return logins, err
}

// printable is a result that has a table.
type printable interface{ print(io.Writer) error }

// tell writes the table, and JSON to where it is wanted.
func (a *app) tell(file string, res printable) error {
	if file == "-" {
		return document(a.out, res)
	}
	if err := res.print(a.out); err != nil {
		return err
	}
	if file == "" {
		return nil
	}
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return errors.Join(document(f, res), f.Close())
}

// settle is how long the own server may take to end.
const settle = 2 * time.Minute
