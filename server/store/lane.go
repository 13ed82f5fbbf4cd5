package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// grace is how long a batch may go on after Run was told to end.
const grace = 5 * time.Second

// errWithdrawn answers a caller whose context ended while its operation had
// been put back.
var errWithdrawn = errors.New("withdrawn")

// request is an operation on its way through a lane.
type request struct {
	op    Op
	gone  <-chan struct{} // closed when the caller has given up
	done  chan outcome    // takes exactly one outcome unless withdrawn
	state atomic.Int32
}

// The states of a request. From queued it is either withdrawn by its caller or
// claimed by its lane; a lane that puts it back makes it queued again.
const (
	queued int32 = iota
	running
	withdrawn
)

type outcome struct {
	token Token
	err   error
}

func (r *request) withdraw() bool { return r.state.CompareAndSwap(queued, withdrawn) }
func (r *request) claim() bool    { return r.state.CompareAndSwap(queued, running) }

// lane is one sequential group-commit loop.
type lane struct {
	cfg   Config
	id    string
	n     uint64 // last number that is decided
	queue chan *request
	tell  sync.WaitGroup // answers under way
}

func newLane(c Config, id string) *lane {
	l := &lane{cfg: c, id: id, queue: make(chan *request, c.Queue)}
	if c.Feed != nil {
		c.Feed.adopt(id)
	}
	return l
}

// run works until ctx ends or the store is lost.
func (l *lane) run(ctx context.Context) error {
	defer l.tell.Wait()
	// A batch is finished although ctx has ended, but not for ever.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()

	var held []*request // ran out of a full batch: first in the next one
	for {
		batch := l.collect(ctx, held)
		if batch == nil {
			l.refuse(held)
			return nil
		}
		var err error
		if held, err = l.commit(work, batch); err != nil {
			l.refuse(held)
			return err
		}
	}
}

// collect waits for a first operation, then at most the linger for others: a
// loop that takes only what is there when a commit ends would find one or two
// callers, because the others are just being answered. Once it has enough it takes
// only what is there. It returns nil when ctx has ended.
func (l *lane) collect(ctx context.Context, held []*request) []*request {
	if ctx.Err() != nil {
		return nil
	}
	batch := held
	if len(batch) == 0 {
		select {
		case <-ctx.Done():
			return nil
		case r := <-l.queue:
			batch = append(batch, r)
		}
	}
	wait := max(l.cfg.Linger, 0)
	if len(held) > 0 {
		wait = 0 // they have waited, and the last batch was full
	}
	linger := time.NewTimer(wait)
	defer linger.Stop()
	for len(batch) < l.cfg.MaxBatch {
		select {
		case r := <-l.queue:
			batch = append(batch, r)
			continue
		default:
		}
		if len(batch) >= l.cfg.Enough { // to wait for all would leave them, and the processors, nothing to do while it commits
			return batch
		}
		select {
		case r := <-l.queue:
			batch = append(batch, r)
		case <-linger.C:
			return batch
		}
	}
	return batch
}

// refuse answers what is queued when the lane ends. A caller that comes later
// finds out by Writer.end.
func (l *lane) refuse(held []*request) {
	for {
		for _, r := range held {
			if r.claim() {
				r.done <- outcome{err: fmt.Errorf("write: %w: the writer has stopped", ErrClosed)}
			}
		}
		select {
		case r := <-l.queue:
			held = []*request{r}
		default:
			return
		}
	}
}

// commit runs one batch and answers its callers, except those that it returns
// as held because they did not fit. An error means that the lane cannot go on;
// all claimed callers have been answered then.
func (l *lane) commit(ctx context.Context, reqs []*request) (held []*request, err error) {
	claimed := reqs[:0:0]
	for _, r := range reqs {
		if r.claim() {
			claimed = append(claimed, r)
		}
	}
	if len(claimed) == 0 {
		return nil, nil
	}
	start := time.Now() // monotonic, for the figure only
	b := &batch{lane: l, n: l.n + 1, reqs: claimed}
	b.reset()
	err = l.cfg.Engine.Update(ctx, b.run)
	if errors.Is(err, ErrUnknown) {
		err = l.resolve(ctx, b, err)
	}
	switch {
	case err == nil:
		l.n = b.n
		l.report(b, time.Since(start))
		return l.finish(b), nil
	case errors.Is(err, errNothing):
		l.report(b, time.Since(start))
		return l.finish(b), nil
	case errors.Is(err, errVoid):
		l.n = b.n
		return requeue(claimed), nil
	}
	if l.cfg.Hooks.Failed != nil {
		l.cfg.Hooks.Failed(len(claimed), err)
	}
	if len(claimed) > 1 && (errors.Is(err, ErrLimit) || errors.Is(err, ErrCorrupt)) && !errors.Is(err, ErrBroken) {
		return l.oneByOne(ctx, requeue(claimed)) // one of them spoils it for the others
	}
	for i, r := range claimed {
		if own := b.errs[i]; own != nil && !errors.Is(err, ErrUnknown) {
			r.done <- outcome{err: own}
			continue
		}
		r.done <- outcome{err: err}
	}
	if errors.Is(err, ErrUnknown) || errors.Is(err, ErrBroken) || errors.Is(err, ErrClosed) {
		return nil, fmt.Errorf("write batch of %d: %w", len(claimed), err)
	}
	return nil, nil
}

// oneByOne commits each operation in a transaction of its own.
func (l *lane) oneByOne(ctx context.Context, reqs []*request) (held []*request, err error) {
	for i, r := range reqs {
		again, err := l.commit(ctx, []*request{r})
		held = append(held, again...)
		if err != nil {
			return append(held, reqs[i+1:]...), err
		}
	}
	return held, nil
}

// requeue puts operations back. Whose caller has given up meanwhile is answered
// here: that caller no longer looks at its context.
func requeue(reqs []*request) []*request {
	kept := reqs[:0:0]
	for _, r := range reqs {
		select {
		case <-r.gone:
			r.done <- outcome{err: errWithdrawn}
		default:
			r.state.Store(queued)
			kept = append(kept, r)
		}
	}
	return kept
}

// finish tells the followers what a batch touched and then answers its callers,
// while the lane goes on with the next batch. It returns the held operations.
func (l *lane) finish(b *batch) (held []*request) {
	var wait func()
	if l.cfg.Feed != nil && b.keys > 0 {
		wait = l.cfg.Feed.publish(Token{l.id, b.n}, b.dirty)
	}
	var answer []*request
	var outcomes []outcome
	for i, r := range b.reqs {
		if b.held[i] {
			held = append(held, r)
			continue
		}
		out := outcome{err: b.errs[i]}
		if out.err == nil && b.wrote[i] {
			out.token = Token{l.id, b.n}
		}
		answer, outcomes = append(answer, r), append(outcomes, out)
	}
	l.tell.Go(func() {
		if wait != nil {
			wait()
		}
		for i, r := range answer {
			r.done <- outcomes[i]
		}
	})
	return requeue(held)
}

func (l *lane) report(b *batch, took time.Duration) {
	if l.cfg.Hooks.Commit == nil {
		return
	}
	ops := 0
	for _, held := range b.held {
		if !held {
			ops++
		}
	}
	l.cfg.Hooks.Commit(ops, b.keys, b.bytes, took)
}
