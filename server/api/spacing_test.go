package api

import (
	"math"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// worked lets a server take in n reports a second, for as long as a rate needs.
func worked(s *spacing, n int) (now time.Time) {
	now = noon
	for i := range int(rateOver.Seconds())*n + 1 {
		now = noon.Add(time.Duration(i) * time.Second / time.Duration(n))
		s.done(now)
	}
	return now
}

func TestAHerdIsGivenTimesOneAfterTheOtherAtTheRateOfTheServer(t *testing.T) {
	tests := []struct {
		name  string
		rate  int     // reports a second that the server took in
		times float64 // that are given out for each second
	}{
		{"that has not worked yet", 0, leastRate * 0.8},
		{"that is slower than any is taken for", 10, leastRate * 0.8},
		{"of a school", 200, 200 * 0.8},
		{"that is faster than any is taken for", 5000, mostRate * 0.8},
	}
	for _, tt := range tests {
		var s spacing
		now := noon
		if tt.rate > 0 {
			now = worked(&s, tt.rate)
		}
		const n = 4000
		last := time.Duration(0)
		for i := range n {
			wait := s.book(now)
			if wait < last || wait < soonest || wait > latest {
				t.Fatalf("a server %s: wait %d is %s after %s, want from %s to %s and rising", tt.name, i, wait, last, soonest, latest)
			}
			last = wait
		}
		if got := n / (last - soonest).Seconds(); math.Abs(got/tt.times-1) > 0.1 {
			t.Errorf("a server %s gives out %.0f times a second, want %.0f", tt.name, got, tt.times)
		}
	}
}

func TestTimesThatAreGivenOutEndAndBeginAgain(t *testing.T) {
	var s spacing
	given, last := 0, time.Duration(0)
	for wait := s.book(noon); wait >= last; wait = s.book(noon) {
		if given++; wait > latest {
			t.Fatalf("the wait is %s, at most %s is asked of a machine", wait, latest)
		}
		if given > 100_000 {
			t.Fatal("the times never end")
		}
		last = wait
	}
	if least := int((latest - soonest).Seconds() * leastRate * 0.8); given < least {
		t.Errorf("times begin again after %d, want %d", given, least)
	}
	if wait := s.book(noon.Add(time.Hour)); wait != soonest {
		t.Errorf("an hour later the first wait is %s, want %s", wait, soonest)
	}
	if wait := s.book(noon.Add(-10 * 365 * 24 * time.Hour)); wait != soonest {
		t.Errorf("with a clock that was set back the wait is %s, want %s", wait, soonest)
	}
}

func TestTheRateIsThatOfTheLastTenSecondsOfWork(t *testing.T) {
	var s spacing
	now := worked(&s, 100)
	if math.Abs(s.rate-100) > 1 {
		t.Errorf("rate %.1f, want 100", s.rate)
	}
	s.done(now.Add(-time.Hour)) // the clock is set back: begin to count anew
	for range 10 * 300 {
		s.done(now.Add(-time.Hour).Add(5 * time.Second))
	}
	s.done(now.Add(-time.Hour).Add(rateOver))
	if math.Abs(s.rate-300) > 1 {
		t.Errorf("after the clock was set back: rate %.1f, want 300", s.rate)
	}
}

func TestALargeFleetSpreadsItsFirstReports(t *testing.T) {
	for _, tt := range []struct {
		fleet int
		want  time.Duration
	}{{0, 0}, {200, time.Second}, {100_000, 500 * time.Second}, {10_000_000, mostBootWait}} {
		if got := bootSpread(tt.fleet); got != tt.want {
			t.Errorf("%d machines spread over %s, want %s", tt.fleet, got, tt.want)
		}
	}
}
