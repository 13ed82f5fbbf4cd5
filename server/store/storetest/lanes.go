package storetest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/server/store"

	"go.uber.org/goleak"
)

// RunLanes tests lanes and feed on an engine. open returns a new, empty engine,
// which may lose answers.
func RunLanes(t *testing.T, open func(t *testing.T) store.Engine) {
	for _, tt := range []struct {
		claim string
		test  func(*testing.T, store.Engine)
	}{
		{"SixtyFourWritersLoseNothing", manyWriters},
		{"SeveralLanesLoseNothing", manyLanes},
		{"AFailingOperationFailsAlone", failsAlone},
		{"APanickingOperationFailsAlone", panicsAlone},
		{"AnOperationSeesEarlierOnesOfItsBatch", seesEarlier},
		{"ABatchThatIsTooLargeIsSplit", splits},
		{"AnOperationThatIsTooLargeFailsAlone", tooLarge},
		{"NoWriteNoToken", noWrite},
		{"AFullQueueIsBusy", busy},
		{"AWaitingCallerCanWithdraw", withdraws},
		{"ARunningOperationIsNotAbandoned", notAbandoned},
		{"AfterTheEndDoSaysSo", afterEnd},
		{"FollowersKnowBeforeTheAnswer", followersFirst},
		{"AFollowerOfAnotherServerCatchesUp", otherServer},
		{"AFollowerThatFailsStopsNobody", failingFollower},
		{"OldEntriesArePruned", prunes},
		{"AFollowerThatFallsTooFarBehindReadsEverything", fallsBehind},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			ignore := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
			tt.test(t, open(t))
		})
	}
}

// start runs a writer until the test ends, or until stop is called.
func start(t *testing.T, c store.Config) (w *store.Writer, stop func()) {
	t.Helper()
	w = store.NewWriter(c)
	return w, run(t, w.Run)
}

func do(t *testing.T, w *store.Writer, op store.Op) store.Token {
	t.Helper()
	token, err := w.Do(t.Context(), op)
	if err != nil {
		t.Errorf("Do: %v", err)
	}
	return token
}

func manyWriters(t *testing.T, e store.Engine) { countTogether(t, e, 1) }
func manyLanes(t *testing.T, e store.Engine)   { countTogether(t, e, 3) }

// countTogether lets 64 writers count, each in a key of its own and all in one,
// where a batch that was run twice or not at all would show.
func countTogether(t *testing.T, e store.Engine, lanes int) {
	const writers, each = 64, 8
	var lost atomic.Int64
	w, stop := start(t, store.Config{Engine: e, Lanes: lanes, Linger: time.Millisecond, Hooks: store.Hooks{Unknown: func() { lost.Add(1) }}})
	shared := key(store.Record, "shared")
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			own := key(store.CI, "%d", i)
			for n := range each {
				got := 0
				token := do(t, w, store.Op{
					Reads: []store.Key{own, shared},
					Touch: []string{strconv.Itoa(i)},
					Fn: func(tx store.Tx) error {
						v, err := tx.Get(own)
						got = number(v)
						return errors.Join(err, add(tx, own, 1), add(tx, shared, 1))
					},
				})
				if got != n || token == (store.Token{}) {
					t.Errorf("writer %d read %d at its write %d, token %q", i, got, n, token)
				}
			}
		})
	}
	wg.Wait()
	stop()
	for i := range writers {
		wantGet(t, e, key(store.CI, "%d", i), strconv.Itoa(each))
	}
	wantGet(t, e, shared, strconv.Itoa(writers*each))
	t.Logf("lost answers: %d", lost.Load())
}

// together runs operations so that they are in one batch: the lane lingers until
// it has them all.
func together(t *testing.T, e store.Engine, ops ...store.Op) (tokens []store.Token, errs []error) {
	t.Helper()
	w, stop := start(t, store.Config{Engine: e, Linger: time.Minute, Enough: len(ops), MaxBatch: len(ops)})
	tokens, errs = make([]store.Token, len(ops)), make([]error, len(ops))
	var wg sync.WaitGroup
	for i, op := range ops {
		wg.Go(func() { tokens[i], errs[i] = w.Do(t.Context(), op) })
	}
	wg.Wait()
	stop()
	return tokens, errs
}

func putOp(k store.Key, v string, touch ...string) store.Op {
	return store.Op{Touch: touch, Fn: func(tx store.Tx) error { return tx.Put(k, []byte(v)) }}
}

func failsAlone(t *testing.T, e store.Engine) {
	mine := errors.New("mine")
	ok1, ok2, bad := key(store.CI, "1"), key(store.CI, "2"), key(store.CI, "bad")
	_, errs := together(t, e, putOp(ok1, "x"), store.Op{Fn: func(tx store.Tx) error {
		return errors.Join(tx.Put(bad, []byte("x")), mine)
	}}, putOp(ok2, "x"))
	if errs[0] != nil || !errors.Is(errs[1], mine) || errs[2] != nil {
		t.Errorf("Do = %v, want nil, mine, nil", errs)
	}
	wantGet(t, e, ok1, "x")
	wantGet(t, e, ok2, "x")
	wantGet(t, e, bad, "<nil>")
}

func panicsAlone(t *testing.T, e store.Engine) {
	ok, bad := key(store.CI, "ok"), key(store.CI, "bad")
	_, errs := together(t, e, putOp(ok, "x"), store.Op{Fn: func(tx store.Tx) error {
		_ = tx.Put(bad, nil)
		panic("oh")
	}})
	if errs[0] != nil || errs[1] == nil {
		t.Errorf("Do = %v, want nil and an error", errs)
	}
	wantGet(t, e, ok, "x")
	wantGet(t, e, bad, "<nil>")
}

func seesEarlier(t *testing.T, e store.Engine) {
	k := key(store.Unique, "name")
	taken := errors.New("taken")
	claim := func(by string) store.Op {
		return store.Op{Reads: []store.Key{k}, Fn: func(tx store.Tx) error {
			v, err := tx.Get(k)
			if err != nil {
				return err
			}
			if v != nil {
				return taken
			}
			return tx.Put(k, []byte(by))
		}}
	}
	_, errs := together(t, e, claim("a"), claim("b"), claim("c"))
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, taken) {
			t.Errorf("Do = %v, want nil or taken", err)
		}
	}
	if won != 1 {
		t.Errorf("%d of three got the name, want 1", won)
	}
}

func splits(t *testing.T, e store.Engine) {
	var ops []store.Op
	for i := range 10 { // 10 × 300 KiB, 3 of which fit into a transaction
		ops = append(ops, store.Op{Touch: []string{strconv.Itoa(i)}, Fn: func(tx store.Tx) error {
			for c := range 5 {
				if err := tx.Put(key(store.Blob, "%d-%d", i, c), make([]byte, 60<<10)); err != nil {
					return err
				}
			}
			return nil
		}})
	}
	tokens, errs := together(t, e, ops...)
	numbers := map[uint64]bool{}
	for i := range ops {
		if errs[i] != nil {
			t.Errorf("Do = %v, want nil", errs[i])
		}
		numbers[tokens[i].N] = true
		wantGet(t, e, key(store.Blob, "%d-4", i), string(make([]byte, 60<<10)))
	}
	if len(numbers) < 4 {
		t.Errorf("3 MiB went through in %d transactions, want at least 4", len(numbers))
	}
}

func tooLarge(t *testing.T, e store.Engine) {
	ok := key(store.CI, "ok")
	var errs []error
	_, errs = together(t, e,
		store.Op{Fn: func(tx store.Tx) error { return putKeys(tx, store.MaxTxKeys, nil) }}, // none left for the lane
		store.Op{Fn: func(tx store.Tx) error { return tx.Put(ok, make([]byte, store.MaxValue+1)) }},
		putOp(ok, "x"))
	if !errors.Is(errs[0], store.ErrLimit) || !errors.Is(errs[1], store.ErrLimit) || errs[2] != nil {
		t.Errorf("Do = %v, want ErrLimit, ErrLimit, nil", errs)
	}
	wantGet(t, e, ok, "x")
	wantGet(t, e, key(store.CI, "n0"), "<nil>")
	w, _ := start(t, store.Config{Engine: e, Linger: -1})
	if _, err := w.Do(t.Context(), putOp(ok, "y", string(make([]byte, store.MaxTouch+1)))); err == nil {
		t.Error("Do with an id that is too long = nil, want an error")
	}
}

func noWrite(t *testing.T, e store.Engine) {
	w, _ := start(t, store.Config{Engine: e, Linger: -1})
	token := do(t, w, store.Op{Touch: []string{"a"}, Fn: func(store.Tx) error { return nil }})
	if token != (store.Token{}) {
		t.Errorf("token of an operation that wrote nothing = %q, want none", token)
	}
	view(t, e, func(r store.Reader) error {
		if got := scan(t, r, store.Feed, nil, nil, 0); got != "" {
			t.Errorf("feed = %q, want nothing", got)
		}
		return nil
	})
}

// block returns an operation that waits until release is called, and a channel
// that is closed when it runs.
func block(k store.Key) (op store.Op, running chan struct{}, release func()) {
	running, released := make(chan struct{}), make(chan struct{})
	var once, twice sync.Once
	return store.Op{Fn: func(tx store.Tx) error {
		once.Do(func() { close(running) })
		<-released
		return tx.Put(k, []byte("x"))
	}}, running, func() { twice.Do(func() { close(released) }) }
}

func busy(t *testing.T, e store.Engine) {
	w, _ := start(t, store.Config{Engine: e, Linger: -1, MaxBatch: 1, Queue: 2})
	slow, running, release := block(key(store.CI, "slow"))
	defer release()
	var wg sync.WaitGroup
	wg.Go(func() { do(t, w, slow) })
	<-running
	refused := make(chan error, 10)
	for i := range 10 {
		wg.Go(func() {
			if _, err := w.Do(t.Context(), putOp(key(store.CI, "%d", i), "x")); err != nil {
				refused <- err
			}
		})
	}
	for range 8 { // two wait, eight are told at once
		if err := <-refused; !errors.Is(err, store.ErrBusy) {
			t.Errorf("Do with a full queue = %v, want ErrBusy", err)
		}
	}
	release()
	wg.Wait()
}

func withdraws(t *testing.T, e store.Engine) {
	w, _ := start(t, store.Config{Engine: e, Linger: -1, MaxBatch: 1})
	slow, running, release := block(key(store.CI, "slow"))
	defer release()
	var wg sync.WaitGroup
	wg.Go(func() { do(t, w, slow) })
	<-running
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	k := key(store.CI, "withdrawn")
	if _, err := w.Do(ctx, putOp(k, "x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Do that waited too long = %v, want context.DeadlineExceeded", err)
	}
	release()
	wg.Wait()
	do(t, w, putOp(key(store.CI, "later"), "x"))
	wantGet(t, e, k, "<nil>")
}

func notAbandoned(t *testing.T, e store.Engine) {
	w, stop := start(t, store.Config{Engine: e, Linger: -1})
	k := key(store.CI, "slow")
	slow, running, release := block(k)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { _, err := w.Do(ctx, slow); ended <- err }()
	<-running
	cancel()
	go func() { time.Sleep(10 * time.Millisecond); release() }()
	stop() // the writer, too, finishes what runs
	want := "x"
	if err := <-ended; err != nil {
		// Only if the engine lost the answer and had not committed is it put back.
		if _, lossy := e.(*WeakEngine); !lossy {
			t.Errorf("Do whose context ended while it ran = %v, want nil", err)
		}
		want = "<nil>"
	}
	wantGet(t, e, k, want)
}

func afterEnd(t *testing.T, e store.Engine) {
	w, stop := start(t, store.Config{Engine: e, Linger: -1, MaxBatch: 1})
	slow, running, release := block(key(store.CI, "slow"))
	defer release()
	var wg sync.WaitGroup
	queue := func(op store.Op) {
		wg.Go(func() {
			if _, err := w.Do(t.Context(), op); err != nil && !errors.Is(err, store.ErrClosed) {
				t.Errorf("Do that was under way at the end = %v, want nil or ErrClosed", err)
			}
		})
	}
	queue(slow)
	<-running
	for range 3 {
		queue(putOp(key(store.CI, "queued"), "x"))
	}
	go func() { time.Sleep(5 * time.Millisecond); release() }()
	stop()
	wg.Wait()
	if _, err := w.Do(t.Context(), putOp(key(store.CI, "after"), "x")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Do after the end = %v, want ErrClosed", err)
	}
}
