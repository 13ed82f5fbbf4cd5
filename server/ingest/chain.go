package ingest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store"
)

// Keys of this package. Changing one breaks every existing database.
//
//	space   key                                   value
//	Record  <t>/receipt/<key id>/<envelope hash>  the receipt that was given
//	Record  <t>/fork/<key id>/<envelope hash>     Fork, framed JSON
//	Blob    <t>/envelope/<hash>                   the envelope as it came
const envelopeKind = "envelope"

func receiptKey(tenant, key string, hash fact.Digest) store.Key {
	return store.At(store.Record, tenant, "/receipt/", key, "/", string(hash[:]))
}

func forkKey(tenant, key string, hash fact.Digest) store.Key {
	return store.At(store.Record, tenant, "/fork/", key, "/", string(hash[:]))
}

// smallEnvelope is the size in bytes up to which an envelope is stored in the
// same transaction as its revision; a larger one goes before.
const smallEnvelope = 256 << 10

// Fork is one envelope that did not fit its key's chain: the key speaks from two
// places, as after cloning a disk. The envelope itself is stored beside it.
type Fork struct {
	At   time.Time `json:"at"`
	CI   string    `json:"ci"`
	Seq  uint64    `json:"seq"`
	Prev []byte    `json:"prev,omitempty"`
}

// quarantine keeps an envelope that does not fit its chain apart and marks key
// and CI. Neither branch wins by itself: an operator revokes the key.
func (s *Service) quarantine(tx store.Tx, key enrol.Key, body *rollcallv1.Body, hash fact.Digest) (Result, error) {
	if err := enrol.In(tx, s.Tenant, cmdb.In(tx, s.Tenant)).MarkCloned(key.ID); err != nil {
		return Result{}, err
	}
	f := Fork{At: s.now(), CI: key.CI, Seq: body.GetSeq(), Prev: body.GetPrev()}
	return Result{Outcome: Quarantined}, store.PutJSON(tx, forkKey(s.Tenant, key.ID, hash), f)
}

// tick handles an envelope without payload: nothing has changed.
func (s *Service) tick(ctx context.Context, key enrol.Key, chain enrol.Chain, body *rollcallv1.Body, hash fact.Digest) (Result, error) {
	if key.Cloned {
		return Result{Outcome: Quarantined}, nil
	}
	switch s.ticks.note(key.ID, body.GetSeq(), chain.Seq, hash) {
	case tickRepeated:
		return Result{Outcome: Seen}, nil
	case tickForked:
		var res Result
		_, err := s.Writer.Do(ctx, store.Op{Touch: []string{key.CI}, Fn: func(tx store.Tx) (err error) {
			res, err = s.quarantine(tx, key, body, hash)
			return err
		}})
		return res, err
	}
	same := false
	err := s.Engine.View(ctx, func(r store.Reader) error {
		ci, err := cmdb.At(r, s.Tenant, s.Sets).CI(key.CI)
		d := ci.State.Digest()
		same = bytes.Equal(body.GetState(), d[:]) && bytes.Equal(body.GetPrev(), chain.Head)
		return err
	})
	if err != nil || !same {
		return Result{Outcome: NeedFull}, err
	}
	return Result{Outcome: Seen}, nil
}

// tickMemory remembers the newest tick of each key since the server started.
// Ticks are not stored, so this notices a clone only while both are about.
type tickMemory struct {
	mu   sync.Mutex
	last map[string]tickMark
}

type tickMark struct {
	seq  uint64
	hash fact.Digest
}

type tickNews int

const (
	tickNew tickNews = iota
	tickRepeated
	tickForked
)

func (t *tickMemory) note(key string, seq, recorded uint64, hash fact.Digest) tickNews {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = map[string]tickMark{}
	}
	last := t.last[key]
	switch {
	case hash == last.hash:
		return tickRepeated
	case seq <= max(last.seq, recorded):
		return tickForked
	}
	t.last[key] = tickMark{seq, hash}
	return tickNew
}

// Limits of one key: how much it may send, and how often.
const (
	burst        = 60              // envelopes at once
	refill       = 5 * time.Second // one more envelope
	bytesPerDay  = 200 << 20       // envelopes and contents together
	quotaEntries = 200_000         // keys remembered at most
)

// quotas bounds what each key may send.
type quotas struct {
	mu   sync.Mutex
	keys map[identity.KeyID]*quota
}

type quota struct {
	tokens float64
	at     time.Time
	day    int64
	bytes  int
}

// take counts size bytes of one envelope, or returns ErrQuota.
func (q *quotas) take(id identity.KeyID, size int, now time.Time) error {
	return q.count(id, size, 1, now)
}

func (q *quotas) count(id identity.KeyID, size int, tokens float64, now time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.keys == nil || len(q.keys) > quotaEntries {
		q.keys = map[identity.KeyID]*quota{}
	}
	k := q.keys[id]
	if k == nil {
		k = &quota{tokens: burst, at: now}
		q.keys[id] = k
	}
	k.tokens = min(burst, k.tokens+max(0, now.Sub(k.at).Seconds())/refill.Seconds())
	k.at = now
	if day := now.Unix() / 86400; day != k.day {
		k.day, k.bytes = day, 0
	}
	if k.tokens < tokens {
		return fmt.Errorf("key %s: %w: more than %d envelopes at once", id, ErrQuota, burst)
	}
	if k.bytes+size > bytesPerDay {
		return fmt.Errorf("key %s: %w: more than %d bytes today", id, ErrQuota, bytesPerDay)
	}
	k.tokens -= tokens
	k.bytes += size
	return nil
}
