package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store"
)

// Place is where an envelope stands that somebody carried here, against what is
// recorded of its key.
type Place int

// The places.
const (
	Next      Place = iota // Accept decides
	Already                // it is recorded
	Behind                 // reports between the newest one here and it are missing
	Overtaken              // the key went on without it
	Tick                   // it says that nothing has changed, which nobody carries
)

// Carried is an envelope that somebody carried here.
type Carried struct {
	Key     enrol.Key
	Place   Place
	Seq     uint64
	Here    uint64 // number of the newest report of the key
	Receipt []byte // with Already
	Hash    fact.Digest
}

// Place finds where an envelope that came in a file belongs. A file may be old, come
// twice, or before another one: over a connection such envelopes would say that a key
// speaks from two places, and put an honest machine into quarantine. So only what may
// stand next is for Accept, where everything else is decided that a connection is
// asked about. enrol.ErrUnknown is returned for a key that is not enrolled, and for
// one whose CI is not in scope.
func (s *Service) Place(ctx context.Context, scope cmdb.Scope, raw []byte) (Carried, error) {
	env, err := identity.OpenEnvelope(raw)
	if err != nil {
		return Carried{}, err
	}
	c := Carried{Hash: sha256.Sum256(raw)}
	err = s.Engine.View(ctx, func(r store.Reader) error {
		if c.Key, err = s.carriedKey(r, scope, env.KeyID); err != nil {
			return err
		}
		if err := env.Verify(c.Key.Public); err != nil {
			return err
		}
		body, err := s.decodeBody(env.Body)
		if err != nil {
			return err
		}
		c.Seq = body.GetSeq()
		return s.place(r, &c, body)
	})
	return c, err
}

// CarriedKey returns an enrolled key whose CI is in scope, or enrol.ErrUnknown.
func (s *Service) CarriedKey(ctx context.Context, scope cmdb.Scope, id identity.KeyID) (key enrol.Key, err error) {
	err = s.Engine.View(ctx, func(r store.Reader) error {
		if key, err = s.carriedKey(r, scope, id); err != nil {
			return err
		}
		_, err = enrol.At(r, s.Tenant).Key(id)
		return err
	})
	return key, err
}

// carriedKey finds a key that may have been rotated or revoked since it signed: what
// it signed before may be here.
func (s *Service) carriedKey(r store.Reader, scope cmdb.Scope, id identity.KeyID) (enrol.Key, error) {
	key, ok, err := enrol.At(r, s.Tenant).Any(id.String())
	if err != nil {
		return key, err
	}
	if !ok || key.CI == "" {
		if ok && key.State == enrol.Pending && scope.Sees(key.Site) {
			return key, fmt.Errorf("%w: it waits for approval", enrol.ErrUnknown)
		}
		return key, enrol.ErrUnknown
	}
	if _, err := cmdb.At(r, s.Tenant, s.Sets, scope).CI(key.CI); errors.Is(err, cmdb.ErrNotFound) {
		return key, enrol.ErrUnknown
	} else if err != nil {
		return key, err
	}
	return key, nil
}

func (s *Service) place(r store.Reader, c *Carried, body *rollcallv1.Body) (err error) {
	if c.Receipt, err = ReceiptFor(r, s.Tenant, c.Key.ID, c.Hash); err != nil {
		return err
	}
	id, err := identity.ParseKeyID(c.Key.ID)
	if err != nil {
		return err
	}
	v := enrol.At(r, s.Tenant)
	chain, err := v.Chain(c.Key.ID)
	if err != nil {
		return err
	}
	c.Here = chain.Seq
	if c.Receipt != nil {
		c.Place = Already
		return nil
	}
	if _, err := v.Key(id); err != nil {
		return err
	}
	switch gap, err := s.ahead(r, c.Key, chain, body); {
	case err != nil:
		return err
	case len(body.GetPayload()) == 0:
		c.Place = Tick
	case c.Key.Cloned || chain.Restart || gap || follows(c.Key, chain, body):
		c.Place = Next
	case body.GetSeq() <= chain.Seq:
		c.Place = Overtaken
	default:
		known, err := s.recordedBefore(r, c.Key.ID, body.GetPrev())
		if err != nil {
			return err
		}
		if !known {
			c.Place = Behind
		} // else it starts from an older report than the newest: a clone's
	}
	return nil
}

// recordedBefore tells whether an envelope is recorded that another one follows; a
// first one follows none, and that is known.
func (s *Service) recordedBefore(r store.Reader, key string, prev []byte) (bool, error) {
	if len(prev) == 0 {
		return true, nil
	}
	receipt, err := ReceiptFor(r, s.Tenant, key, fact.Digest(bytes.Clone(prev)))
	return receipt != nil, err
}

// AcceptCarried is Accept for an envelope whose Place is Next. Its machine counts as
// heard of when it says that it made the report, not when the file came.
func (s *Service) AcceptCarried(ctx context.Context, c Carried, from string, raw []byte) (Result, error) {
	return s.take(ctx, c.Key.Public, arrival{raw: raw, from: from, carried: true})
}
