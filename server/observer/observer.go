// Package observer makes CIs of what boot servers see: machines without an agent, of
// which a server of a school tells by its leases and its exports (facts client/*). Such
// a CI is of trust class "observed": another machine tells of it, with its own key, and
// nothing else is known.
//
// What an observer can do is bounded: only a machine of class server, which takes two
// people, is believed; only CIs at its own site come of it, so many in all; and it
// changes no CI that an agent, an upload or a seat speaks for. Where the card of an
// observed CI turns out to be built into a machine with an agent, the one is merged into
// the other, which people can undo.
//
// Everything here follows from facts that are recorded: after a crash it is looked
// through again.
package observer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/index"
	"rollcall/server/store"
)

// Service follows the feed. All fields up to Most must be set.
type Service struct {
	Engine   store.Engine
	Writer   *store.Writer
	Tenant   string
	Sets     *cmdb.Sets
	Presence *cmdb.Presence
	Index    *index.Index
	// Beside runs fn while no content is removed from the store.
	Beside func(fn func() error) error
	// Merge says that an observed CI is another one, and why.
	Merge func(ctx context.Context, observed, into, why string) error
	Log   *slog.Logger
	Now   func() time.Time
	Most  int // CIs that one observer may make; 0: it is off

	mu    sync.Mutex
	all   bool // everything is to be looked through
	dirty map[string]bool
	watch map[string]*observer // by CI
	heard map[string]heard     // what observers measured last, by CI
	wake  chan struct{}

	busy bool // the worker goes through something

	// Of the worker alone.
	again   bool            // something has to wait for the index
	rematch bool            // new CIs may be ones that the index does not know yet
	open    map[string]bool // observed CIs that may still turn out to be others
	vouched map[string]bool // CIs that stand in some observer's ids
}

// observer is a boot server, and what it tells.
type observer struct {
	set    fact.Digest // of its facts that tell of clients
	school string
	macs   []string // as its facts have them, in their order
	by     []string
	ids    []string // CIs that only observers tell of; empty: another one, or none
	last   []time.Time
}

// maxHeard bounds whose measurements are kept.
const maxHeard = 10_000

// Run follows the feed until ctx ends.
func (s *Service) Run(ctx context.Context, feed *store.ChangeFeed) error {
	if s.Most == 0 {
		return nil
	}
	s.mu.Lock()
	s.wake = make(chan struct{}, 1)
	s.mu.Unlock()
	s.open, s.vouched = map[string]bool{}, map[string]bool{}
	var wg sync.WaitGroup
	wg.Go(func() { s.work(ctx) })
	defer wg.Wait()
	// Writers wait for whoever follows: only note what is to be done.
	return feed.Follow(ctx, func(dirty []string) error {
		s.mu.Lock()
		s.all = s.all || len(dirty) == 0
		if s.dirty == nil {
			s.dirty = map[string]bool{}
		}
		for _, id := range dirty {
			s.dirty[id] = true
		}
		s.mu.Unlock()
		select {
		case s.wake <- struct{}{}:
		default: // it is awake
		}
		return nil
	})
}

// Settled tells whether everything that was recorded has been gone through.
func (s *Service) Settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wake != nil && !s.busy && !s.all && len(s.dirty) == 0
}

// retry is how long what failed, or had to wait for the index, waits.
const retry = time.Second

func (s *Service) work(ctx context.Context) {
	later := time.NewTicker(retry)
	defer later.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-later.C:
			if ready, _, _ := s.Index.Ready(); !ready || !s.again && !s.rematch {
				continue
			}
		case <-s.wake:
		}
		s.mu.Lock()
		all, dirty := s.all || s.again, s.dirty
		s.all, s.dirty, s.again, s.busy = false, nil, false, true
		s.mu.Unlock()
		if err := s.look(ctx, all, dirty); err != nil && ctx.Err() == nil {
			s.again = true
			s.Log.Debug("observers wait", "why", err)
		}
		s.mu.Lock()
		s.busy = s.again || s.rematch
		s.mu.Unlock()
	}
}

// look goes through what was touched, or through everything: first who is seen, then
// who of those is another.
func (s *Service) look(ctx context.Context, all bool, dirty map[string]bool) error {
	if all {
		err := s.view(ctx, func(v cmdb.View) error {
			s.open = map[string]bool{}
			dirty = map[string]bool{}
			for ci, err := range v.All() {
				if err != nil {
					continue // who asks for that one is told
				}
				switch {
				case observes(ci) && ci.State[section] != (fact.Digest{}):
					dirty[ci.ID] = true
				case ci.TrustClass() == cmdb.Observed && mayBeAnother(ci):
					s.open[ci.ID] = true
				}
			}
			return ctx.Err()
		})
		if err != nil {
			return err
		}
	}
	for id := range dirty {
		if err := s.passing(s.observe(ctx, id, all)); err != nil {
			return err
		}
	}
	if all || s.rematch {
		s.rematch = false
		if err := s.passing(s.matchOpen(ctx)); err != nil || all {
			return err
		}
	}
	for id := range dirty {
		if err := s.passing(s.match(ctx, id)); err != nil {
			return err
		}
	}
	return nil
}

// passing returns an error that will be none in a while. Others are logged: what they
// are about is tried again when it changes, or at the next start.
func (s *Service) passing(err error) error {
	for _, is := range []error{index.ErrLoading, store.ErrReadOnly, store.ErrBusy, store.ErrClosed, context.Canceled} {
		if errors.Is(err, is) {
			return err
		}
	}
	if err != nil {
		s.Log.Error("observers", "err", err)
	}
	return nil
}

func (s *Service) view(ctx context.Context, fn func(cmdb.View) error) error {
	return s.Engine.View(ctx, func(r store.Reader) error { return fn(cmdb.At(r, s.Tenant, s.Sets, cmdb.Everywhere)) })
}

// section is the one that tells of clients.
const section = "client"

// observes tells whether a CI is believed in what it says of others.
func observes(ci cmdb.CI) bool {
	return ci.Class == "server" && ci.TrustClass() == enrol.T1 && ci.Site != "" && !ci.Cloned && ci.Status != cmdb.Disposed && ci.Status != cmdb.Merged
}

// mayBeAnother tells whether an observed CI is still one of its own.
func mayBeAnother(ci cmdb.CI) bool { return ci.Status != cmdb.Disposed && ci.Status != cmdb.Merged }

// idOf gives the CI of the machine with a card at a school. All observers of a school
// tell of the same one.
func idOf(school, mac string) string {
	sum := sha256.Sum256([]byte("rollcall observed v1\x00" + school + "\x00" + mac))
	return "ci" + hex.EncodeToString(sum[:10])
}

// card gives an address in its usual form, "" for one that is no card's: an agent is
// not believed in what it leaves out.
func card(s string) string {
	mac, err := net.ParseMAC(s)
	if err != nil || len(mac) != 6 || mac[0]&3 != 0 || mac.String() != s || fact.Placeholder(s) {
		return ""
	}
	return s
}

// Of returns who sees a machine at a site that has one of these cards. When it was
// seen last is known since the server was started; before it is the zero time.
func (s *Service) Of(site string, macs []string) (all []cmdb.Observation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	school := cmdb.RepoOf(site)
	for id, o := range s.watch {
		if o.school != school {
			continue
		}
		for _, mac := range macs {
			if i, ok := slices.BinarySearch(o.macs, strings.ToLower(mac)); ok {
				all = append(all, cmdb.Observation{Observer: id, By: o.by[i], Last: o.last[i]})
				break
			}
		}
	}
	slices.SortFunc(all, func(a, b cmdb.Observation) int { return strings.Compare(a.Observer, b.Observer) })
	return all
}
