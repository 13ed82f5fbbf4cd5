package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/agent"
	"rollcall/agent/uplink"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server"
	"rollcall/server/cmdb"
	"rollcall/server/ingest"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// house is the server of a fleet: ingest, store and log are the real ones.
type house struct {
	f    *fleet
	cfg  server.Config
	key  identity.Key
	skew atomic.Int64 // of its clock, ns

	mu   sync.Mutex
	open *opened // nil while the power is off
	busy chan struct{}

	served, refused, lost, longest atomic.Int64
}

// opened is a server that runs.
type opened struct {
	engine *bolt.Engine
	ingest *ingest.Service
	end    func() error
	calls  sync.WaitGroup
}

// What the house is made to be: so many reports at once, each of which takes so
// long. More are turned away, as a busy server does.
const (
	houseSlots = 64
	houseWork  = 100 * time.Millisecond
)

func (h *house) start() error {
	e, err := bolt.Open(filepath.Join(h.cfg.Data, "rollcall.db"), bolt.Options{})
	if err != nil {
		return err
	}
	sets, err := cmdb.NewSets()
	if err != nil {
		return err
	}
	presence, err := cmdb.LoadPresence(context.Background(), e, h.cfg.Tenant, h.cfg.SilentAfter)
	if err != nil {
		return err
	}
	now := func() time.Time { return time.Now().Add(time.Duration(h.skew.Load())) }
	w := store.NewWriter(store.Config{Engine: e, Now: now})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	o := &opened{engine: e, ingest: &ingest.Service{Engine: e, Writer: w, Tenant: h.cfg.Tenant, Key: h.key, Sets: sets, Presence: presence, Now: now}}
	o.end = func() error {
		stop()
		return errors.Join(<-ended, e.Close())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open, h.busy = o, make(chan struct{}, houseSlots)
	return nil
}

// stop cuts the power: calls under way get no answer, whether their reports were
// committed or not.
func (h *house) stop() error {
	h.mu.Lock()
	o := h.open
	h.open = nil
	h.mu.Unlock()
	if o == nil {
		return nil
	}
	err := o.end()
	o.calls.Wait()
	return err
}

// enter begins a call; leave ends it. An error is what a caller sees.
func (h *house) enter() (o *opened, leave func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open == nil {
		return nil, nil, fmt.Errorf("connect: %w", uplink.ErrAway)
	}
	o = h.open
	select {
	case h.busy <- struct{}{}:
	default:
		h.refused.Add(1)
		return nil, nil, fmt.Errorf("submit: %w", uplink.ErrBusy)
	}
	busy := h.busy
	o.calls.Add(1)
	return o, func() { <-busy; o.calls.Done() }, nil
}

func (h *house) is(o *opened) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open == o
}

// connect is the way of a seat to the house.
func (s *seat) connect(ctx context.Context) (agent.Session, error) {
	if p := s.away.Load(); p != nil && (*p == cutOff || *p == faulted && s.f.random(3) == 0) {
		if err := pause(ctx, 15*time.Second); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("connect: %w: no route to host", uplink.ErrAway)
	}
	if err := pause(ctx, time.Duration(5+s.f.random(50))*time.Millisecond); err != nil {
		return nil, err
	}
	return &way{s}, nil
}

// way is one exchange.
type way struct{ s *seat }

func (w *way) Close() error { return nil }

// call does something at the house, if it gets there, and loses the answer, if
// the way back is cut.
func (w *way) call(ctx context.Context, do func(*opened) error) error {
	h := w.s.f.house
	o, leave, err := h.enter()
	if err != nil {
		return err
	}
	defer leave()
	if err := pause(ctx, houseWork); err != nil {
		return fmt.Errorf("submit: %w: %w", uplink.ErrAway, err)
	}
	err = do(o)
	p := w.s.away.Load()
	if lost := p != nil && (*p != faulted || w.s.f.random(3) == 0); lost || !h.is(o) {
		h.lost.Add(1)
		return fmt.Errorf("submit: %w: the answer is lost", uplink.ErrAway)
	}
	return err
}

// Submit implements agent.Session.
func (w *way) Submit(ctx context.Context, env []byte) (ans uplink.Answer, err error) {
	h := w.s.f.house
	err = w.call(ctx, func(o *opened) error {
		res, err := o.ingest.Accept(context.WithoutCancel(ctx), identity.Public(w.s.key), "10.0.0.1", env)
		if err != nil {
			if !errors.Is(err, store.ErrClosed) {
				w.s.f.t.Errorf("seat %d: the server refuses a report: %v", w.s.n, err)
			}
			return fmt.Errorf("submit: %w: %w", uplink.ErrAway, err)
		}
		ans, err = answer(res, h.key)
		return err
	})
	if err != nil {
		return uplink.Answer{}, err
	}
	h.served.Add(1)
	if ans.Outcome == rollcallv1.SubmitReply_RECORDED {
		w.s.mu.Lock()
		w.s.acked = append(w.s.acked, server.Acknowledged{Envelope: env, Receipt: ans.Raw})
		w.s.mu.Unlock()
	}
	if ans.Outcome == rollcallv1.SubmitReply_RECORDED || ans.Outcome == rollcallv1.SubmitReply_SEEN {
		now := time.Now()
		w.s.heard.CompareAndSwap(nil, &now)
	}
	return ans, nil
}

// answer says what the API and uplink would make of a result.
func answer(res ingest.Result, key identity.Key) (ans uplink.Answer, err error) {
	ans.Raw, ans.Missing, ans.Have = res.Receipt, res.Missing, res.Have
	switch res.Outcome {
	case ingest.Recorded:
		ans.Outcome = rollcallv1.SubmitReply_RECORDED
		ans.Receipt, err = identity.OpenReceipt(identity.Public(key), res.Receipt)
	case ingest.Seen:
		ans.Outcome = rollcallv1.SubmitReply_SEEN
	case ingest.NeedFull:
		ans.Outcome = rollcallv1.SubmitReply_NEED_FULL
	case ingest.NeedContent:
		ans.Outcome = rollcallv1.SubmitReply_NEED_CONTENT
	case ingest.Resend:
		ans.Outcome = rollcallv1.SubmitReply_RESEND
	case ingest.Quarantined:
		ans.Outcome = rollcallv1.SubmitReply_QUARANTINED
	}
	return ans, err
}

// Upload implements agent.Session.
func (w *way) Upload(ctx context.Context, want []fact.Digest, read func(fact.Digest) ([]byte, error)) error {
	return w.call(ctx, func(o *opened) error {
		var all []cmdb.Content
		for _, d := range want {
			b, err := read(d)
			if err != nil {
				return err
			}
			c, err := o.ingest.CheckContent(identity.IDOf(identity.Public(w.s.key)), d, b)
			if err != nil {
				return err
			}
			all = append(all, c)
		}
		if err := o.ingest.PutContents(context.WithoutCancel(ctx), identity.IDOf(identity.Public(w.s.key)), all); err != nil {
			return fmt.Errorf("upload: %w: %w", uplink.ErrAway, err)
		}
		return nil
	})
}

// pause takes virtual time; its error is what a connection gives that ends with
// its context.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", uplink.ErrAway, ctx.Err())
	case <-t.C:
		return nil
	}
}

// versions returns what the store has of the simulated package, by CI. The house
// must be closed.
func (h *house) versions(ctx context.Context) (map[string]string, error) {
	e, err := bolt.Open(filepath.Join(h.cfg.Data, "rollcall.db"), bolt.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	sets, err := cmdb.NewSets()
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	err = e.View(ctx, func(r store.Reader) error {
		v := cmdb.At(r, h.cfg.Tenant, sets, cmdb.Everywhere)
		for ci, err := range v.All() {
			if err != nil {
				return err
			}
			set, err := v.Set(ci.State, "pkg")
			if err != nil {
				return err
			}
			all[ci.ID], _ = set.Get("pkg/cups/version")
		}
		return nil
	})
	return all, errors.Join(err, e.Close())
}
