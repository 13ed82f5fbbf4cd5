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

// What is stored in the same transaction as the revision, in bytes; more goes
// before it.
const (
	smallEnvelope = 256 << 10
	smallSets     = 400 << 10 // together
)

// Envelope returns the envelope that led to a revision, as it came. It returns
// store.ErrNoBlob if it is not there, and store.ErrCorrupt if it is another.
func Envelope(g store.Getter, tenant string, hash fact.Digest) ([]byte, error) {
	raw, err := store.GetBlob(g, tenant, envelopeKind, hash)
	if err == nil && sha256.Sum256(raw) != hash {
		err = fmt.Errorf("envelope %s: %w: it is another", hash, store.ErrCorrupt)
	}
	return raw, err
}

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
func (s *Service) quarantine(tx store.Tx, key enrol.Key, body *rollcallv1.Body, hash fact.Digest, raw []byte) (Result, error) {
	if err := enrol.In(tx, s.Tenant, cmdb.In(tx, s.Tenant, cmdb.Everywhere)).MarkCloned(key.ID); err != nil {
		return Result{}, err
	}
	if err := s.putEnvelope(tx, hash, raw); err != nil {
		return Result{}, err
	}
	log := evidence.In(tx, s.Tenant)
	if known, err := log.Has(hash); err != nil {
		return Result{}, err
	} else if !known { // the same one may come again and again
		leaf := evidence.Entry{Kind: evidence.Fork, CI: key.CI, Seq: body.GetSeq(), Subject: hash[:]}
		if _, err := log.Append(s.now(), leaf); err != nil {
			return Result{}, err
		}
	}
	f := Fork{At: s.now(), CI: key.CI, Seq: body.GetSeq(), Prev: body.GetPrev()}
	return Result{Outcome: Quarantined}, store.PutJSON(tx, forkKey(s.Tenant, key.ID, hash), f)
}

// forked handles a report that did not fit its chain when it was read: whether
// its base is known does not matter then, it is no report of this machine alone.
func (s *Service) forked(ctx context.Context, key enrol.Key, body *rollcallv1.Body, hash fact.Digest, raw []byte) (Result, error) {
	if err := s.putLargeEnvelope(ctx, hash, raw); err != nil {
		return Result{}, err
	}
	var res Result
	_, err := s.Writer.Do(ctx, store.Op{Touch: []string{key.CI}, Fn: func(tx store.Tx) error {
		keys := enrol.In(tx, s.Tenant, cmdb.In(tx, s.Tenant, cmdb.Everywhere))
		present, chain, err := s.present(keys, key)
		if err != nil {
			return err
		}
		receipt, err := store.GetFramed(tx, receiptKey(s.Tenant, key.ID, hash))
		switch {
		case err != nil:
			return err
		case receipt != nil: // it was on its way twice
			res = Result{Outcome: Recorded, Receipt: bytes.Clone(receipt)}
			return nil
		case follows(present, chain, body): // the one before it was on its way
			res = Result{Outcome: NeedFull}
			return nil
		}
		res, err = s.quarantine(tx, present, body, hash, raw)
		return err
	}})
	return res, err
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
func (s *Service) tick(ctx context.Context, key enrol.Key, chain enrol.Chain, body *rollcallv1.Body, hash fact.Digest, raw []byte) (Result, error) {
	if key.Cloned {
		return Result{Outcome: Quarantined}, nil
	}
	switch s.ticks.note(key.ID, body.GetSeq(), chain.Seq, hash) {
	case tickRepeated:
		return Result{Outcome: Seen}, nil
	case tickForked:
		var res Result
		_, err := s.Writer.Do(ctx, store.Op{Touch: []string{key.CI}, Fn: func(tx store.Tx) error {
			present, _, err := s.present(enrol.In(tx, s.Tenant, cmdb.In(tx, s.Tenant, cmdb.Everywhere)), key)
			if err == nil {
				res, err = s.quarantine(tx, present, body, hash, raw)
			}
			return err
		}})
		return res, err
	}
	same := false
	err := s.Engine.View(ctx, func(r store.Reader) error {
		ci, err := cmdb.At(r, s.Tenant, s.Sets, cmdb.Everywhere).CI(key.CI)
		d := ci.State.Digest()
		same = bytes.Equal(body.GetState(), d[:]) && bytes.Equal(body.GetPrev(), chain.Head)
		return err
	})
	switch {
	case err != nil || same:
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
