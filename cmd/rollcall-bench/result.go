package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// result is the JSON document of simulate; its help describes it.
type result struct {
	Version  string        `json:"version"`
	Machines int           `json:"machines"`
	Seed     uint64        `json:"seed"`
	From     string        `json:"from"`
	Clients  int           `json:"clients"`
	Complete bool          `json:"complete"`
	Phases   []phaseResult `json:"phases"`
	Server   serverResult  `json:"server"`
}

type phaseResult struct {
	Name      string  `json:"name"`
	Count     int     `json:"count"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	MedianMS  float64 `json:"median_ms"`
	P99MS     float64 `json:"p99_ms"`
	Refused   int     `json:"refused"`
	Failed    int     `json:"failed"`
	Waiting   int     `json:"waiting"`
	Facts     int     `json:"facts"`
	ServerUS  float64 `json:"server_us"`
	Store     int64   `json:"store_bytes"`
}

type serverResult struct {
	RSS        uint64  `json:"rss_bytes"`
	Peak       uint64  `json:"peak_rss_bytes"`
	CPU        float64 `json:"cpu_seconds"`
	Store      uint64  `json:"store_bytes"`
	Mirror     uint64  `json:"mirror_bytes"`
	Backlog    uint64  `json:"mirror_backlog"`
	PerMachine float64 `json:"store_per_machine"`
	GrowthYear float64 `json:"growth_per_machine_year"`
}

func (p *phase) result() phaseResult {
	r := phaseResult{
		Name: p.name, Count: max(p.count, len(p.latencies)), Seconds: p.took.Seconds(), MedianMS: ms(p.quantile(0.5)), P99MS: ms(p.quantile(0.99)),
		Refused: p.refused, Failed: p.failed, Waiting: p.waiting, Facts: p.facts, Store: int64(p.after.store) - int64(p.before.store),
	}
	if r.Count > 0 && p.took > 0 {
		r.PerSecond = float64(r.Count) / p.took.Seconds()
		r.ServerUS = float64((p.after.cpu - p.before.cpu).Microseconds()) / float64(r.Count)
	}
	return r
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// print writes the table.
func (r result) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "phase\tcount\tseconds\t/s\tmedian ms\tp99 ms\trefused\tfailed\twaiting\tfacts\tserver µs\tstore\t")
	for _, p := range r.Phases {
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%.0f\t%s\t%s\t%d\t%d\t%d\t%d\t%.0f\t%s\t\n",
			p.Name, p.Count, p.Seconds, p.PerSecond, known(p.MedianMS), known(p.P99MS), p.Refused, p.Failed, p.Waiting, p.Facts, p.ServerUS, size(float64(p.Store)))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	s := r.Server
	fmt.Fprintf(out, "\n%d machines, seed %d, from %s, %d clients\n", r.Machines, r.Seed, r.From, r.Clients)
	if s.RSS > 0 {
		fmt.Fprintf(out, "server: %s in memory, %s at its peak, %.1f s of processor time\n", size(float64(s.RSS)), size(float64(s.Peak)), s.CPU)
	}
	growth := "too few days or machines to tell what a year adds: the file grows in steps"
	if s.GrowthYear > 0 {
		growth = fmt.Sprintf("an ordinary year adds %s a machine", size(s.GrowthYear))
	}
	fmt.Fprintf(out, "store: %s, %s a machine; %s\n", size(float64(s.Store)), size(s.PerMachine), growth)
	fmt.Fprintf(out, "mirror: %s, %d revisions behind\n", size(float64(s.Mirror)), s.Backlog)
	if !r.Complete {
		fmt.Fprintln(out, "incomplete: some phases are missing or cut off")
	}
	return nil
}

// known writes milliseconds, or that none were measured.
func known(ms float64) string {
	if ms == 0 {
		return "-"
	}
	return strconv.FormatFloat(ms, 'f', 1, 64)
}

// size writes bytes with three digits and a unit.
func size(n float64) string {
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if n < 1000 && n > -1000 || unit == "GB" {
			return strconv.FormatFloat(n, 'g', 3, 64) + " " + unit
		}
		n /= 1000
	}
	return ""
}

// fewSteps is the growth of the store in bytes below which nothing follows from it:
// bbolt lets its file grow by 16 MiB.
const fewSteps = 64 << 20

// remember looks at the server before it ends for the last time.
func (d *driver) remember() error {
	if d.own == nil {
		return nil
	}
	now, err := d.own.usage(true)
	d.last = now
	return err
}

// result gathers what there is.
func (d *driver) result(ctx context.Context, p plan, complete bool) (result, error) {
	r := result{Version: version, Machines: p.machines, Seed: p.seed, From: p.from, Clients: p.clients, Complete: complete}
	var err error
	if d.last.cpu == 0 {
		err = d.remember()
	}
	for _, ph := range d.phases {
		one := ph.result()
		r.Phases = append(r.Phases, one)
		if strings.HasSuffix(ph.name, "ordinary days") && one.Store >= fewSteps {
			r.Server.GrowthYear = float64(one.Store) / float64(p.machines) / float64(p.days) * 365
		}
	}
	s := &r.Server
	s.RSS, s.Peak, s.CPU, s.Store, s.Mirror = d.last.rss, d.last.peak, d.last.cpu.Seconds(), d.last.store, d.last.mirror
	if reply, serr := d.office.state(ctx); serr == nil {
		s.Backlog = reply.GetMirrorBacklog()
		if d.own == nil {
			s.Store = reply.GetStoreBytes()
		}
	} else {
		err = errors.Join(err, serr)
	}
	s.PerMachine = float64(s.Store) / float64(p.machines)
	return r, err
}
