package api

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/server/store"
)

// wantBusy tells how long a refusal asks to wait.
func wantBusy(t *testing.T, what string, err error) time.Duration {
	t.Helper()
	var b busy
	if !errors.As(err, &b) || !errors.Is(err, store.ErrBusy) || b.RetryAfter() <= 0 {
		t.Fatalf("%s: %v, want a refusal that says when to come again", what, err)
	}
	return b.RetryAfter()
}

func TestReportsAreBoundedForEachKeyAndInAllUntilTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoad()
		ctx, end := context.WithCancel(t.Context())
		for i := range perKey {
			if err := l.report(ctx, "one", noon); err != nil {
				t.Fatalf("report %d of a key: %v", i, err)
			}
		}
		wantBusy(t, "one more of the key", l.report(ctx, "one", noon))
		for i := range applies + queue - perKey {
			if err := l.report(ctx, fmt.Sprint(i), noon); err != nil {
				t.Fatalf("report of another key: %v", err)
			}
		}
		first := wantBusy(t, "one more than all", l.report(ctx, "another", noon))
		for range 100 {
			l.report(ctx, "another", noon)
		}
		if last := wantBusy(t, "a hundred more", l.report(ctx, "another", noon)); last <= first {
			t.Errorf("those that are refused later come again after %s, the first after %s: they stay a herd", last, first)
		}
		end()
		synctest.Wait()
		if l.inside != 0 || len(l.keys) != 0 {
			t.Errorf("%d reports of %d keys are counted after all have ended", l.inside, len(l.keys))
		}
		if err := l.report(t.Context(), "one", noon); err != nil {
			t.Errorf("after all have ended: %v", err)
		}
	})
}

func TestAReportThatWaitsTooLongIsToldWhenToComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoad()
		var done []func()
		for range applies {
			d, err := l.work(t.Context(), time.Now)
			if err != nil {
				t.Fatal(err)
			}
			done = append(done, d)
		}
		began := time.Now()
		_, err := l.work(t.Context(), time.Now)
		wantBusy(t, "all are at work", err)
		if got := time.Since(began); got != queueWithin {
			t.Errorf("it waited %s, want %s", got, queueWithin)
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := l.work(gone, time.Now); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller who has gone: %v, want its own error", err)
		}
		time.AfterFunc(time.Second, done[0])
		began = time.Now()
		d, err := l.work(t.Context(), time.Now)
		if err != nil || time.Since(began) != time.Second {
			t.Fatalf("when one has ended after a second: %v after %s", err, time.Since(began))
		}
		d()
		for _, d := range done[1:] {
			d()
		}
		if n := len(l.slots); n != 0 || l.spacing.n != applies+1 {
			t.Errorf("%d are at work and %d were counted after all have ended, want 0 and %d", n, l.spacing.n, applies+1)
		}
	})
}

func TestRequestsForAdmissionAreBoundedUntilTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoad()
		ctx, end := context.WithCancel(t.Context())
		for range enrolments {
			if err := l.enrol(ctx, time.Now); err != nil {
				t.Fatal(err)
			}
		}
		wantBusy(t, "one more", l.enrol(ctx, time.Now))
		end()
		synctest.Wait()
		if err := l.enrol(t.Context(), time.Now); err != nil || l.enrols != 1 {
			t.Errorf("after all have ended: %v, %d counted", err, l.enrols)
		}
	})
}
