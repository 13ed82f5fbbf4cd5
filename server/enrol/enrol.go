// Package enrol admits machines. A token from an operator lets one unknown key
// ask; the key is then bound to a CI, at once or after an operator's approval,
// until it is revoked. From then on the CI follows from the key, never from what
// a message says.
//
// The package owns tokens and keys and the place of each key in its chain of
// reports. What a report holds is left to ingest.
package enrol

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/failpoint"
	"rollcall/internal/identity"
	"rollcall/server/store"
)

// Errors that callers branch on.
var (
	ErrToken   = errors.New("the token does not admit this machine")
	ErrUnknown = errors.New("the key is not enrolled")
	ErrState   = errors.New("the key is not in a state that allows this")
)

// State of a key.
type State string

// The states. A refused or revoked key never comes back; the machine makes a
// new one.
const (
	Pending  State = "pending"
	Enrolled State = "enrolled"
	Refused  State = "refused"
	Revoked  State = "revoked"
)

// maxText bounds in bytes what a machine calls itself and why it was turned
// away, so that a Key fits into one value of the store.
const maxText = 500

// Token is what the server keeps of an enrolment token.
type Token struct {
	ID      string    `json:"id"`
	Hash    string    `json:"hash"` // identity.HashSecret
	Site    string    `json:"site,omitempty"`
	Class   string    `json:"class,omitempty"`
	CI      string    `json:"ci,omitempty"` // a reinstalled machine takes over this CI
	Name    string    `json:"name,omitempty"`
	By      string    `json:"by"`
	Expires time.Time `json:"expires"`
	Approve bool      `json:"approve,omitempty"` // an operator must approve the machine
	UsedBy  string    `json:"used_by,omitempty"` // key id
	UsedAt  time.Time `json:"used_at,omitzero"`
}

// Key is one agent's key.
type Key struct {
	ID       string    `json:"id"`
	Public   []byte    `json:"public"`
	State    State     `json:"state"`
	CI       string    `json:"ci,omitempty"`
	Hostname string    `json:"hostname,omitempty"`
	Source   string    `json:"source,omitempty"` // address that it asked from
	Token    string    `json:"token"`            // id
	TokenTag string    `json:"token_name,omitempty"`
	Site     string    `json:"site,omitempty"`
	Class    string    `json:"class,omitempty"`
	WantCI   string    `json:"want_ci,omitempty"`
	Facts    []byte    `json:"facts,omitempty"` // encoded fact.Set
	Version  string    `json:"version,omitempty"`
	Asked    time.Time `json:"asked"`
	Decided  time.Time `json:"decided,omitzero"`
	By       string    `json:"by,omitempty"` // who decided
	Reason   string    `json:"reason,omitempty"`
	Cloned   bool      `json:"cloned,omitempty"`   // it speaks from two places
	Replaced string    `json:"replaced,omitempty"` // id of the key that spoke for the CI before, ended by this one
}

// Chain is a key's place in its chain of recorded reports.
type Chain struct {
	Seq     uint64 `json:"seq"`
	Head    []byte `json:"head,omitempty"`    // SHA-256 of the last recorded envelope
	Receipt []byte `json:"receipt,omitempty"` // signed, for that envelope
	Count   uint64 `json:"count"`             // recorded reports
}

// Items is what admission needs of the CIs, in the same transaction.
type Items interface {
	// CheckPlace returns an error unless ci is empty or exists, and site and
	// class are ones that a CI may have.
	CheckPlace(ci, site, class string) error
	// Found stores a new CI, named after the host name as far as that is free.
	Found(now time.Time, id, hostname, class, site, by, reason string) error
	// SetCloned notes on a CI whether its key speaks from two places.
	SetCloned(ci string, cloned bool) error
}

// Writer changes tokens and keys within one transaction.
type Writer struct {
	tx     store.Tx
	tenant string
	items  Items
}

// In returns the package as seen from a transaction.
func In(tx store.Tx, tenant string, items Items) Writer { return Writer{tx, tenant, items} }

// AddToken stores a token. The CI and the site that it names must exist.
func (w Writer) AddToken(t Token) error {
	if err := w.items.CheckPlace(t.CI, t.Site, t.Class); err != nil {
		return err
	}
	return store.PutJSON(w.tx, tokenKey(w.tenant, t.ID), t)
}

// Request is a machine's request for admission, after the connection has proved
// that it holds the key.
type Request struct {
	TokenID  string
	Proof    []byte
	Exporter []byte // TLS exporter value of the connection, see identity.Proof
	Public   ed25519.PublicKey
	Hostname string
	Facts    fact.Set
	Source   string
	Version  string
}

// Admit handles a request: the first use of a token binds it to the key, in the
// same transaction in which the key is stored. The same key may ask again and
// gets the same answer. ErrToken tells neither whether a token exists nor why it
// is no good; the sentence around it is for the server's log.
func (w Writer) Admit(now time.Time, q Request) (Key, error) {
	id := identity.IDOf(q.Public).String()
	have, found, err := w.key(id)
	if err != nil {
		return Key{}, err
	}
	if found && have.State != Pending {
		return have, nil
	}
	t, err := w.useToken(now, q, id)
	if err != nil || found {
		return have, err
	}
	k := Key{
		ID: id, Public: q.Public, State: Pending, Hostname: fact.Cut(q.Hostname, maxText), Source: q.Source,
		Token: t.ID, TokenTag: t.Name, Site: t.Site, Class: t.Class, WantCI: t.CI,
		Facts: q.Facts.Encode(), Version: fact.Cut(q.Version, maxText), Asked: now,
	}
	if t.Approve {
		if err := store.PutFramed(w.tx, pendingKey(w.tenant, id), []byte(id)); err != nil {
			return Key{}, err
		}
		return k, w.putKey(k)
	}
	return w.enrol(now, k, "token of "+t.By)
}

// useToken checks the proof and marks the token as used by this key.
func (w Writer) useToken(now time.Time, q Request, keyID string) (Token, error) {
	var t Token
	found, err := store.GetJSON(w.tx, tokenKey(w.tenant, q.TokenID), &t)
	if err != nil {
		return t, err
	}
	// The proof is computed in any case, so that time tells nothing about ids.
	proved := equal(q.Proof, identity.Proof(t.Hash, q.Exporter, q.Public))
	switch {
	case !found || !proved:
		return t, fmt.Errorf("token %.40q: wrong id or secret: %w", q.TokenID, ErrToken)
	case t.UsedBy != "" && t.UsedBy != keyID:
		return t, fmt.Errorf("token %s: used already, by key %s: %w", t.ID, t.UsedBy, ErrToken)
	case t.UsedBy == "" && now.After(t.Expires):
		return t, fmt.Errorf("token %s: it expired at %s: %w", t.ID, t.Expires.UTC().Format(time.RFC3339), ErrToken)
	case t.UsedBy == keyID:
		return t, nil
	}
	t.UsedBy, t.UsedAt = keyID, now
	if err := store.PutJSON(w.tx, tokenKey(w.tenant, t.ID), t); err != nil {
		return t, err
	}
	failpoint.Hit(failpoint.TokenUse)
	return t, nil
}

// enrol binds a key to its CI: the one it takes over, or a new one. A key that
// spoke for the CI before is revoked in the same transaction.
func (w Writer) enrol(now time.Time, k Key, by string) (Key, error) {
	k.State, k.Decided, k.By = Enrolled, now, by
	if err := w.items.CheckPlace(k.WantCI, k.Site, k.Class); err != nil {
		return k, err
	}
	if k.WantCI != "" {
		k.CI = k.WantCI
		var err error
		if k.Replaced, err = w.revokeKeyOf(now, k.CI, by); err != nil {
			return k, err
		}
		if err := w.items.SetCloned(k.CI, false); err != nil {
			return k, err
		}
	} else {
		k.CI = ciOf(k.Public)
		if err := w.items.Found(now, k.CI, k.Hostname, k.Class, k.Site, "agent "+k.ID, "enrolled, "+by); err != nil {
			return k, err
		}
	}
	if err := store.PutFramed(w.tx, ownerKey(w.tenant, k.CI), []byte(k.ID)); err != nil {
		return k, err
	}
	if err := w.tx.Delete(pendingKey(w.tenant, k.ID)); err != nil {
		return k, err
	}
	return k, w.putKey(k)
}

// revokeKeyOf ends the key that speaks for a CI, if there is one, and tells which.
func (w Writer) revokeKeyOf(now time.Time, ci, by string) (ended string, err error) {
	id, err := store.GetFramed(w.tx, ownerKey(w.tenant, ci))
	if err != nil || id == nil {
		return "", err
	}
	old, found, err := w.key(string(id))
	if err != nil || !found {
		return "", err
	}
	old.State, old.Decided, old.By, old.Reason = Revoked, now, by, "another key took over its CI"
	return old.ID, w.putKey(old)
}

// Approve admits a pending key, into an existing CI if ci is not empty. site and
// class replace the token's if they are not empty.
func (w Writer) Approve(now time.Time, id, by, ci, site, class string) (Key, error) {
	k, err := w.pending(id)
	if err != nil {
		return k, err
	}
	if ci != "" {
		k.WantCI = ci
	}
	if site != "" {
		k.Site = site
	}
	if class != "" {
		k.Class = class
	}
	return w.enrol(now, k, by)
}

// Refuse turns a pending key away for good.
func (w Writer) Refuse(now time.Time, id, by, reason string) (Key, error) {
	k, err := w.pending(id)
	if err != nil {
		return k, err
	}
	k.State, k.Decided, k.By, k.Reason = Refused, now, by, fact.Cut(reason, maxText)
	if err := w.tx.Delete(pendingKey(w.tenant, id)); err != nil {
		return k, err
	}
	return k, w.putKey(k)
}

// Revoke ends an enrolled key. Its CI and all history stay.
func (w Writer) Revoke(now time.Time, id, by, reason string) (Key, error) {
	k, found, err := w.key(id)
	if err != nil {
		return k, err
	}
	if !found || k.State != Enrolled {
		return k, fmt.Errorf("revoke key %s: %w: it is %s", id, ErrState, stateOr(k.State))
	}
	k.State, k.Decided, k.By, k.Reason, k.Cloned = Revoked, now, by, fact.Cut(reason, maxText), false
	if err := w.items.SetCloned(k.CI, false); err != nil {
		return k, err
	}
	if err := w.tx.Delete(ownerKey(w.tenant, k.CI)); err != nil {
		return k, err
	}
	return k, w.putKey(k)
}

// MarkCloned notes that a key speaks from two places. Its reports are kept apart
// until an operator revokes it.
func (w Writer) MarkCloned(id string) error {
	k, found, err := w.key(id)
	if err != nil || !found || k.Cloned {
		return err
	}
	k.Cloned = true
	if err := w.items.SetCloned(k.CI, true); err != nil {
		return err
	}
	return w.putKey(k)
}

// Key returns an enrolled key, or ErrUnknown.
func (w Writer) Key(id identity.KeyID) (Key, error) { return keyByID(w.tx, w.tenant, id.String()) }

// Known tells whether a key has asked for admission before, whatever became of it.
func (w Writer) Known(id identity.KeyID) (bool, error) {
	_, found, err := w.key(id.String())
	return found, err
}

// Chain returns a key's place in its chain.
func (w Writer) Chain(id string) (Chain, error) { return chainOf(w.tx, w.tenant, id) }

// PutChain moves a key on in its chain.
func (w Writer) PutChain(id string, c Chain) error {
	return store.PutJSON(w.tx, chainKey(w.tenant, id), c)
}

func (w Writer) pending(id string) (Key, error) {
	k, found, err := w.key(id)
	if err != nil {
		return k, err
	}
	if !found || k.State != Pending {
		return k, fmt.Errorf("key %.40q: %w: it is %s", id, ErrState, stateOr(k.State))
	}
	return k, nil
}

func (w Writer) key(id string) (Key, bool, error) {
	var k Key
	found, err := store.GetJSON(w.tx, keyKey(w.tenant, id), &k)
	return k, found, err
}

func (w Writer) putKey(k Key) error { return store.PutJSON(w.tx, keyKey(w.tenant, k.ID), k) }

func stateOr(s State) State {
	if s == "" {
		return "unknown"
	}
	return s
}
