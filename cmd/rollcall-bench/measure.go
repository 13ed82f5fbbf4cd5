package main

import (
	"slices"
	"sync"
	"time"
)

// phase is what one part of the life of the fleet took. Counting is safe for
// concurrent use.
type phase struct {
	name  string
	began time.Time
	took  time.Duration

	mu        sync.Mutex
	latencies []time.Duration // of exchanges that succeeded, their retries included
	count     int             // if it is not that of the latencies
	refused   int             // answers that said: not now
	failed    int             // machines that gave up
	waiting   int             // machines that wait for an operator, or for their seat
	facts     int             // that reports put or dropped
	problem   error           // the first one of those who gave up

	before, after usage
}

// done counts an exchange.
func (p *phase) done(took time.Duration, facts int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latencies = append(p.latencies, took)
	p.facts += facts
}

func (p *phase) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused++
}

func (p *phase) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting++
}

func (p *phase) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed++; p.problem == nil {
		p.problem = err
	}
}

// counts are for the line of progress.
func (p *phase) counts() (done, refused, failed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.latencies), p.refused, p.failed
}

// quantile gives the latency that a part of all exchanges did not exceed. It
// sorts them.
func (p *phase) quantile(q float64) time.Duration {
	return quantile(p.latencies, q)
}

func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(q*float64(len(all))))]
}
