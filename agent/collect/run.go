package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"rollcall/internal/fact"
)

// atOnce is how many collectors run at the same time. They mostly wait for the
// kernel; more would only raise the peak of memory.
const atOnce = 3

// Runner runs collectors and remembers which of them hang, so that a collector
// that is stuck in the kernel is never started a second time. The zero value is
// ready; a Runner must not be copied.
type Runner struct {
	mu    sync.Mutex
	stuck map[string]bool
}

// Run looks at the host once with a new Runner and no memory: event-like facts
// count at once. It is for programs that look once and end.
func Run(ctx context.Context, h Host, collectors []Collector) Result {
	return new(Runner).Run(ctx, h, collectors, Memory{})
}

// Run runs every collector in its own goroutine, at most three at once, and
// waits for each until its time is up or ctx has ended. A goroutine that does
// not return by then is left behind, since nothing can end a system call that
// hangs: its collector is reported as timed out with what it got, in this run
// and in every later one until the goroutine has returned.
//
// The memory is that of the run before; it decides about event-like and bucketed
// facts.
func (r *Runner) Run(ctx context.Context, h Host, collectors []Collector, m Memory) Result {
	if f, ok := h.FS.(interface{ Refresh() error }); ok {
		if err := f.Refresh(); err != nil {
			return refused(collectors, err, m)
		}
	}
	if h.Cache == nil {
		h.Cache = &Cache{}
	}
	outcomes := make([]outcome, len(collectors))
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, c := range collectors {
		slots <- struct{}{}
		wg.Go(func() {
			outcomes[i] = r.one(ctx, h, c)
			<-slots
		})
	}
	wg.Wait()
	return assemble(outcomes, m)
}

// outcome is what one collector's run gave.
type outcome struct {
	status   Status
	facts    []fact.Fact
	measured []fact.Fact
	events   []Event
}

// refused is the result when the root itself cannot be looked at.
func refused(collectors []Collector, err error, m Memory) Result {
	outcomes := make([]outcome, len(collectors))
	for i, c := range collectors {
		outcomes[i].status = Status{Name: c.Name, Owns: c.Owns, State: Failed, Detail: fact.Value(err.Error())}
	}
	return assemble(outcomes, m)
}

// one runs a single collector until it returns or its time is up.
func (r *Runner) one(ctx context.Context, h Host, c Collector) outcome {
	status := Status{Name: c.Name, Owns: c.Owns}
	if err := ctx.Err(); err != nil {
		status.State, status.Detail = TimedOut, "not started: "+err.Error()
		return outcome{status: status}
	}
	if !r.claim(c.Name) {
		status.State, status.Detail = TimedOut, "an earlier run has not returned yet"
		return outcome{status: status}
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Timeout, DefaultTimeout))
	defer cancel()
	start := h.Now()
	sink := &Sink{collector: c}
	done := make(chan error, 1)
	go func() {
		err := guarded(ctx, h, c, sink)
		r.release(c.Name)
		done <- err
	}()
	select {
	case err := <-done:
		status.State, status.Detail = judge(err, sink)
	case <-ctx.Done():
		status.State, status.Detail = TimedOut, "did not return in time"
	}
	status.Took = h.Now().Sub(start)
	o := outcome{status: status}
	o.facts, o.measured, o.events = sink.close()
	return o
}

// guarded turns a panic over foreign data into an error: one collector's bug
// must not silence the whole agent.
func guarded(ctx context.Context, h Host, c Collector, s *Sink) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("collector %s: panic: %v", c.Name, p)
		}
	}()
	return c.Collect(ctx, h, s)
}

func judge(err error, s *Sink) (State, string) {
	switch {
	case err == nil:
		return s.verdict()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return TimedOut, fact.Value(err.Error())
	case Absent(err):
		return NotHere, ""
	case errors.Is(err, fs.ErrPermission):
		return NoPermission, fact.Value(err.Error())
	}
	return Failed, fact.Value(err.Error())
}

func (r *Runner) claim(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stuck[name] {
		return false
	}
	if r.stuck == nil {
		r.stuck = map[string]bool{}
	}
	r.stuck[name] = true
	return true
}

func (r *Runner) release(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.stuck, name)
}

// assemble sorts what was found into facts and measurements by their class.
func assemble(outcomes []outcome, m Memory) Result {
	var res Result
	var facts, measured []fact.Fact
	for _, o := range outcomes {
		res.Status = append(res.Status, o.status)
		facts = append(facts, o.facts...)
		measured = append(measured, o.measured...)
		res.Events = append(res.Events, o.events...)
	}
	slices.SortStableFunc(res.Events, func(a, b Event) int { return a.At.Compare(b.At) })
	facts, volatile, memory := classify(facts, res.Status, m)
	res.Facts = fact.NewSet(ordered(facts))
	res.Measurements = fact.NewSet(append(measured, volatile...))
	res.Memory = memory
	return res
}
