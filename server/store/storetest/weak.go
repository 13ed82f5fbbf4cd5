package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"rollcall/server/store"
)

// WeakEngine is a store.Engine in memory that keeps the contract and not a
// finger's breadth more, so that code which leans on the strictness of one
// engine fails on a laptop:
//
//   - Update runs its function twice at random, and again after each conflict,
//     of which there are many: commits are optimistic;
//   - a key that was read as absent is not protected unless it is written;
//   - bytes that were handed out are overwritten when the function returns;
//   - Update returns ErrUnknown at random, after a commit or instead of one.
//
// Set the fields before first use.
type WeakEngine struct {
	Twice   float64 // probability that fn runs once more for nothing
	Unknown float64 // probability that the answer of a commit is lost

	mu      sync.Mutex
	rnd     *rand.Rand
	data    map[string][]version // by space and key, oldest first
	keys    []string             // sorted, all that data ever had
	now     uint64               // last committed version
	closed  bool
	commits int
}

// version is the value of a key from a commit on; nil means deleted.
type version struct {
	at    uint64
	value []byte
}

// Weak returns an empty engine whose weaknesses follow from the seed: functions
// run twice in a fifth of all updates, answers are lost in a tenth.
func Weak(seed uint64) *WeakEngine {
	return &WeakEngine{Twice: 0.2, Unknown: 0.1, rnd: rand.New(rand.NewPCG(seed, 0)), data: map[string][]version{}}
}

// maxTries bounds the repetitions after conflicts.
const maxTries = 1000

var errConflict = errors.New("conflict with another transaction")

// View runs fn on a snapshot.
func (w *WeakEngine) View(ctx context.Context, fn func(store.Reader) error) error {
	s, err := w.begin(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	return fn(s)
}

// Update runs fn and commits, as the contract says and no better.
func (w *WeakEngine) Update(ctx context.Context, fn func(store.Tx) error) error {
	if w.chance(w.Twice) {
		if err := w.attempt(ctx, fn, false); err != nil && ctx.Err() != nil {
			return err
		}
	}
	for range maxTries {
		err := w.attempt(ctx, fn, true)
		if !errors.Is(err, errConflict) {
			return err
		}
	}
	return fmt.Errorf("weak engine: %w, %d times in a row", errConflict, maxTries)
}

func (w *WeakEngine) attempt(ctx context.Context, fn func(store.Tx) error, commit bool) error {
	s, err := w.begin(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	o := store.NewOverlay(s)
	if err := fn(o); err != nil || !commit {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return w.commit(s, o)
}

func (w *WeakEngine) commit(s *snapshot, o *store.Overlay) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return store.ErrClosed
	}
	lost := w.rnd.Float64() < w.Unknown
	if lost && w.rnd.IntN(2) == 0 {
		return fmt.Errorf("weak engine, not committed: %w", store.ErrUnknown)
	}
	for k := range s.read {
		if w.changed(k, s.at) {
			return errConflict
		}
	}
	check := func(k store.Key) error {
		if w.changed(flat(k), s.at) {
			return errConflict
		}
		return nil
	}
	if err := o.Flush(func(k store.Key, _ []byte) error { return check(k) }, check); err != nil {
		return err
	}
	w.now++
	w.commits++
	if err := o.Flush(func(k store.Key, v []byte) error { w.set(flat(k), bytes.Clone(v)); return nil },
		func(k store.Key) error { w.set(flat(k), nil); return nil }); err != nil {
		return err
	}
	if lost {
		return fmt.Errorf("weak engine, committed: %w", store.ErrUnknown)
	}
	return nil
}

func (w *WeakEngine) changed(k string, since uint64) bool {
	vs := w.data[k]
	return len(vs) > 0 && vs[len(vs)-1].at > since
}

func (w *WeakEngine) set(k string, v []byte) {
	if _, known := w.data[k]; !known {
		i, _ := slices.BinarySearch(w.keys, k)
		w.keys = slices.Insert(w.keys, i, k)
	}
	w.data[k] = append(w.data[k], version{w.now, v})
}

// Close makes every later call return store.ErrClosed.
func (w *WeakEngine) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	return nil
}

// Commits returns the number of transactions that were committed.
func (w *WeakEngine) Commits() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.commits
}

func (w *WeakEngine) chance(p float64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rnd.Float64() < p
}

func (w *WeakEngine) begin(ctx context.Context) (*snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, store.ErrClosed
	}
	return &snapshot{ctx: ctx, w: w, at: w.now, read: map[string]bool{}}, nil
}

// flat joins space and key so that the order of keys is kept.
func flat(k store.Key) string { return string(rune('0'+k.Space)) + string(k.K) }

// snapshot reads what was there at one version.
type snapshot struct {
	ctx    context.Context // of the View or Update that the snapshot lives in
	w      *WeakEngine
	at     uint64
	read   map[string]bool // keys that were read and existed
	handed [][]byte
}

// end spoils all bytes that were handed out: who kept them will notice.
func (s *snapshot) end() {
	for _, b := range s.handed {
		for i := range b {
			b[i] = 0xdb
		}
	}
}

func (s *snapshot) hand(b []byte) []byte {
	c := append(make([]byte, 0, len(b)), b...)
	s.handed = append(s.handed, c)
	return c
}

// value returns what a key had at the snapshot; nil if absent.
func (s *snapshot) value(k string) []byte {
	vs := s.w.data[k]
	for i := len(vs) - 1; i >= 0; i-- {
		if vs[i].at <= s.at {
			return vs[i].value
		}
	}
	return nil
}

func (s *snapshot) Get(k store.Key) ([]byte, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	v := s.value(flat(k))
	if v == nil {
		return nil, nil
	}
	s.read[flat(k)] = true
	return s.hand(v), nil
}

func (s *snapshot) GetMany(keys []store.Key) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, k := range keys {
		var err error
		if values[i], err = s.Get(k); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func (s *snapshot) Scan(space store.Space, from, to []byte, limit int) iter.Seq2[store.Pair, error] {
	return func(yield func(store.Pair, error) bool) {
		next := flat(store.Key{Space: space, K: from})
		for n := 0; limit <= 0 || n < limit; n++ {
			if err := s.ctx.Err(); err != nil {
				yield(store.Pair{}, err)
				return
			}
			p, ok := s.seek(space, next, to)
			if !ok || !yield(p, nil) {
				return
			}
			next = flat(store.Key{Space: space, K: p.K}) + "\x00"
		}
	}
}

// seek returns the first pair at or after a flat key.
func (s *snapshot) seek(space store.Space, from string, to []byte) (store.Pair, bool) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	prefix := flat(store.Key{Space: space})
	i, _ := slices.BinarySearch(s.w.keys, from)
	for ; i < len(s.w.keys); i++ {
		k, ok := strings.CutPrefix(s.w.keys[i], prefix)
		if !ok || to != nil && k >= string(to) {
			return store.Pair{}, false
		}
		if v := s.value(s.w.keys[i]); v != nil {
			return store.Pair{K: s.hand([]byte(k)), V: s.hand(v)}, true
		}
	}
	return store.Pair{}, false
}
