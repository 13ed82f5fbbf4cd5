package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/server/store"
)

// summary is a follower: it keeps what it has read of the CIs it was told about.
type summary struct {
	mu    sync.Mutex
	seen  map[string]string
	loads int
}

func (s *summary) follow(e store.Engine) func([]string) error {
	return func(dirty []string) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return e.View(context.Background(), func(r store.Reader) error {
			if len(dirty) == 0 {
				s.seen, dirty = map[string]string{}, nil
				s.loads++
				for p, err := range r.Scan(store.CI, nil, nil, 0) {
					if err != nil {
						return err
					}
					dirty = append(dirty, string(p.K[len("t/"):]))
				}
			}
			for _, id := range dirty {
				v, err := r.Get(key(store.CI, "%s", id))
				if err != nil {
					return err
				}
				s.seen[id] = string(v)
			}
			return nil
		})
	}
}

func (s *summary) get(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[id]
}

func (s *summary) loaded() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads
}

// follow runs a follower until the test ends and waits for its first load.
func follow(t *testing.T, f *store.ChangeFeed, e store.Engine) *summary {
	t.Helper()
	s := &summary{}
	run(t, func(ctx context.Context) error { return f.Follow(ctx, s.follow(e)) })
	for s.loaded() == 0 {
		time.Sleep(time.Millisecond)
	}
	return s
}

func followersFirst(t *testing.T, e store.Engine) {
	put(t, e, key(store.CI, "old"), "0")
	feed := store.NewFeed(store.FeedConfig{Engine: e})
	w, _ := start(t, store.Config{Engine: e, Feed: feed, Linger: time.Millisecond})
	s := follow(t, feed, e)
	if got := s.get("old"); got != "0" {
		t.Errorf("follower knows %q of what was there, want 0", got)
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			id := strconv.Itoa(i)
			for n := range 5 {
				want := fmt.Sprint(n)
				op := putOp(key(store.CI, "%s", id), want, id)
				if i%2 == 0 { // who writes a head need not name its CI
					op.Touch = nil
				}
				token := do(t, w, op)
				if got := s.get(id); got != want {
					t.Errorf("after Do the follower knows %q of CI %s, want %q", got, id, want)
				}
				if err := feed.Wait(t.Context(), token); err != nil {
					t.Errorf("Wait: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func otherServer(t *testing.T, e store.Engine) {
	w1, _ := start(t, store.Config{Engine: e, Linger: -1})
	do(t, w1, putOp(key(store.CI, "a"), "before", "a"))
	second := store.NewFeed(store.FeedConfig{Engine: e, Poll: time.Millisecond})
	s := follow(t, second, e)
	for n := range 30 {
		want := strconv.Itoa(n)
		token := do(t, w1, putOp(key(store.CI, "a"), want, "a"))
		if err := second.Wait(t.Context(), token); err != nil {
			t.Fatalf("Wait: %v", err)
		}
		if got := s.get("a"); got != want {
			t.Errorf("after Wait the other server knows %q, want %q", got, want)
		}
	}
	w2, _ := start(t, store.Config{Engine: e, Linger: -1}) // a lane that did not exist before
	token := do(t, w2, putOp(key(store.CI, "b"), "new", "b"))
	if err := second.Wait(t.Context(), token); err != nil || s.get("b") != "new" {
		t.Errorf("new lane: Wait = %v, the other server knows %q", err, s.get("b"))
	}
	if got := s.loaded(); got != 1 {
		t.Errorf("the follower loaded everything %d times, want once", got)
	}
	if err := second.Wait(t.Context(), store.Token{Lane: "gone", N: 7}); err != nil {
		t.Errorf("Wait for a forgotten commit = %v, want nil", err)
	}
}

func failingFollower(t *testing.T, e store.Engine) {
	feed := store.NewFeed(store.FeedConfig{Engine: e})
	w, _ := start(t, store.Config{Engine: e, Feed: feed, Linger: -1})
	mine := errors.New("mine")
	ended := make(chan error, 1)
	loaded := make(chan struct{})
	go func() {
		ended <- feed.Follow(t.Context(), func(dirty []string) error {
			if len(dirty) == 0 {
				close(loaded)
				return nil
			}
			return mine
		})
	}()
	<-loaded
	began := time.Now()
	token := do(t, w, putOp(key(store.CI, "a"), "x", "a"))
	if err := <-ended; !errors.Is(err, mine) {
		t.Errorf("Follow = %v, want what apply returned", err)
	}
	if err := feed.Wait(t.Context(), token); err != nil || time.Since(began) > time.Second/2 {
		t.Errorf("Wait without followers = %v after %v, want nil at once", err, time.Since(began))
	}
}

func prunes(t *testing.T, e store.Engine) {
	var ms atomic.Int64
	ms.Store(1_700_000_000_000)
	now := func() time.Time { return time.UnixMilli(ms.Load()) }
	w, _ := start(t, store.Config{Engine: e, Linger: -1, Now: now})
	feed := store.NewFeed(store.FeedConfig{Engine: e, Now: now, Poll: time.Millisecond})
	var tokens []store.Token
	for range 5 {
		tokens = append(tokens, do(t, w, putOp(key(store.CI, "a"), "x", "a")))
		ms.Add((20 * time.Minute).Milliseconds())
	}
	count := func() (n int) {
		view(t, e, func(r store.Reader) error {
			for range r.Scan(store.Feed, nil, nil, 0) {
				n++
			}
			return nil
		})
		return n
	}
	before := count()
	n, err := feed.Prune(t.Context())
	if err != nil || n < 2 || count() != before-n || count() < 3 {
		t.Errorf("Prune = %d, %v; %d entries left of %d, want 3 or more and 2 or more gone", n, err, count(), before)
	}
	if err := feed.Wait(t.Context(), tokens[0]); err != nil {
		t.Errorf("Wait for a pruned commit = %v, want nil", err)
	}
	s := follow(t, feed, e)
	if s.get("a") != "x" {
		t.Errorf("a new follower knows %q, want x", s.get("a"))
	}
	token := do(t, w, putOp(key(store.CI, "a"), "y", "a"))
	if err := feed.Wait(t.Context(), token); err != nil || s.get("a") != "y" {
		t.Errorf("after Prune: Wait = %v, the follower knows %q, want y", err, s.get("a"))
	}
}

// fallsBehind keeps a follower busy until what it has not seen is pruned.
func fallsBehind(t *testing.T, e store.Engine) {
	var ms atomic.Int64
	ms.Store(1_700_000_000_000)
	now := func() time.Time { return time.UnixMilli(ms.Load()) }
	w, _ := start(t, store.Config{Engine: e, Linger: -1, Now: now})
	feed := store.NewFeed(store.FeedConfig{Engine: e, Now: now, Poll: time.Millisecond})
	do(t, w, putOp(key(store.CI, "a"), "1", "a"))
	s := &summary{}
	apply := s.follow(e)
	busy, release := make(chan struct{}), make(chan struct{})
	var first sync.Once
	run(t, func(ctx context.Context) error {
		return feed.Follow(ctx, func(dirty []string) error {
			if len(dirty) > 0 {
				first.Do(func() { close(busy); <-release })
			}
			return apply(dirty)
		})
	})
	for s.loaded() == 0 {
		time.Sleep(time.Millisecond)
	}
	do(t, w, putOp(key(store.CI, "a"), "2", "a"))
	<-busy
	do(t, w, putOp(key(store.CI, "b"), "missed", "b"))
	do(t, w, putOp(key(store.CI, "c"), "missed", "c"))
	ms.Add((2 * time.Hour).Milliseconds())
	token := do(t, w, putOp(key(store.CI, "d"), "4", "d"))
	if _, err := feed.Prune(t.Context()); err != nil {
		t.Errorf("Prune: %v", err)
	}
	close(release)
	if err := feed.Wait(t.Context(), token); err != nil {
		t.Errorf("Wait: %v", err)
	}
	if s.loaded() != 2 || s.get("b") != "missed" || s.get("d") != "4" {
		t.Errorf("the follower has read everything %d times and knows %q and %q, want 2, missed, 4", s.loaded(), s.get("b"), s.get("d"))
	}
}
