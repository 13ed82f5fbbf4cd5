package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// keepEntries is how long the feed remembers a commit.
	keepEntries = time.Hour
	// pruneEvery is how often old entries are deleted.
	pruneEvery = 10 * time.Minute
	// localWait bounds how long an answer waits for the followers in the same
	// process: a slow one delays answers, it does not stop them.
	localWait = time.Second
	// pollMax is the number of entries of a lane that one poll takes.
	pollMax = 1000
)

// FeedConfig makes a ChangeFeed. Only Engine is needed.
type FeedConfig struct {
	Engine Engine
	// Poll is how often the lanes of other processes are looked at: 100 ms where
	// several servers share a store, 0 (never) where one has it for itself.
	Poll time.Duration
	Now  func() time.Time // time.Now
}

// ChangeFeed tells followers which CIs were touched by commits. What it hands out are
// dirty ids, not changes: a follower reads the present state of those CIs again.
// So the order between lanes does not matter and a repetition does no harm.
type ChangeFeed struct {
	cfg FeedConfig

	mu        sync.Mutex
	own       map[string]bool // lanes of this process
	followers map[*follower]struct{}
	moved     chan struct{} // closed and replaced when a follower has moved on
}

// NewFeed returns a feed over an engine.
func NewFeed(c FeedConfig) *ChangeFeed {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &ChangeFeed{cfg: c, own: map[string]bool{}, followers: map[*follower]struct{}{}, moved: make(chan struct{})}
}

// item is one commit on its way to a follower in the same process.
type item struct {
	token Token
	dirty []string
	done  chan struct{}
}

// follower is one running Follow.
type follower struct {
	wake    chan struct{} // holds one
	gone    chan struct{} // closed when Follow returns
	pending []item        // under ChangeFeed.mu
	applied map[string]uint64
}

// adopt makes a lane known as one of this process: it is told by publish and
// not looked for in the store.
func (f *ChangeFeed) adopt(lane string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.own[lane] = true
}

// publish hands a commit to all followers and returns a function that waits
// until they have applied it, or have gone, or are too slow.
func (f *ChangeFeed) publish(t Token, dirty []string) (wait func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	type pair struct {
		fo   *follower
		done chan struct{}
	}
	var told []pair
	for fo := range f.followers {
		p := pair{fo, make(chan struct{})}
		fo.pending = append(fo.pending, item{t, dirty, p.done})
		select {
		case fo.wake <- struct{}{}:
		default: // it is awake
		}
		told = append(told, p)
	}
	return func() {
		late := time.NewTimer(localWait)
		defer late.Stop()
		for _, p := range told {
			select {
			case <-p.done:
			case <-p.fo.gone:
			case <-late.C:
				return
			}
		}
	}
}

// Follow calls apply first with no ids, which means "everything may have
// changed: read all", and then with the ids of the CIs that later commits
// touched, each at least once, never concurrently with itself. When it has
// fallen further behind than the feed remembers it calls apply with no ids again.
//
// It returns when ctx ends (nil) or apply fails (that error). apply must not
// wait for a Writer of the same feed, which waits for apply.
func (f *ChangeFeed) Follow(ctx context.Context, apply func(dirty []string) error) error {
	fo := &follower{wake: make(chan struct{}, 1), gone: make(chan struct{})}
	f.mu.Lock()
	f.followers[fo] = struct{}{}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.followers, fo)
		f.mu.Unlock()
		close(fo.gone)
		f.notify()
	}()
	if err := f.reload(ctx, fo, apply); err != nil {
		return endOf(ctx, err)
	}
	var tick <-chan time.Time
	if f.cfg.Poll > 0 {
		t := time.NewTicker(f.cfg.Poll)
		defer t.Stop()
		tick = t.C
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-fo.wake:
			err = f.applyLocal(fo, apply)
		case <-tick:
			err = f.poll(ctx, fo, apply)
		}
		if err != nil {
			return endOf(ctx, err)
		}
	}
}

// endOf tells apart an end that was asked for from a failure.
func endOf(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return fmt.Errorf("follow the feed: %w", err)
}

// reload notes the head of every lane before everything is read, so that what
// is committed meanwhile is applied again rather than missed.
func (f *ChangeFeed) reload(ctx context.Context, fo *follower, apply func([]string) error) error {
	heads, err := f.heads(ctx)
	if err != nil {
		return err
	}
	if err := apply(nil); err != nil {
		return err
	}
	f.mu.Lock()
	fo.applied = heads
	f.mu.Unlock()
	f.notify()
	return nil
}

// applyLocal applies what lanes of this process have handed over, in one go.
func (f *ChangeFeed) applyLocal(fo *follower, apply func([]string) error) error {
	f.mu.Lock()
	items := fo.pending
	fo.pending = nil
	f.mu.Unlock()
	var dirty []string
	for _, it := range items {
		dirty = append(dirty, it.dirty...)
	}
	slices.Sort(dirty)
	if dirty = slices.Compact(dirty); len(dirty) > 0 {
		if err := apply(dirty); err != nil {
			return err
		}
	}
	f.mu.Lock()
	for _, it := range items {
		fo.applied[it.token.Lane] = max(fo.applied[it.token.Lane], it.token.N)
		close(it.done)
	}
	f.mu.Unlock()
	f.notify()
	return nil
}

// notify wakes everybody in Wait.
func (f *ChangeFeed) notify() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.moved)
	f.moved = make(chan struct{})
}

// Wait returns when every follower in this process has applied the commit that
// t names, so that a caller sees what it wrote through another server; at once
// for the zero Token, for a commit that the feed no longer remembers, and when
// nobody follows. It returns ctx's error if that ends first.
func (f *ChangeFeed) Wait(ctx context.Context, t Token) error {
	if t == (Token{}) {
		return nil
	}
	var there bool
	if err := f.cfg.Engine.View(ctx, func(r Reader) error {
		v, err := r.Get(feedKey(t.Lane, t.N))
		there = v != nil
		return err
	}); err != nil {
		return fmt.Errorf("wait for commit %s: %w", t, err)
	}
	if !there {
		return nil
	}
	for {
		f.mu.Lock()
		behind, moved := false, f.moved
		for fo := range f.followers {
			behind = behind || fo.applied[t.Lane] < t.N
		}
		f.mu.Unlock()
		if !behind {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("wait for commit %s: %w", t, ctx.Err())
		}
	}
}

// Run deletes entries older than an hour, now and every ten minutes, until ctx
// ends. One server of several is enough. Errors go to report and do not end it:
// an entry that stays costs some bytes.
func (f *ChangeFeed) Run(ctx context.Context, report func(error)) error {
	t := time.NewTicker(pruneEvery)
	defer t.Stop()
	for {
		if _, err := f.Prune(ctx); err != nil && ctx.Err() == nil {
			report(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// position copies how far a follower has come.
func (f *ChangeFeed) position(fo *follower) map[string]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(fo.applied)
}
