package ingest

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"rollcall/internal/fact"
)

// questions remembers which contents machines have been asked for and have not
// uploaded yet. The machines of a new room are alike and report at the same time:
// each would be asked for the same thousand contents. So one of them is asked, and
// the others wait for a moment, each once; then they are asked themselves, whatever
// the first one does. Only machines of the very same site wait for each other, and
// what they may name is what was uploaded there, as before: nobody learns from it
// what is held elsewhere.
type questions struct {
	mu      sync.Mutex
	out     map[contentAt]question
	news    chan struct{} // closed and replaced when contents have come
	waiting int           // reports

	patience time.Duration // 0: as the constant says
}

type contentAt struct {
	site    string
	content fact.Digest
}

type question struct {
	key string // id of the one that was asked
	at  time.Time
}

const (
	answerWithin = 30 * time.Second // after that anybody is asked again
	patience     = 2 * time.Second  // as long does a report wait
	maxPatient   = 16               // reports that wait at once: a quarter of those that are worked on
	maxQuestions = 200_000          // that are remembered
)

// ask returns which contents a key is to be asked for now: those that nobody else
// at the site has been asked for a short while ago, or all.
func (q *questions) ask(now time.Time, key, site string, missing []fact.Digest, all bool) (asked []fact.Digest) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.out == nil || len(q.out)+len(missing) > maxQuestions {
		q.out = map[contentAt]question{}
	}
	for _, d := range missing {
		at := contentAt{site, d}
		if all || !q.open(now, key, at) {
			q.out[at] = question{key, now}
			asked = append(asked, d)
		}
	}
	return asked
}

// open tells whether another key has been asked. It is called under mu.
func (q *questions) open(now time.Time, key string, at contentAt) bool {
	have, asked := q.out[at]
	return asked && have.key != key && now.Sub(have.at) < answerWithin
}

// answered notes that contents have come.
func (q *questions) answered(site string, contents []fact.Digest) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range contents {
		delete(q.out, contentAt{site, d})
	}
	if q.news != nil {
		close(q.news)
		q.news = nil
	}
}

// wait returns when others have uploaded what they were asked for, or have not for
// too long, and at once where enough reports wait.
func (q *questions) wait(ctx context.Context, now time.Time, key, site string, missing []fact.Digest) {
	if !q.enter() {
		return
	}
	defer q.leave()
	late := time.NewTimer(cmp.Or(q.patience, patience))
	defer late.Stop()
	for {
		news, open := q.coming(now, key, site, missing)
		if !open {
			return
		}
		select {
		case <-news:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// coming tells whether some contents are still out, and gives a channel that is
// closed when contents have come.
func (q *questions) coming(now time.Time, key, site string, missing []fact.Digest) (news <-chan struct{}, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.news == nil {
		q.news = make(chan struct{})
	}
	return q.news, slices.ContainsFunc(missing, func(d fact.Digest) bool { return q.open(now, key, contentAt{site, d}) })
}

func (q *questions) enter() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting >= maxPatient {
		return false
	}
	q.waiting++
	return true
}

func (q *questions) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting--
}
