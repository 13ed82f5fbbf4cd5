// Package ingest takes signed envelopes in and gives recorded revisions and
// signed receipts out. It verifies before it parses, decides about sequence,
// chain and base, and leaves admission to enrol and history to cmdb.
//
// The way of one envelope: verify → decode → resolve (sets and contents) →
// record (one lane transaction) → receipt. A receipt leaves only after the
// commit, and never waits for git.
package ingest

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/failpoint"
	"rollcall/internal/identity"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store"
)

// Errors that callers branch on. What is wrong with an envelope is in the
// sentence around them.
var (
	ErrMalformed = errors.New("malformed report")
	ErrKey       = errors.New("the envelope is not from the connected key")
	ErrRealm     = errors.New("the report is for another server")
	ErrQuota     = errors.New("too much from this machine")
)

// Outcome of an accepted envelope.
type Outcome int

// The outcomes, as on the wire.
const (
	Recorded Outcome = iota + 1
	Seen
	NeedFull
	NeedContent
	Quarantined
	Resend
)

// String names the outcome for logs and metrics.
func (o Outcome) String() string {
	return [...]string{"none", "recorded", "seen", "need-full", "need-content", "quarantined", "resend"}[o]
}

// Result is what the agent is told.
type Result struct {
	Outcome Outcome
	Receipt []byte
	Missing []fact.Digest
	Have    []byte // with Resend: hash of the newest envelope of the key
	CI      string // for the server's log
	Trust   string // class of the key
	// Policy is the version of the policy that the machine says it has; nil: it takes
	// none.
	Policy *uint64

	FirstFork bool // the first one kept apart since an operator last decided
}

// Service accepts envelopes. All fields up to Now must be set.
type Service struct {
	Engine   store.Engine
	Writer   *store.Writer
	Tenant   string
	Key      identity.Key // the server's: signs receipts, founds the realm
	Sets     *cmdb.Sets
	Presence *cmdb.Presence
	Now      func() time.Time
	// What one key may send: envelopes at once, and bytes a day. 0: 200 and 200 MiB.
	Burst, BytesPerDay int
	// Told is handed what a machine measured, with each report and each tick that is
	// taken; nil: nobody wants it. It must return at once.
	Told func(ci string, measured []byte)
	// Realm is what the first server key founded; nil: Key did. Past are the
	// public keys that the server had before: it believes its own receipts.
	Realm []byte
	Past  []ed25519.PublicKey

	alone   sync.RWMutex // read by every report between looking for contents and naming them
	epoch   uint64       // how often contents and sets were removed, under alone
	gaps    gaps
	asked   questions
	waiting waiting
	ticks   tickMemory
	days    days
	quota   quotas
	lag     atomic.Int64
	under   atomic.Int64 // reports under way
}

// Accept handles one envelope that came over a connection whose TLS key is peer,
// from an address.
// The same bytes give the same receipt, however often they come.
func (s *Service) Accept(ctx context.Context, peer ed25519.PublicKey, from string, raw []byte) (Result, error) {
	return s.take(ctx, peer, arrival{raw: raw, from: from})
}

// take accepts an envelope of the key peer, whichever way it came.
func (s *Service) take(ctx context.Context, peer ed25519.PublicKey, came arrival) (Result, error) {
	raw := came.raw
	failpoint.Hit(failpoint.AfterRecv)
	s.under.Add(1)
	defer s.under.Add(-1)
	env, err := identity.OpenEnvelope(raw)
	if err != nil {
		return Result{}, err
	}
	if env.KeyID != identity.IDOf(peer) {
		return Result{}, fmt.Errorf("envelope of key %s over a connection of key %s: %w", env.KeyID, identity.IDOf(peer), ErrKey)
	}
	if err := s.takeQuota(env.KeyID, len(raw), 1); err != nil {
		return Result{}, err
	}
	came.hash = sha256.Sum256(raw)
	res, err := s.accept(ctx, env, came)
	if errors.Is(err, store.ErrReadOnly) || errors.Is(err, store.ErrBusy) || errors.Is(err, store.ErrClosed) {
		s.quota.giveBack(env.KeyID, len(raw), 1) // it comes again, through no fault of the machine
	}
	return res, err
}

func (s *Service) accept(ctx context.Context, env identity.Envelope, came arrival) (Result, error) {
	now := s.now()
	known, err := s.recall(ctx, env.KeyID)
	if err != nil {
		return Result{}, err
	}
	key := known.key
	if err := env.Verify(key.Public); err != nil {
		return Result{}, err
	}
	failpoint.Hit(failpoint.AfterVerify)
	body, err := s.decodeBody(env.Body)
	if err != nil {
		return Result{}, err
	}
	var res Result
	if len(body.GetPayload()) == 0 {
		res, err = s.tick(ctx, known, body, came)
	} else {
		res, err = s.report(ctx, known, body, came)
	}
	res.CI, res.Trust, res.Policy = key.CI, key.TrustClass(), body.Policy
	if err == nil && res.Outcome != Quarantined {
		if claimed := time.UnixMilli(body.GetTimeClaimedMs()); came.carried && claimed.Before(now) {
			now = claimed // the file came now, the machine spoke then
		}
		s.Presence.Heard(key.CI, now)
		if s.Told != nil {
			s.Told(key.CI, body.GetMeasurements())
		}
	}
	return res, err
}

// UnderWay returns how many envelopes are being taken in.
func (s *Service) UnderWay() int { return int(s.under.Load()) }

// recollection is what the store knows of whoever sent an envelope.
type recollection struct {
	key   enrol.Key
	chain enrol.Chain
	state fact.Digest // of the key's CI
}

// recall reads it in one snapshot.
func (s *Service) recall(ctx context.Context, id identity.KeyID) (known recollection, err error) {
	err = s.Engine.View(ctx, func(r store.Reader) (err error) {
		v := enrol.At(r, s.Tenant)
		if known.key, err = v.Key(id); err != nil {
			return err
		}
		if known.chain, err = v.Chain(known.key.ID); err != nil {
			return err
		}
		ci, err := cmdb.At(r, s.Tenant, s.Sets, cmdb.Everywhere).CI(known.key.CI)
		known.state = ci.State.Digest()
		if errors.Is(err, cmdb.ErrNotFound) {
			err = nil // whoever needs it will say so
		}
		return err
	})
	return known, err
}

// RealmID names the installation that reports are for, see identity.RealmOf.
func (s *Service) RealmID() []byte {
	if s.Realm != nil {
		return s.Realm
	}
	return identity.RealmOf(identity.Public(s.Key))
}

// ServerKeys returns the public keys that receipts of this server are signed
// with: the present one first, then those before it.
func (s *Service) ServerKeys() []ed25519.PublicKey {
	return append([]ed25519.PublicKey{identity.Public(s.Key)}, s.Past...)
}

func (s *Service) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// TakeLag returns the largest time between the claimed and the server time of
// the reports recorded since it was last called: how long reports waited in
// spools, or how wrong the clocks are.
func (s *Service) TakeLag() time.Duration { return time.Duration(s.lag.Swap(0)) }

func (s *Service) noteLag(claimedMS int64) {
	lag := int64(s.now().Sub(time.UnixMilli(claimedMS)))
	for {
		have := s.lag.Load()
		if lag <= have || s.lag.CompareAndSwap(have, lag) {
			return
		}
	}
}
