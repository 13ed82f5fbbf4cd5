package ingest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/store"
)

// Keys of this package. Changing one breaks every existing database.
//
//	space   key                                   value
//	Record  <t>/report/<leaf be64>                recorded, by the index of its leaf in the log
//	Record  <t>/receipt/<key id>/<envelope hash>  the receipt that was given, by a program of before schema version 3
//	Record  <t>/fork/<key id>/<envelope hash>     Fork, framed JSON
//	Meta    <t>/envelopes-pruned                  time in ms since 1970 before which envelopes are not kept, be64
//	Blob    <t>/envelope/<hash>                   an envelope as it came that is not in its report: a large one, one
//	                                              that was kept apart, and all of before schema version 3
const envelopeKind = "envelope"

func receiptKey(tenant, key string, hash fact.Digest) store.Key {
	return store.At(store.Record, tenant, "/receipt/", key, "/", string(hash[:]))
}

func forkKey(tenant, key string, hash fact.Digest) store.Key {
	return store.At(store.Record, tenant, "/fork/", key, "/", string(hash[:]))
}

func forkPrefix(tenant, key string) store.Key {
	return store.At(store.Record, tenant, "/fork/", key, "/")
}

// arrival is an envelope as it came.
type arrival struct {
	raw  []byte
	hash fact.Digest
	from string // address, or who carried it

	carried bool // in a file, not over a connection of its key
}

// What is stored in the same transaction as the revision, in bytes; more goes
// before it.
const (
	smallEnvelope = 256 << 10
	smallSets     = 400 << 10 // together
)

// Envelope returns the envelope that led to a revision, as it came. It returns
// store.ErrNoBlob if it is not there, and store.ErrCorrupt if it is another.
func Envelope(g store.Getter, tenant string, hash fact.Digest) ([]byte, error) {
	r, _, ok, err := recordedAs(g, tenant, hash)
	raw := r.envelope
	if err == nil && (!ok || raw == nil) {
		raw, err = store.GetBlob(g, tenant, envelopeKind, hash)
	}
	if err == nil && sha256.Sum256(raw) != hash {
		err = fmt.Errorf("envelope %s: %w: it is another", hash, store.ErrCorrupt)
	}
	return raw, err
}

// present reads a key and its chain again, within the transaction that relies on
// them. It returns enrol.ErrUnknown if the key has been revoked meanwhile.
func (s *Service) present(keys enrol.Writer, key enrol.Key) (enrol.Key, enrol.Chain, error) {
	id, err := identity.ParseKeyID(key.ID)
	if err != nil {
		return enrol.Key{}, enrol.Chain{}, err
	}
	present, err := keys.Key(id)
	if err != nil {
		return enrol.Key{}, enrol.Chain{}, err
	}
	chain, err := keys.Chain(key.ID)
	return present, chain, err
}

// tick handles an envelope without payload: nothing has changed.
func (s *Service) tick(ctx context.Context, known recollection, body *rollcallv1.Body, env arrival) (Result, error) {
	key, chain := known.key, known.chain
	switch {
	case key.Cloned:
		return Result{Outcome: Quarantined}, nil
	case chain.Restart:
		return Result{Outcome: NeedFull}, nil
	}
	switch s.ticks.note(key.ID, body.GetSeq(), chain.Seq, env.hash) {
	case tickRepeated:
		return Result{Outcome: Seen}, nil
	case tickForked:
		var res Result
		_, err := s.Writer.Do(ctx, store.Op{Touch: []string{key.CI}, Fn: func(tx store.Tx) error {
			present, _, err := s.present(enrol.In(tx, s.Tenant, cmdb.In(tx, s.Tenant, cmdb.Everywhere)), key)
			if err == nil {
				res, err = s.quarantine(tx, present, body, env)
			}
			return err
		}})
		return res, err
	}
	switch {
	case bytes.Equal(body.GetState(), known.state[:]) && bytes.Equal(body.GetPrev(), chain.Head):
		id, err := identity.ParseKeyID(key.ID)
		if now := s.now(); err == nil {
			s.days.note(id, body.GetSeq(), env.hash, now.UnixMilli(), evidence.Day(now))
		}
		return Result{Outcome: Seen}, err
	case body.GetKeptFrom() > 0 && !bytes.Equal(body.GetPrev(), chain.Head):
		// Either this server was restored, or that machine is a clone. What is
		// sent again has to fit the chain, so neither can do harm.
		return Result{Outcome: Resend, Have: chain.Head}, nil
	}
	return Result{Outcome: NeedFull}, nil
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

// forget lets a key begin anew with any number.
func (t *tickMemory) forget(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.last, key)
}

// Limits of one key: how much it may send, and how often.
const (
	defaultBurst       = 200             // envelopes at once
	refill             = 5 * time.Second // one more envelope
	defaultBytesPerDay = 200 << 20       // envelopes and contents together
	quotaEntries       = 200_000         // keys remembered at most
)

// quotas bounds what each key may send.
type quotas struct {
	mu   sync.Mutex
	keys map[identity.KeyID]*quota
}

func (s *Service) takeQuota(id identity.KeyID, size int, envelopes float64) error {
	burst, perDay := cmp.Or(s.Burst, defaultBurst), cmp.Or(s.BytesPerDay, defaultBytesPerDay)
	return s.quota.take(id, size, envelopes, float64(burst), perDay, s.now())
}

type quota struct {
	tokens float64
	at     time.Time
	day    int64
	bytes  int
}

// giveBack undoes what take counted for an envelope that the server had no room for.
func (q *quotas) giveBack(id identity.KeyID, size int, tokens float64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if k := q.keys[id]; k != nil {
		k.tokens += tokens
		k.bytes = max(0, k.bytes-size)
	}
}

// take counts envelopes and size bytes, or returns ErrQuota.
func (q *quotas) take(id identity.KeyID, size int, tokens, burst float64, perDay int, now time.Time) error {
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
		return fmt.Errorf("key %s: %w: more than %.0f envelopes at once", id, ErrQuota, burst)
	}
	if k.bytes+size > perDay {
		return fmt.Errorf("key %s: %w: more than %d bytes today", id, ErrQuota, perDay)
	}
	k.tokens -= tokens
	k.bytes += size
	return nil
}
