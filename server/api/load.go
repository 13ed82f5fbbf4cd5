package api

import (
	"context"
	"fmt"
	"sync"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/store"
)

// What the server works on at once. What is above a bound is refused when its
// headers have come: a refusal must stay cheap when everybody asks.
const (
	applies     = 64  // reports that are worked on
	queue       = 192 // reports that wait for it
	perKey      = 4   // of one key, of both
	enrolments  = 64  // requests for admission
	enrolWithin = 20 * time.Second
	queueWithin = 10 * time.Second // as long may a report wait
)

// Doors is told what becomes of connections, by the address of the caller.
type Doors interface {
	// Known tells that the caller has shown an enrolled key or a login.
	Known(addr string)
	// Refused tells that a call was refused.
	Refused(addr string)
	// Shows tells which key the caller holds, before it is known whether that may
	// speak: a key that ends at this very moment is found either here or there.
	Shows(addr string, key identity.KeyID)
	// Ended tells that a key, by the text of its id, may not speak any more.
	Ended(key string)
}

// load counts what is under way.
type load struct {
	slots chan struct{} // one for each report that is worked on

	mu      sync.Mutex
	inside  int // reports, those that wait included
	keys    map[string]int
	enrols  int
	spacing spacing
	waiting spacing // of requests for admission
}

func newLoad() *load { return &load{slots: make(chan struct{}, applies), keys: map[string]int{}} }

// busy is a refusal for lack of room that says when to come again.
type busy struct {
	what  string
	after time.Duration
}

func (b busy) Error() string             { return fmt.Sprintf("%s: try again in %s", b.what, b.after) }
func (b busy) Unwrap() error             { return store.ErrBusy }
func (b busy) RetryAfter() time.Duration { return b.after }

// report makes room for a report of a key until ctx, which ends with the call, ends.
func (l *load) report(ctx context.Context, key string, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys[key] >= perKey {
		return busy{"too many reports of this machine at once", 10 * time.Second}
	}
	if l.inside >= applies+queue {
		return busy{"the server has more reports than it can take in", l.spacing.book(now)}
	}
	l.inside++
	l.keys[key]++
	context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.inside--
		if l.keys[key]--; l.keys[key] == 0 {
			delete(l.keys, key)
		}
	})
	return nil
}

// work waits for the turn of a report that was let in. done must be called after it.
func (l *load) work(ctx context.Context, now func() time.Time) (done func(), err error) {
	limited, stop := context.WithTimeout(ctx, queueWithin)
	defer stop()
	select {
	case l.slots <- struct{}{}:
	case <-limited.Done():
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		return nil, busy{"the report has waited too long for its turn", l.spacing.book(now())}
	}
	return func() {
		<-l.slots
		l.mu.Lock()
		defer l.mu.Unlock()
		l.spacing.done(now())
	}, nil
}

// enrol makes room for a request for admission until ctx ends.
func (l *load) enrol(ctx context.Context, now func() time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.enrols >= enrolments {
		return busy{"too many machines ask for admission at once", l.waiting.book(now())}
	}
	l.enrols++
	context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.enrols--
		l.waiting.done(now())
	})
	return nil
}

func (s *Service) load() *load {
	s.underOnce.Do(func() { s.under = newLoad() })
	return s.under
}

// smoothTheWay tells a machine how to get in when many want to: a pass if it showed
// none, and over how long the fleet spreads itself after a power cut.
func (s *Service) smoothTheWay(ctx context.Context, reply *rollcallv1.SubmitReply) {
	if c := callerOf(ctx); !c.passed {
		reply.Pass = identity.PassOf(s.Key, identity.IDOf(c.key))
	}
	if spread := bootSpread(s.Presence.Count()); spread >= time.Minute {
		reply.BootSpreadS = uint32(spread.Seconds())
	}
}
