package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"rollcall/agent"
	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) puzzlesCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "puzzles DIR",
		Short: "Answer a folder of cases of broken and working machines",
		Long: `Reads the cases DIR/P00, DIR/P01, … and asks of each what differs between its
broken and its working machines. Each case gets a server of its own; every
machine enrols and reports its tree with the agent's own collectors, in time
order; then the server is asked to compare, as "rollcall compare" does.

A case holds groups.json (asked_at, incident {since}, broken, working, hosts
{NAME: {site}}) and the machines as full trees in hosts/NAME, or in several
hosts/NAME@TIME if they have a past. No other file of a case is read.

The answers go to DIR/answers.json:
{"P01": {"verdict": "cause"|"none", "candidates": [{"ids": [...], "score": N}, …]}, …}`,
		Example: "  rollcall-bench puzzles /tmp/cases\n  rollcall-bench puzzles /tmp/cases --out /tmp/answers.json",
		Args:    cmdline.Exactly("DIR"),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				out = filepath.Join(args[0], "answers.json")
			}
			return a.puzzles(c.Context(), args[0], out)
		},
	}
	c.Flags().StringVar(&out, "out", "", "`FILE` for the answers (default DIR/answers.json)")
	return c
}

// answer is what is said of one case.
type answer struct {
	Verdict    string      `json:"verdict"`
	Candidates []candidate `json:"candidates"`
}

// candidate is one line that the operator would read.
type candidate struct {
	IDs   []string `json:"ids"`
	Score float64  `json:"score"`
	What  string   `json:"what"`
	Why   string   `json:"why"`
}

func (a *app) puzzles(ctx context.Context, dir, out string) error {
	cases, err := loadCases(dir)
	if err != nil {
		return err
	}
	answers := map[string]answer{}
	var machines int
	var reported, compared time.Duration
	for _, c := range cases {
		start := time.Now()
		got, took, err := a.play(ctx, c)
		if err != nil {
			return fmt.Errorf("case %s: %w", c.name, err)
		}
		answers[c.name] = got
		n := len(c.broken) + len(c.working)
		machines, compared, reported = machines+n, compared+took, reported+time.Since(start)-took
		first := "nothing differs"
		if got.Verdict == "cause" && len(got.Candidates) > 0 {
			first = got.Candidates[0].What
		}
		a.say("%s  %3d machines  enrol and report %6s  compare %6s  %s", c.name, n, short(time.Since(start)-took), short(took), first)
	}
	a.say("%d cases, %d machines: enrol and report %s, compare %s", len(cases), machines, short(reported), short(compared))
	f, err := os.Create(out)
	if err != nil {
		return fmt.Errorf("write answers: %w", err)
	}
	return errors.Join(document(f, answers), f.Close())
}

func short(d time.Duration) string { return d.Round(time.Millisecond).String() }

// play answers one case.
func (a *app) play(ctx context.Context, c testCase) (got answer, took time.Duration, err error) {
	dir, err := os.MkdirTemp("", "rc")
	if err != nil {
		return got, 0, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	h, err := openHouse(ctx, dir, c.looks[0].at)
	if err != nil {
		return got, 0, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	p := player{asks: c, house: h, dir: dir, looks: map[string]int{}, sniffer: &a.sniffer, ids: map[string]string{}}
	for _, l := range c.looks {
		p.looks[l.host]++
	}
	if err := p.fill(ctx); err != nil {
		return got, 0, err
	}
	start := time.Now()
	reply, err := p.compare(ctx)
	if err != nil {
		return got, 0, err
	}
	return answerOf(reply), time.Since(start), nil
}

func answerOf(reply *rollcallv1.CompareReply) answer {
	out := answer{Verdict: "none", Candidates: []candidate{}}
	if reply.GetDiffers() {
		out.Verdict = "cause"
	}
	for _, r := range reply.GetRows() {
		out.Candidates = append(out.Candidates, candidate{IDs: r.GetIds(), Score: r.GetScore(), What: r.GetWhat(), Why: r.GetWhy()})
	}
	return out
}

// player brings the machines of a case to its server.
type player struct {
	asks  testCase
	house *house
	dir   string
	looks map[string]int // how many there are of each machine

	sniffer *sniffer

	mu  sync.Mutex
	ids map[string]string // CI of each machine
}

// fill enrols every machine and lets each report its trees in the order of time.
func (p *player) fill(ctx context.Context) error {
	if err := p.makeSites(ctx); err != nil {
		return err
	}
	for looks := p.asks.looks; len(looks) > 0; {
		n := 1
		for n < len(looks) && looks[n].at.Equal(looks[0].at) {
			n++
		}
		p.house.setClock(looks[0].at)
		if err := p.enrol(ctx, looks[:n]); err != nil {
			return err
		}
		if err := p.report(ctx, looks[:n]); err != nil {
			return err
		}
		looks = looks[n:]
	}
	p.house.setClock(p.asks.asked)
	return nil
}

// makeSites records every site of the case, and the sites above it.
func (p *player) makeSites(ctx context.Context) error {
	made := map[string]bool{}
	for _, name := range slices.Concat(p.asks.broken, p.asks.working) {
		path := ""
		for part := range strings.SplitSeq(siteOf(p.asks.sites[name]), "/") {
			path = strings.TrimPrefix(path+"/"+part, "/")
			if made[path] {
				continue
			}
			made[path] = true
			if _, err := p.house.SetSite(ctx, &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: path}}); err != nil {
				return fmt.Errorf("make site %s: %w", path, err)
			}
		}
	}
	return nil
}

// siteOf gives a machine without a site one.
func siteOf(site string) string {
	if site == "" {
		return "nowhere"
	}
	return site
}

// atOnce is how many machines work at a time: a look is mostly computing, an
// exchange mostly waiting.
func atOnce() int { return 2 * runtime.NumCPU() }

func (p *player) each(ctx context.Context, looks []look, do func(context.Context, look) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce())
	for _, l := range looks {
		g.Go(func() error {
			if err := do(ctx, l); err != nil {
				return fmt.Errorf("machine %s: %w", l.host, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// enrol admits the machines that are not known yet.
func (p *player) enrol(ctx context.Context, looks []look) error {
	return p.each(ctx, looks, func(ctx context.Context, l look) error {
		if p.id(l.host) != "" {
			return nil
		}
		token, err := p.house.token(ctx, siteOf(p.asks.sites[l.host]), l.host)
		if err != nil {
			return err
		}
		admission, err := agent.Enrol(ctx, p.config(l), version, token, nil)
		if err != nil {
			return err
		}
		if admission.Pending {
			return fmt.Errorf("it has to be approved: %s", admission.Note)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ids[l.host] = admission.CI
		return nil
	})
}

func (p *player) id(host string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ids[host]
}

func (p *player) config(l look) agent.Config {
	c := agent.Default()
	c.Root, c.State = l.tree, filepath.Join(p.dir, "state", l.host)
	c.InMemory = p.looks[l.host] == 1 // nothing has to be kept for the next look
	return c
}

// report lets each machine look at its tree once, as "rollcall-agent once" does.
func (p *player) report(ctx context.Context, looks []look) error {
	return p.each(ctx, looks, func(ctx context.Context, l look) error {
		ag, err := agent.Open(p.config(l), agent.Deps{Now: p.house.clock, Version: version, Sniff: p.sniffer.sniff})
		if err != nil {
			return err
		}
		sum, err := ag.Once(ctx, "manual")
		if err = errors.Join(err, ag.Close()); err != nil {
			return err
		}
		if sum.Problem != "" {
			return fmt.Errorf("the report was not taken: %s", sum.Problem)
		}
		return nil
	})
}

func (p *player) compare(ctx context.Context) (*rollcallv1.CompareReply, error) {
	filter := func(names []string) string {
		ids := make([]string, len(names))
		for i, n := range names {
			ids[i] = p.ids[n]
		}
		return "ci in (" + strings.Join(ids, ", ") + ")"
	}
	req := &rollcallv1.CompareRequest{Broken: filter(p.asks.broken), Working: filter(p.asks.working), Limit: 200}
	if !p.asks.onset.IsZero() {
		req.OnsetMs = p.asks.onset.UnixMilli()
	}
	reply, err := p.house.Compare(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	return reply, nil
}
