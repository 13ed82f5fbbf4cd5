package api

import (
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
	uploads map[string]int // streams that are open, by key
	open    int
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

// enrol allows 60 requests at once from an address, then one a second: a school
// behind one address can still enrol a classroom.
func (l *limiter) enrol(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of(&l.enrols, host, time.Second, 60).Allow()
}

// failure counts a failed login and tells whether the address had some left: 10
// at once, then one in ten seconds.
func (l *limiter) failure(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of(&l.logins, host, 10*time.Second, 10).Allow()
}

// Each upload holds up to 20 MiB: these bound what all hold together.
const (
	maxUploads       = 24
	maxUploadsPerKey = 2
)

// upload makes room for a stream of contents, until leave is called; ok is false
// if there is none.
func (l *limiter) upload(key string) (leave func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= maxUploads || l.uploads[key] >= maxUploadsPerKey {
		return nil, false
	}
	if l.uploads == nil {
		l.uploads = map[string]int{}
	}
	l.open++
	l.uploads[key]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open--
		if l.uploads[key]--; l.uploads[key] == 0 {
			delete(l.uploads, key)
		}
	}, true
}
