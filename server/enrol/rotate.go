package enrol

import (
	"fmt"
	"time"

	"rollcall/internal/identity"
	"rollcall/server/store"
)

// Rotate lets a CI's key be replaced by the one that a statement of both names,
// in one transaction; the new key goes on where the old one's chain ends, and
// both stay for evidence. The same statement again gives the same answer.
// ErrUnknown is returned where the old key is not enrolled, ErrState where it
// speaks from two places or the new key is known already, and ErrTrust for a key
// that lives in memory only.
func (w Writer) Rotate(now time.Time, statement []byte) (Key, error) {
	r, err := identity.OpenRotation(statement)
	if err != nil {
		return Key{}, err
	}
	newID := identity.IDOf(r.New).String()
	if have, found, err := w.key(newID); err != nil || found {
		if err == nil && (have.State != Enrolled || have.Replaced != r.Old.String()) {
			err = fmt.Errorf("rotate key %s: %w: the new key is %s", r.Old, ErrState, have.State)
		}
		return have, err
	}
	old, err := w.Key(r.Old)
	if err != nil {
		return Key{}, err
	}
	if err := r.Verify(old.Public); err != nil {
		return Key{}, err
	}
	switch {
	case old.CI != r.CI:
		return Key{}, fmt.Errorf("rotate key %s: %w: it does not speak for CI %.40q", old.ID, ErrState, r.CI)
	case old.Cloned:
		return Key{}, fmt.Errorf("rotate key %s: %w: it speaks from two places, an operator decides first", old.ID, ErrState)
	case old.TrustClass() == T0:
		return Key{}, fmt.Errorf("rotate key %s: %w: it ends with its boot", old.ID, ErrTrust)
	}
	k := Key{
		ID: newID, Public: r.New, State: Enrolled, CI: old.CI, Hostname: old.Hostname, Source: old.Source, Token: old.Token,
		TokenTag: old.TokenTag, Kind: old.Kind, Trust: old.Trust, Site: old.Site, Class: old.Class, Facts: old.Facts,
		Version: old.Version, Asked: now, Decided: now, By: "its key " + old.ID, Replaced: old.ID, Statement: statement,
	}
	old.State, old.Decided, old.By, old.Reason, old.Successor = Rotated, now, "agent "+old.ID, "rotated", k.ID
	chain, err := w.Chain(old.ID)
	if err != nil {
		return k, err
	}
	if err := w.PutChain(k.ID, chain); err != nil {
		return k, err
	}
	if err := w.putKey(old); err != nil {
		return k, err
	}
	if err := store.PutFramed(w.tx, ownerKey(w.tenant, k.CI), []byte(k.ID)); err != nil {
		return k, err
	}
	if err := w.items.Note(now, k.CI, "agent "+old.ID, "key rotated to "+k.ID); err != nil {
		return k, err
	}
	return k, w.putKey(k)
}
