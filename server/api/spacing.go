package api

import "time"

// Bounds of what the server demands of machines.
const (
	leastRate    = 50.0 // reports a second that any server takes in
	mostRate     = 1000.0
	soonest      = 5 * time.Second
	latest       = 15 * time.Minute
	rateOver     = 10 * time.Second // the time that a rate is measured over
	bootRate     = 200              // machines a second that may come after a power cut
	mostBootWait = time.Hour
)

// spacing hands out the times at which those that were refused shall come again:
// one after the other at the rate at which the server takes reports in. Told the
// same, they would come back as the herd that they were. It is used under the mutex
// of load.
type spacing struct {
	next  time.Time // the first time that is not given out
	rate  float64   // reports a second, while there was work
	since time.Time
	n     int
}

// done counts a report that was worked on.
func (s *spacing) done(now time.Time) {
	if s.since.IsZero() || now.Before(s.since) {
		s.since, s.n = now, 0
	}
	s.n++
	if span := now.Sub(s.since); span >= rateOver {
		s.rate = float64(s.n) / span.Seconds()
		s.since, s.n = now, 0
	}
}

// book gives out the next free time, as a wait of whole seconds, so that a herd of
// 100,000 machines is spread over as long as it takes to serve it.
func (s *spacing) book(now time.Time) time.Duration {
	rate := min(max(s.rate, leastRate), mostRate) * 0.8 // some come in between that nobody told
	first, last := now.Add(soonest), now.Add(latest)
	if s.next.Before(first) || s.next.After(last) { // full: begin again, they have jitter of their own
		s.next = first
	}
	wait := s.next.Sub(now)
	s.next = s.next.Add(time.Duration(float64(time.Second) / rate))
	return wait.Round(time.Second)
}

// bootSpread is over how long the machines of a fleet shall spread their first
// reports after a power cut: 100,000 need more time than the five minutes that is
// their own default.
func bootSpread(fleet int) time.Duration {
	return min(time.Duration(fleet)*time.Second/bootRate, mostBootWait)
}
