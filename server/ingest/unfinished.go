package ingest

import (
	"fmt"
	"sync"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store"
)

// unfinished is a report that has been read. If it lacks contents it is kept for
// some moments: the same bytes come again when the contents are there, as nearly
// every first report does, and to read them is half of what such a report costs.
type unfinished struct {
	rep   *rollcallv1.Report
	ws    resolved // next is nil if it was not resolved yet
	epoch uint64   // of the service when it was: since then no set was removed
	image string   // of the key then
}

// waiting keeps unfinished reports by the hashes of their envelopes.
type waiting struct {
	mu    sync.Mutex
	all   map[fact.Digest]*unfinished
	bytes int
}

const (
	// maxWaiting bounds the deltas, in bytes, of all reports that are kept. A first
	// report has some hundred thousand, and as much again once it is resolved.
	maxWaiting = 32 << 20
	// keptFor is how long reports are kept at most: contents are uploaded at once.
	keptFor = 30 * time.Second
)

// keep remembers a report. Where there is no room all others are forgotten: they are
// read again.
func (w *waiting) keep(hash fact.Digest, u *unfinished) {
	size := u.size()
	if size > maxWaiting/4 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bytes+size > maxWaiting {
		w.all, w.bytes = nil, 0
	}
	if w.all == nil {
		w.all = map[fact.Digest]*unfinished{}
		time.AfterFunc(keptFor, w.forget)
	}
	if w.all[hash] == nil {
		w.all[hash] = u
		w.bytes += size
	}
}

// forget drops all reports.
func (w *waiting) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all, w.bytes = nil, 0
}

// take returns a report that is remembered, and forgets it: nobody else may use it
// at the same time.
func (w *waiting) take(hash fact.Digest) *unfinished {
	w.mu.Lock()
	defer w.mu.Unlock()
	u := w.all[hash]
	if u != nil {
		delete(w.all, hash)
		w.bytes -= u.size()
	}
	return u
}

func (u *unfinished) size() int {
	n := 1 << 10
	for _, d := range u.rep.GetDeltas() {
		n += len(d)
	}
	return n
}

// open reads the report in an envelope whose signature has been verified.
func (s *Service) open(key enrol.Key, body *rollcallv1.Body, hash fact.Digest) (*unfinished, error) {
	if u := s.waiting.take(hash); u != nil {
		return u, nil
	}
	rep, err := decodeReport(body.GetPayload())
	if err != nil {
		return nil, err
	}
	if key.TrustClass() == enrol.T0 && namesSealed(rep) {
		return nil, fmt.Errorf("report of key %s: %w: it names sealed files", key.ID, enrol.ErrTrust)
	}
	return &unfinished{rep: rep}, nil
}

// again looks anew for the contents that a report lacked when it was resolved. It
// returns false if it must be resolved: the first time, where sets were removed
// meanwhile that it may stand on, where it stands on an image, or where its CI is
// another than it was. It is called under alone.
func (s *Service) again(r store.Reader, key enrol.Key, u *unfinished) (bool, error) {
	if u.ws.next == nil || u.epoch != s.epoch || u.ws.image || u.image != key.Image {
		return false, nil
	}
	items := cmdb.At(r, s.Tenant, s.Sets, cmdb.Everywhere)
	ci, err := items.CI(key.CI)
	if err != nil || ci.Site != u.ws.site || !u.ws.full && ci.State.Digest() != u.ws.base.Digest() {
		return false, err
	}
	for d := range u.ws.lacking {
		held, err := items.Holds(u.ws.site, d)
		if err != nil {
			return false, err
		}
		if held {
			delete(u.ws.lacking, d)
		}
	}
	u.ws.ask()
	return true, nil
}
