package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/sim"
)

// match is what peer was asked for.
type match struct {
	machines, clients int
	seed              uint64
	url               string
	pids              []int
	program           string
	json              string
	each              time.Duration
}

func (a *app) peerCommand() *cobra.Command {
	var m match
	c := &cobra.Command{
		Use:   "peer",
		Short: "Give PuppetDB and Rollcall the same fleet and the same questions",
		Long: `Brings the same simulated machines to a PuppetDB that runs and to a Rollcall server
of its own, one after the other: all facts of each machine, then the night of a point
release. Then it asks both the same questions, each in the words that it has for
them, and prints what both took. 'make bench-peer' installs and starts a PuppetDB
with a PostgreSQL for it.

PuppetDB gets its commands in clear text over connections that stay open, and only
facts; a night of updates is all facts of each machine anew, as it knows no other way.
Rollcall gets signed reports over a TLS connection for each, with the contents of
/etc, keeps every earlier state and writes its git mirror meanwhile. Versions are asked for equality: PuppetDB knows no
order of Debian's versions.

Memory is that of all processes, shared memory counted once.

The JSON of --json: {"version", "machines", "seed", "clients", "phases": [{"name",
"rollcall": {"count", "seconds", "cpu_seconds"}, "puppetdb": {…}}], "questions":
[{"name", "rollcall": {"question", "found", "median_ms", "p99_ms"}, "puppetdb": {…}}],
"memory": {"rollcall_bytes", "puppetdb_bytes"}}.`,
		Example: `  rollcall-bench peer --machines 200 --puppetdb http://127.0.0.1:8080 --process 4711 --process 4712`,
		Args:    cmdline.Exactly(),
		RunE:    func(c *cobra.Command, _ []string) error { return a.peer(c.Context(), m) },
	}
	f := c.Flags()
	f.IntVar(&m.machines, "machines", 2000, "`NUMBER` of machines, servers included")
	f.Uint64Var(&m.seed, "seed", 1, "`NUMBER` that decides the fleet")
	f.IntVar(&m.clients, "clients", 64, "`NUMBER` of machines that speak at the same time")
	f.StringVar(&m.url, "puppetdb", "http://127.0.0.1:8080", "`URL` of a PuppetDB that is empty")
	f.IntSliceVar(&m.pids, "process", nil, "`PID` of a process of PuppetDB or PostgreSQL, whose memory and time are counted, with its children; can be given several times")
	f.DurationVar(&m.each, "each", 2*time.Second, "so long each question is asked again and again, once at least")
	f.StringVar(&m.program, "server-program", "", "rollcall-server as a `FILE`; empty: beside this program, else in PATH")
	f.StringVar(&m.json, "json", "", "write the results as JSON to this `FILE`; -: to standard output, without the table")
	return c
}

// from is the virtual day of the first facts, three days before the point release
// of Debian 12.10; both are in the data.
const peerFrom = "2025-03-12"

func (m match) fleet() (f *sim.Fleet, release sim.Day, err error) {
	p := plan{machines: m.machines, clients: m.clients, from: peerFrom}
	from, release, err := p.check()
	if err != nil {
		return nil, 0, err
	}
	f, err = sim.New(sim.Options{Machines: m.machines, Seed: m.seed, Day: from})
	return f, release, err
}

func (a *app) peer(ctx context.Context, m match) error {
	res := matchResult{Version: version, Machines: m.machines, Seed: m.seed, Clients: m.clients}
	if err := a.playPuppetDB(ctx, m, &res); err != nil {
		return err
	}
	if err := a.playRollcall(ctx, m, &res); err != nil {
		return err
	}
	return a.tell(m.json, res)
}

// playPuppetDB brings the fleet to PuppetDB and asks.
func (a *app) playPuppetDB(ctx context.Context, m match, res *matchResult) error {
	fleet, release, err := m.fleet()
	if err != nil {
		return err
	}
	p := &puppetDB{base: m.url, pids: m.pids, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: m.clients}}}
	defer p.client.CloseIdleConnections()
	if n, err := p.ask(ctx, "nodes[certname]{}"); err != nil || n != 0 {
		return errors.Join(err, fmt.Errorf("the PuppetDB at %s has %d nodes: it must run and be empty", m.url, n))
	}
	d := &driver{fleet: fleet, clients: m.clients, show: newProgress(a.err)}
	bring := func(name string, numbers []int) error {
		_, before, err := usageOf(m.pids)
		if err != nil {
			return err
		}
		if err := d.each(ctx, name, numbers, func(ctx context.Context, _ *phase, i int) (int, error) { return p.replaceFacts(ctx, fleet, i) }); err != nil {
			return err
		}
		_, after, err := usageOf(m.pids)
		ph := d.phases[len(d.phases)-1]
		res.phase(name).PuppetDB = side{Count: len(ph.latencies), Seconds: ph.took.Seconds(), CPU: (after - before).Seconds()}
		return err
	}
	if err := bring(firstFacts, d.all(func(int) bool { return true })); err != nil {
		return err
	}
	var changed []int
	fleet.AdvanceAll(release, func(i int) { changed = append(changed, i) })
	if err := bring(releaseNight, changed); err != nil {
		return err
	}
	for _, q := range duel(fleet) {
		answer := ask(ctx, question{name: q.name, words: q.pql, ask: func(ctx context.Context, _ operator) (reply, error) {
			found, err := p.ask(ctx, q.pql)
			return reply{found: found}, err
		}}, operator{}, m.each)
		a.say("PuppetDB, %s: %.2f ms%s", q.name, answer.MedianMS, answer.Problem)
		res.question(q.name).PuppetDB = sideOf(answer)
	}
	res.Memory.PuppetDB, _, err = usageOf(m.pids)
	return err
}

// playRollcall does the same with a server of our own.
func (a *app) playRollcall(ctx context.Context, m match, res *matchResult) (err error) {
	fleet, release, err := m.fleet()
	if err != nil {
		return err
	}
	p := plan{machines: m.machines, seed: m.seed, clients: m.clients, program: m.program, net: "127.0.0.0/8"}
	own, logins, err := openProcess(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.close()) }()
	d, err := newDriver(ctx, fleet, logins, p, own, newProgress(a.err))
	if err != nil {
		return err
	}
	defer d.close()
	for _, step := range []func(context.Context) error{
		d.foundSites, d.enrolAll, d.firstReports, func(ctx context.Context) error { return d.pointRelease(ctx, release) },
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	for _, ph := range d.phases {
		name, ok := map[string]string{
			"enrolment": firstFacts, "first reports, first of a kind": firstFacts, "first reports": firstFacts, "point release": releaseNight,
		}[ph.name]
		if !ok {
			continue
		}
		to := &res.phase(name).Rollcall
		to.Seconds += ph.took.Seconds()
		to.CPU += (ph.after.cpu - ph.before.cpu).Seconds()
		if ph.name != "enrolment" {
			to.Count += len(ph.latencies)
		}
	}
	return a.askRollcall(ctx, m, d, res)
}

func (a *app) askRollcall(ctx context.Context, m match, d *driver, res *matchResult) error {
	for {
		s, err := d.office.ready(ctx, d.alive)
		if err != nil {
			return err
		}
		if s.GetMirrorBacklog() == 0 {
			break
		}
		a.say("the git mirror is %d revisions behind", s.GetMirrorBacklog())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Second):
		}
	}
	for _, q := range duel(d.fleet) {
		answer := ask(ctx, question{name: q.name, words: q.words, ask: q.rollcall}, d.office.first, m.each)
		a.say("Rollcall, %s: %.2f ms%s", q.name, answer.MedianMS, answer.Problem)
		res.question(q.name).Rollcall = sideOf(answer)
	}
	var err error
	res.Memory.Rollcall, _, err = usageOf([]int{d.own.command.Process.Pid})
	return err
}

const (
	firstFacts   = "first facts of all machines"
	releaseNight = "night of a point release"
)

func (r *matchResult) phase(name string) *matchPhase {
	i := slices.IndexFunc(r.Phases, func(p matchPhase) bool { return p.Name == name })
	if i < 0 {
		r.Phases = append(r.Phases, matchPhase{Name: name})
		i = len(r.Phases) - 1
	}
	return &r.Phases[i]
}

func (r *matchResult) question(name string) *matchQuestion {
	i := slices.IndexFunc(r.Questions, func(q matchQuestion) bool { return q.Name == name })
	if i < 0 {
		r.Questions = append(r.Questions, matchQuestion{Name: name})
		i = len(r.Questions) - 1
	}
	return &r.Questions[i]
}
