package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"rollcall/internal/identity"

	"google.golang.org/grpc/status"
)

// asked is the JSON document of questions; its help describes it.
type asked struct {
	Version   string        `json:"version"`
	Fleet     fleetAbout    `json:"fleet"`
	Server    askedServer   `json:"server"`
	Questions []askedResult `json:"questions"`
}

type askedServer struct {
	Answers   float64 `json:"answers_seconds"`
	Index     float64 `json:"index_seconds"`
	Made      float64 `json:"index_made_seconds"`
	IndexSize float64 `json:"index_bytes"`
	Heap      float64 `json:"heap_live_bytes"`
	Private   uint64  `json:"private_bytes"`
	RSS       uint64  `json:"rss_bytes"`
	Peak      uint64  `json:"peak_rss_bytes"`
	Store     uint64  `json:"store_bytes"`
	CPU       float64 `json:"cpu_seconds"`
}

type askedResult struct {
	Name     string  `json:"name"`
	Question string  `json:"question"`
	Count    int     `json:"count"`
	Found    int     `json:"found"`
	MedianMS float64 `json:"median_ms"`
	P99MS    float64 `json:"p99_ms"`
	ServerMS float64 `json:"server_ms"`
	BarMS    float64 `json:"bar_ms"`
	Problem  string  `json:"problem,omitempty"`
}

// measure starts the server and asks.
func (a *app) measure(ctx context.Context, q inquiry, s *stock) (res asked, err error) {
	res = asked{Version: version, Fleet: s.about}
	if err := s.hear(ctx, q.seed, time.Now()); err != nil {
		return res, err
	}
	office, err := openOffice([2]identity.Token{s.login}, "")
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, office.close()) }()
	a.say("starting the server")
	began := time.Now()
	if err := s.start(); err != nil {
		return res, err
	}
	if _, err := office.ready(ctx, s.alive); err != nil {
		return res, err
	}
	res.Server.Answers = time.Since(began).Seconds()
	if err := s.indexed(ctx); err != nil {
		return res, err
	}
	res.Server.Index = time.Since(began).Seconds()
	a.say("the index answers after %.1f s", res.Server.Index)
	list := s.list()
	shipped, err := reports(ctx, office.first)
	if err != nil {
		return res, err
	}
	for _, one := range append(list, shipped...) {
		if !strings.HasPrefix(one.name, q.only) {
			continue
		}
		r := ask(ctx, one, office.first, q.each)
		if ctx.Err() != nil {
			return res, errors.Join(errors.New("interrupted: the table is of what was asked by then"), s.figures(context.WithoutCancel(ctx), &res.Server))
		}
		a.say("%s: %.2f ms%s", r.Name, r.MedianMS, r.Problem)
		res.Questions = append(res.Questions, r)
		if err := s.alive(); err != nil {
			return res, err
		}
	}
	return res, s.figures(ctx, &res.Server)
}

// askTimeout is more than a server lets any question take.
const askTimeout = 2 * time.Minute

// ask asks one question for some time, after once that does not count if there is
// time for more.
func ask(ctx context.Context, q question, o operator, most time.Duration) askedResult {
	r := askedResult{Name: q.name, Question: q.words, BarMS: q.bar}
	var took, server []time.Duration
	for began := time.Now(); len(took) < 2 || time.Since(began) < most && len(took) < 500; {
		call, stop := context.WithTimeout(ctx, askTimeout)
		start := time.Now()
		answer, err := q.ask(call, o)
		stop()
		took = append(took, time.Since(start))
		if err != nil {
			r.Problem = " (" + status.Convert(err).Message() + ")"
			break
		}
		r.Found = answer.found
		server = append(server, answer.server)
		if time.Since(began) > most {
			break
		}
	}
	if len(took) > 2 {
		took, server = took[1:], server[1:]
	}
	r.Count, r.MedianMS, r.P99MS, r.ServerMS = len(took), ms(quantile(took, 0.5)), ms(quantile(took, 0.99)), ms(quantile(server, 0.5))
	return r
}

// indexed waits until the index is made.
func (s *stock) indexed(ctx context.Context) error {
	for {
		figures, err := s.scrape(ctx)
		if err == nil && figures["rollcall_index_bytes"] > 0 {
			return nil
		}
		if err := errors.Join(ctx.Err(), s.alive()); err != nil {
			return err
		}
		time.Sleep(time.Second) // it costs the server something to be asked
	}
}

// figures reads what the server takes.
func (s *stock) figures(ctx context.Context, to *askedServer) error {
	u, err := s.usage(false)
	if err != nil {
		return err
	}
	to.Private, to.RSS, to.Peak, to.Store, to.CPU = u.private, u.rss, u.peak, u.store, u.cpu.Seconds()
	f, err := s.scrape(ctx)
	to.Made, to.IndexSize, to.Heap = f["rollcall_index_made_seconds"], f["rollcall_index_bytes"], f["go_gc_heap_live_bytes"]
	return err
}

// scrape reads the server's figures for Prometheus, those without labels.
func (s *stock) scrape(ctx context.Context) (map[string]float64, error) {
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.metrics+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read the server's figures: %w", err)
	}
	defer resp.Body.Close()
	out := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			out[name] = v
		}
	}
	return out, lines.Err()
}

// print writes the table.
func (r asked) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "question\ttimes\tfound\tmedian ms\tp99 ms\tserver ms\tbar ms\t\t")
	for _, q := range r.Questions {
		server, bar, verdict := "-", "-", ""
		if q.ServerMS > 0 {
			server = strconv.FormatFloat(q.ServerMS, 'f', 2, 64)
		}
		if q.BarMS > 0 {
			bar = strconv.FormatFloat(q.BarMS, 'f', 0, 64)
			took := q.MedianMS
			if q.ServerMS > 0 {
				took = q.ServerMS
			}
			if verdict = "met"; took > q.BarMS || q.Problem != "" {
				verdict = "missed"
			}
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%.2f\t%.2f\t%s\t%s\t%s\t\n", q.Name, q.Count, q.Found, q.MedianMS, q.P99MS, server, bar, verdict)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	for _, q := range r.Questions {
		if q.Problem != "" {
			fmt.Fprintf(out, "%s: no answer%s\n", q.Name, q.Problem)
		}
	}
	f, s := r.Fleet, r.Server
	fmt.Fprintf(out, "\n%d machines, seed %d, %d revisions over %d days, written in %.0f s; store: %s\n", f.Machines, f.Seed, f.Revisions, f.Past, f.Seconds, size(float64(s.Store)))
	fmt.Fprintf(out, "start: first answer after %.2f s, the index after %.2f s (made in %.2f s)\n", s.Answers, s.Index, s.Made)
	_, err := fmt.Fprintf(out, "memory: index %s, live heap %s, process %s of its own, %s with the store's file, %s at its peak\n",
		size(s.IndexSize), size(s.Heap), size(float64(s.Private)), size(float64(s.RSS)), size(float64(s.Peak)))
	return err
}
