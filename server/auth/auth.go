// Package auth knows the operators: who they are and which role each holds at
// which sites. The API asks it once for every call; which role a call needs stands
// in the API's table.
package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"rollcall/internal/identity"
	"rollcall/server/store"
)

// Errors that callers branch on.
var (
	ErrDenied   = errors.New("not allowed")
	ErrWho      = errors.New("the login is not valid: log in with 'rollcall login'")
	ErrInvalid  = errors.New("not a valid operator")
	ErrNotFound = errors.New("no such operator")
)

// Operator is one person, or one program, who may ask or decide.
type Operator struct {
	Name    string    `json:"name"`
	Role    Role      `json:"role,omitempty"` // of records without grants: see legacy; never set by what reads
	Grants  []Grant   `json:"grants,omitempty"`
	Hash    string    `json:"hash"` // identity.HashSecret of the login token's secret; empty: it was ended
	Created time.Time `json:"created"`
	By      string    `json:"by"`               // who gave her this login
	Second  string    `json:"second,omitempty"` // who confirmed that, where it took two people

	Service  bool   `json:"service,omitempty"`  // a program: it has a login token and never a password
	Password string `json:"password,omitempty"` // as Hasher.Hash wrote it
	Epoch    string `json:"epoch,omitempty"`    // sessions of another epoch have ended
}

// opened gives a record its grants if it is from before there were any.
func (o Operator) opened() Operator {
	if len(o.Grants) == 0 {
		o.Grants = legacy(o.Role)
	}
	o.Role = ""
	return o
}

// key of an operator. Changing it breaks every existing database.
//
//	Record  <t>/operator/<name>  Operator, framed JSON
func operatorKey(tenant, name string) store.Key {
	return store.At(store.Record, tenant, "/operator/", name)
}

// CheckName returns an error unless name is 1 to 32 lower-case letters, digits,
// dots, hyphens and underscores.
func CheckName(name string) error {
	ok := name != "" && len(name) <= 32
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_')
	}
	if !ok {
		return fmt.Errorf("operator %.40q: %w: want 1 to 32 lower-case letters, digits, dots, hyphens, underscores", name, ErrInvalid)
	}
	return nil
}

// maxGrants bounds what one operator holds.
const maxGrants = 64

// Add stores an operator with a new secret, which only the caller gets to see.
// An operator of that name is given a new secret and these grants instead of the
// old ones; her password and her sessions end.
func Add(tx store.Tx, tenant string, now time.Time, name string, grants []Grant, by string, secret []byte, service bool) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if len(grants) == 0 || len(grants) > maxGrants {
		return fmt.Errorf("operator %s: %w: want 1 to %d roles", name, ErrInvalid, maxGrants)
	}
	for _, g := range grants {
		if err := g.Check(); err != nil {
			return err
		}
	}
	o := Operator{
		Name: name, Grants: grants, Hash: identity.HashSecret(secret), Created: now, By: by,
		Service: service, Epoch: epochOf(secret),
	}
	return store.PutJSON(tx, operatorKey(tenant, name), o)
}

// ConfirmAfter is how long an operator whose login one person gave out alone cannot
// be the second person for that one: longer than a proposal waits, and long enough
// for others to see in the log that there is a new account.
const ConfirmAfter = 30 * 24 * time.Hour

// GivenAloneBy tells whether first alone gave the operator her login within
// ConfirmAfter: then the two may be one person.
func (o Operator) GivenAloneBy(first string, now time.Time) bool {
	return o.By == first && o.Second == "" && now.Sub(o.Created) < ConfirmAfter
}

// Vouch notes that a second person confirmed the login that Add has just given.
func Vouch(tx store.Tx, tenant, name, second string) error {
	return change(tx, tenant, name, func(o *Operator) error {
		o.Second = second
		return nil
	})
}

// Get returns an operator; found is false if there is none of that name.
func Get(g store.Getter, tenant, name string) (o Operator, found bool, err error) {
	if CheckName(name) != nil {
		return o, false, nil
	}
	found, err = store.GetJSON(g, operatorKey(tenant, name), &o)
	return o.opened(), found, err
}

// epochOf makes an epoch out of something that is there once only.
func epochOf(once []byte) string { return identity.HashSecret(append([]byte("epoch "), once...))[:16] }

// SetPassword gives an operator a password, as Hasher.Hash wrote it. Her sessions
// end, and her login token too unless it is kept. ErrInvalid is returned for a
// service.
func SetPassword(tx store.Tx, tenant, name, hash string, keepToken bool) error {
	return change(tx, tenant, name, func(o *Operator) error {
		if o.Service {
			return fmt.Errorf("operator %s: %w: it is a service, which has a login token only", name, ErrInvalid)
		}
		o.Password, o.Epoch = hash, epochOf([]byte(hash))
		if !keepToken {
			o.Hash = ""
		}
		return nil
	})
}

// End ends an operator's sessions, her login token, or her password. once must
// never have been given before.
func End(tx store.Tx, tenant, name string, once []byte, token, password bool) error {
	return change(tx, tenant, name, func(o *Operator) error {
		o.Epoch = epochOf(once)
		if token {
			o.Hash = ""
		}
		if password {
			o.Password = ""
		}
		return nil
	})
}

func change(tx store.Tx, tenant, name string, fn func(*Operator) error) error {
	o, found, err := Get(tx, tenant, name)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("operator %.40q: %w", name, ErrNotFound)
	}
	if err := fn(&o); err != nil {
		return err
	}
	return store.PutJSON(tx, operatorKey(tenant, name), o)
}

// Remove ends an operator's access at once.
func Remove(tx store.Tx, tenant, name string) error {
	b, err := tx.Get(operatorKey(tenant, name))
	if err != nil {
		return err
	}
	if b == nil {
		return fmt.Errorf("operator %.40q: %w", name, ErrNotFound)
	}
	return tx.Delete(operatorKey(tenant, name))
}

// List returns all operators by name.
func List(r store.Reader, tenant string) ([]Operator, error) {
	all, err := store.ListJSON[Operator](r, store.Record, operatorKey(tenant, "").K)
	for i := range all {
		all[i] = all[i].opened()
	}
	return all, err
}

// Check returns the operator whose name and secret are shown, or ErrWho. The
// secret is 128 random bits, so a plain hash guards it; it is compared in
// constant time, also for a name that nobody has.
func Check(ctx context.Context, e store.Engine, tenant, name string, secret []byte) (Operator, error) {
	var o Operator
	found := false
	err := e.View(ctx, func(r store.Reader) (err error) {
		o, found, err = Get(r, tenant, name)
		return err
	})
	if err != nil {
		return Operator{}, err
	}
	same := subtle.ConstantTimeCompare([]byte(o.Hash), []byte(identity.HashSecret(secret))) == 1
	if !found || !same {
		return Operator{}, ErrWho
	}
	return o, nil
}
