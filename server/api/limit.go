package api

import (
	"context"
	"hash/crc32"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter bounds attempts by address. Socket addresses only: headers that claim
// another address are not looked at.
type limiter struct {
	mu      sync.Mutex
	enrols  map[string]*rate.Limiter
	logins  map[string]*rate.Limiter
	names   [4096]*rate.Limiter // password attempts, by a hash of the name
	hosts   map[string]*rate.Limiter
	uploads map[string]int // streams that are open, by key, those that wait included
	open    int            // in all
	turns   chan struct{}  // one for each upload that is read
	lines   *rate.Limiter
	skipped int
}

// line tells whether a refusal is worth a line of the log, 100 at once and then ten
// a second, and how many were not since the last one: a flood of refused calls must
// not fill the disk by way of the log.
func (l *limiter) line() (skipped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines == nil {
		l.lines = rate.NewLimiter(10, 100)
	}
	if !l.lines.Allow() {
		l.skipped++
		return 0, false
	}
	skipped, l.skipped = l.skipped, 0
	return skipped, true
}

const limiterEntries = 10_000

func (s *Service) limits() *limiter { return &s.limiter }

func (l *limiter) of(m *map[string]*rate.Limiter, host string, every time.Duration, burst int) *rate.Limiter {
	if *m == nil || len(*m) > limiterEntries {
		*m = map[string]*rate.Limiter{}
	}
	if (*m)[host] == nil {
		(*m)[host] = rate.NewLimiter(rate.Every(every), burst)
	}
	return (*m)[host]
}

// enrolmentsPerHost is what an address may ask for in a minute, unless the server is
// told otherwise: a school behind one address can still enrol a classroom.
const enrolmentsPerHost = 60

// enrol allows so many requests for admission at once from an address, and then as
// many evenly over each minute.
func (l *limiter) enrol(host string, perMinute int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of(&l.enrols, host, time.Minute/time.Duration(perMinute), perMinute).Allow()
}

// failure counts a failed login and tells whether the address had some left: 10
// at once, then one in ten seconds.
func (l *limiter) failure(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of(&l.logins, host, 10*time.Second, 10).Allow()
}

// attempt counts an attempt to log in with a password, by address and by name: 10
// at once, then one in ten seconds. ok is false if one of them has none left;
// again takes the attempt back, for one that was good. Names share a fixed number
// of counts, so that trying many names makes nobody's forgotten.
func (l *limiter) attempt(host, name string, now time.Time) (again func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := crc32.ChecksumIEEE([]byte(name)) % uint32(len(l.names))
	if l.names[sum] == nil {
		l.names[sum] = rate.NewLimiter(rate.Every(10*time.Second), 10)
	}
	of := []*rate.Reservation{l.of(&l.hosts, host, 10*time.Second, 10).ReserveN(now, 1), l.names[sum].ReserveN(now, 1)}
	back := func() {
		for _, r := range of {
			r.CancelAt(now)
		}
	}
	if of[0].DelayFrom(now) > 0 || of[1].DelayFrom(now) > 0 {
		back()
		return nil, false
	}
	return back, true
}

// Each upload holds up to 20 MiB: these bound what all hold together. Who waits for
// her turn holds what the stream's window lets through.
const (
	maxUploads       = 24
	maxUploadsPerKey = 2 // of both
	uploadQueue      = 192
)

// upload makes room for a stream of contents, until leave is called. It waits for it
// as long as a report may; ok is false if there is none even then.
func (l *limiter) upload(ctx context.Context, key string) (leave func(), ok bool) {
	turns := l.queueUp(key)
	if turns == nil {
		return nil, false
	}
	limited, stop := context.WithTimeout(ctx, queueWithin)
	defer stop()
	select {
	case turns <- struct{}{}:
		return func() {
			<-turns
			l.goAway(key)
		}, true
	case <-limited.Done():
		l.goAway(key)
		return nil, false
	}
}

// queueUp counts a stream; nil: it is one too many.
func (l *limiter) queueUp(key string) (turns chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= maxUploads+uploadQueue || l.uploads[key] >= maxUploadsPerKey {
		return nil
	}
	if l.uploads == nil {
		l.uploads, l.turns = map[string]int{}, make(chan struct{}, maxUploads)
	}
	l.open++
	l.uploads[key]++
	return l.turns
}

func (l *limiter) goAway(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.uploads[key]--; l.uploads[key] == 0 {
		delete(l.uploads, key)
	}
}
