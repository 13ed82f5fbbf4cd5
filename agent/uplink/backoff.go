package uplink

import "time"

// Bounds of waiting. MaxRetry is the most that a server may demand: a hostile or
// confused one must not silence an agent for good.
const (
	MinWait  = 5 * time.Second
	MaxWait  = 15 * time.Minute
	MaxRetry = 24 * time.Hour
)

// Backoff spaces attempts out, so that a school that gets its power back does
// not ask as one. The zero value needs Rand to be set.
type Backoff struct {
	// Rand gives a number of [0, n), see math/rand/v2.Int64N.
	Rand   func(n int64) int64
	failed int
}

// Next returns how long to wait after a failure: evenly between MinWait and a
// bound that doubles up to MaxWait ("full jitter"). A longer demand of the
// server is honoured, up to MaxRetry, and stretched by up to a tenth, because
// everybody may have been told the same.
func (b *Backoff) Next(demand time.Duration) time.Duration {
	bound := MaxWait
	if b.failed < 8 {
		bound = min(bound, 2*MinWait<<b.failed)
		b.failed++
	}
	wait := MinWait + time.Duration(b.Rand(int64(bound-MinWait)+1))
	if demand = min(demand, MaxRetry); demand > wait {
		wait = demand + time.Duration(b.Rand(int64(demand/10)+1))
	}
	return wait
}

// Reset forgets the failures, after a success.
func (b *Backoff) Reset() { b.failed = 0 }

func bounded(seconds uint32) time.Duration {
	return min(time.Duration(seconds)*time.Second, MaxRetry)
}
