package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// ErrBusy means that more operations are waiting than the writer is willing to
// hold. Nothing was written; try again later.
var ErrBusy = errors.New("too many writes are waiting")

// Op is one unit of work in a lane: all of it is committed, or nothing of it.
type Op struct {
	// Reads are the keys that Fn will probably read. They are fetched for the
	// whole batch at once; Fn may read others.
	Reads []Key
	// Touch lists the ids of the CIs whose summaries the operation changes, at
	// most MaxTouch bytes together. Followers of the feed read these again. CIs
	// whose head (space CI) the operation writes need not be named; who names one
	// keeps its operations in one lane.
	Touch []string
	// Fn does the work. It sees what earlier operations of the same batch wrote.
	// It may run several times and must set what it hands out anew each time:
	// the run that is committed is the last one. What it returns as error goes to
	// its caller alone. It may write one key and some 40 KiB less than a
	// transaction holds: the lane needs them.
	Fn func(Tx) error
}

// MaxTouch is the sum of the lengths in bytes of all ids that one Op touches.
const MaxTouch = 32 << 10

// Token names a commit: the N-th of a lane. The zero Token means that nothing
// was written.
type Token struct {
	Lane string
	N    uint64
}

// String gives the text form, "lane:n", empty for the zero Token.
func (t Token) String() string {
	if t == (Token{}) {
		return ""
	}
	return t.Lane + ":" + strconv.FormatUint(t.N, 10)
}

// ParseToken reads the text form.
func ParseToken(s string) (Token, error) {
	if s == "" {
		return Token{}, nil
	}
	lane, num, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(num, 10, 64)
	if !ok || err != nil || n == 0 || lane == "" || len(lane) > 64 || strings.Contains(lane, "/") {
		return Token{}, fmt.Errorf("token %.80q: want LANE:NUMBER", s)
	}
	return Token{Lane: lane, N: n}, nil
}

// Hooks are called by lanes for figures and logs. Each may be nil; all must
// return at once and may be called from several goroutines.
type Hooks struct {
	// Commit: a batch was committed or skipped (when no operation wrote
	// anything, keys is 0) after took.
	Commit func(ops, keys, bytes int, took time.Duration)
	// Failed: the engine refused a batch with err.
	Failed func(ops int, err error)
	// Unknown: the engine lost the outcome of a batch; it is being looked up.
	Unknown func()
	// Panicked: an operation panicked with value.
	Panicked func(value any, stack []byte)
}

// Config makes a Writer. Only Engine is needed; zero fields mean the defaults.
type Config struct {
	Engine   Engine
	Feed     *ChangeFeed      // whose followers in this process are told before Do returns
	Lanes    int              // 1; more only where the engine commits in parallel
	Linger   time.Duration    // 5 ms: how long a batch waits for company; negative: not at all
	Enough   int              // 32 operations: a batch with so many waits for no others
	MaxBatch int              // 64 operations
	Queue    int              // 1024 operations waiting in each lane
	Now      func() time.Time // time.Now
	Hooks    Hooks
	// Guard is asked before an operation is queued; its error is what Do returns.
	// It must be cheap and may be called from many goroutines. Nil: all may go on.
	Guard func() error
}

// Writer commits the operations of many callers in few transactions: group
// commit. Each lane is one loop, which gathers operations for a moment, runs
// them in one transaction, and answers their callers after the commit.
//
// An operation that fails is left out, the others of its batch are committed.
// The lane writes down which CIs a batch touched, in the same transaction; that
// record is the change feed, and tells whether a commit took place whose answer
// was lost.
type Writer struct {
	lanes   []*lane
	guard   func() error
	stopped atomic.Bool
	end     chan struct{}
}

// NewWriter returns a writer that works while Run runs.
func NewWriter(c Config) *Writer {
	if c.Lanes <= 0 {
		c.Lanes = 1
	}
	if c.Linger == 0 {
		c.Linger = 5 * time.Millisecond
	}
	if c.MaxBatch <= 0 {
		c.MaxBatch = 64
	}
	if c.Enough <= 0 {
		c.Enough = 32
	}
	if c.Queue <= 0 {
		c.Queue = 1024
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	w := &Writer{end: make(chan struct{}), guard: c.Guard}
	for range c.Lanes {
		w.lanes = append(w.lanes, newLane(c, rand.Text()))
	}
	return w
}

// Run works until ctx ends, or until a lane must stop because the store is
// closed or broken, which it returns. Batches that run when ctx ends are
// finished; what is still queued then gets ErrClosed. Run can be called once.
func (w *Writer) Run(ctx context.Context) error {
	if w.stopped.Swap(true) {
		return errors.New("run writer: it has run before: make a new one")
	}
	defer close(w.end)
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range w.lanes {
		g.Go(func() error { return l.run(ctx) })
	}
	return g.Wait()
}

// Do commits one operation, together with others, and returns after the commit
// is durable and the followers in this process have been told.
//
// It returns Fn's error as it is, what the guard says, ErrBusy if the queue is
// full, ErrReadOnly if the disk turned out to be full, ErrClosed after
// Run has ended, ErrLimit if the operation is too large, ErrUnknown if the
// store broke and the outcome could not be found out, or another error of the
// engine. If ctx ends while the operation waits, it is withdrawn and ctx's error
// returned; once it runs, Do waits for the outcome whatever ctx says.
func (w *Writer) Do(ctx context.Context, op Op) (Token, error) {
	if err := op.check(); err != nil {
		return Token{}, err
	}
	if err := ctx.Err(); err != nil {
		return Token{}, err
	}
	if err := w.Ready(); err != nil {
		return Token{}, err
	}
	r := &request{op: op, gone: ctx.Done(), done: make(chan outcome, 1)}
	select {
	case w.laneOf(op).queue <- r:
	case <-w.end:
		return Token{}, fmt.Errorf("write: %w: the writer has stopped", ErrClosed)
	default:
		return Token{}, ErrBusy
	}
	select {
	case out := <-r.done:
		return out.token, out.err
	case <-ctx.Done():
		if r.withdraw() {
			return Token{}, ctx.Err()
		}
	case <-w.end:
		if r.withdraw() {
			return Token{}, fmt.Errorf("write: %w: the writer has stopped", ErrClosed)
		}
	}
	out := <-r.done // it runs: the lane answers
	if errors.Is(out.err, errWithdrawn) {
		return Token{}, ctx.Err()
	}
	return out.token, out.err
}

// Update commits fn as an operation that touches no CI, so that a Writer can
// stand for an Engine where small writes should share a transaction.
func (w *Writer) Update(ctx context.Context, fn func(Tx) error) error {
	_, err := w.Do(ctx, Op{Fn: fn})
	return err
}

// Ready tells, before any work is done for it, why an operation would be refused
// now: what the guard says. An operation may be refused although Ready was nil.
func (w *Writer) Ready() error {
	if w.guard == nil {
		return nil
	}
	return w.guard()
}

func (op Op) check() error {
	size := 0
	for _, id := range op.Touch {
		size += len(id)
		if id == "" || len(id) > MaxKey {
			return fmt.Errorf("write: touched id %.80q: want 1 to %d bytes", id, MaxKey)
		}
	}
	if size > MaxTouch {
		return fmt.Errorf("write: %w: %d bytes of touched ids, at most %d", ErrLimit, size, MaxTouch)
	}
	if op.Fn == nil {
		return errors.New("write: an operation without function")
	}
	return nil
}

// laneOf keeps the operations of one CI in one lane, where they do not compete.
func (w *Writer) laneOf(op Op) *lane {
	if len(w.lanes) == 1 || len(op.Touch) == 0 {
		return w.lanes[0]
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(op.Touch[0])) // never fails, see hash.Hash
	return w.lanes[h.Sum32()%uint32(len(w.lanes))]
}
