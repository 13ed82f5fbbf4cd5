package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
	"rollcall/internal/sim"
)

// inquiry is what questions was asked for.
type inquiry struct {
	machines, past, days int
	seed                 uint64
	program, folder      string
	json, only           string
	fillOnly             bool
	each                 time.Duration
}

func (a *app) questionsCommand() *cobra.Command {
	var q inquiry
	c := &cobra.Command{
		Use:   "questions",
		Short: "Fill a store with a fleet, and measure what questions take",
		Long: `Writes a fleet of simulated machines straight into the store of a new server:
first what each machine is, some time ago, then what has changed on some days since.
Nothing is sent or signed, and there is no git mirror: the store is good for
questions and for nothing else. Then it starts the server on it, and asks over gRPC
and TLS: filters, comparisons and all shipped reports, each again and again for
some time. It prints a table with medians and 99th percentiles, how long the server
took until it answered, and what memory it took.

A --data folder is kept. If it holds the same fleet already, nothing is written: so
filling and measuring can be done apart. The same seed gives the same fleet.

The column "server ms" is what the conditions of a filter took in the server, as it
tells with --explain; "call ms" are of whole calls, as an operator's program sees
them.

The JSON of --json: {"version", "fleet": {"machines", "seed", "past", "days",
"revisions", "fill_seconds"}, "server": {"answers_seconds", "index_seconds",
"index_made_seconds", "index_bytes", "heap_live_bytes", "private_bytes",
"rss_bytes", "peak_rss_bytes", "store_bytes", "cpu_seconds"}, "questions": [{"name", "question",
"count", "found", "median_ms", "p99_ms", "server_ms", "bar_ms", "problem"}]}.
"answers_seconds" is from the start of the process to the first answer to an
operator, "index_seconds" until the index answers too.`,
		Example: `  rollcall-bench questions --machines 1000
  rollcall-bench questions --machines 100000 --data /var/tmp/fleet --fill-only
  rollcall-bench questions --machines 100000 --data /var/tmp/fleet --json run.json`,
		Args: cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.questions(c.Context(), q) },
	}
	f := c.Flags()
	f.IntVar(&q.machines, "machines", 1000, "`NUMBER` of machines, servers included")
	f.Uint64Var(&q.seed, "seed", 1, "`NUMBER` that decides the fleet")
	f.IntVar(&q.past, "past", 400, "`NUMBER` of virtual days between the first reports and the last day")
	f.IntVar(&q.days, "days", 6, "`NUMBER` of days of which changes are recorded: half of them spread over the past, half at its end")
	f.StringVar(&q.folder, "data", "", "`FOLDER` for server and fleet, which is kept; empty: a temporary one")
	f.BoolVar(&q.fillOnly, "fill-only", false, "fill the folder and measure nothing")
	f.DurationVar(&q.each, "each", 2*time.Second, "so long each question is asked again and again, once at least")
	f.StringVar(&q.only, "only", "", "ask only questions whose name begins with this `TEXT`")
	f.StringVar(&q.program, "server-program", "", "rollcall-server as a `FILE`; empty: beside this program, else in PATH")
	f.StringVar(&q.json, "json", "", "write the results as JSON to this `FILE`; -: to standard output, without the table")
	return c
}

func (q inquiry) check() error {
	switch {
	case q.machines < 1 || q.machines > sim.MaxMachines:
		return cmdline.Usagef("--machines %d: want 1 to %d", q.machines, sim.MaxMachines)
	case q.past < 1 || q.past > int(sim.LastDay):
		return cmdline.Usagef("--past %d: want 1 to %d, the days that there is data of", q.past, sim.LastDay)
	case q.days < 0 || q.days > q.past:
		return cmdline.Usagef("--days %d: want 0 to %d, as many as the past has", q.days, q.past)
	case q.fillOnly && q.folder == "":
		return cmdline.Usagef("--fill-only: name the folder to fill with --data FOLDER")
	}
	return nil
}

func (a *app) questions(ctx context.Context, q inquiry) (err error) {
	if err := q.check(); err != nil {
		return err
	}
	s, err := a.stock(ctx, q)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if q.fillOnly {
		return nil
	}
	res, err := a.measure(ctx, q, s)
	if len(res.Questions) > 0 {
		err = errors.Join(err, a.tell(q.json, res))
	}
	return err
}

// stock is a server's folder with a fleet in it.
type stock struct {
	*process
	login identity.Token
	fleet *sim.Fleet // as of the last day
	about fleetAbout
}

// stock opens a folder that holds the fleet, or makes one.
func (a *app) stock(ctx context.Context, q inquiry) (*stock, error) {
	if q.folder != "" {
		if _, err := os.Stat(q.folder); err == nil {
			return openStock(q)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open folder of the fleet: %w", err)
		}
	}
	return a.newStock(ctx, q)
}

// recorded are the days as of which the fleet is written, the first one first.
func (q inquiry) recorded() (days []sim.Day) {
	last := int(sim.LastDay)
	first := last - q.past
	days = append(days, sim.Day(first))
	atEnd := (q.days + 1) / 2
	for i := range q.days - atEnd {
		days = append(days, sim.Day(first+(i+1)*(q.past-atEnd)/(q.days-atEnd+1)))
	}
	for i := range atEnd {
		days = append(days, sim.Day(last-atEnd+1+i))
	}
	return days
}
