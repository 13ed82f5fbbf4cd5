// Package auth knows the operators: who they are, which role each has, and what
// a role may do. The API asks it once for every call; nothing else decides about
// permission.
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

// Role is what an operator may do; each includes the ones before it.
type Role string

// The roles.
const (
	Viewer Role = "viewer"   // ask everything but file contents
	Worker Role = "operator" // also read files, declare, compare, restore, admit machines
	Admin  Role = "admin"    // also sites, operators
)

var ranks = map[Role]int{Viewer: 1, Worker: 2, Admin: 3}

// Operator is one person who may ask or decide.
type Operator struct {
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	Hash    string    `json:"hash"` // identity.HashSecret of the login's secret
	Created time.Time `json:"created"`
	By      string    `json:"by"`
}

// May returns an error that wraps ErrDenied unless the operator has the role or
// a higher one.
func (o Operator) May(need Role) error {
	if ranks[o.Role] < ranks[need] || ranks[need] == 0 {
		return fmt.Errorf("%s is %s, this needs %s: %w", o.Name, o.Role, need, ErrDenied)
	}
	return nil
}

// Sites returns the site subtrees where the operator has the role; "" is
// everywhere.
func (o Operator) Sites(need Role) []string {
	if o.May(need) != nil {
		return nil
	}
	return []string{""}
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

// Add stores an operator with a new secret, which only the caller gets to see.
// An operator of that name is given a new secret and role.
func Add(tx store.Tx, tenant string, now time.Time, name string, role Role, by string, secret []byte) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if ranks[role] == 0 {
		return fmt.Errorf("role %.40q: %w: want viewer, operator or admin", role, ErrInvalid)
	}
	return store.PutJSON(tx, operatorKey(tenant, name), Operator{Name: name, Role: role, Hash: identity.HashSecret(secret), Created: now, By: by})
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
	return store.ListJSON[Operator](r, store.Record, operatorKey(tenant, "").K)
}

// Check returns the operator whose name and secret are shown, or ErrWho. The
// secret is 128 random bits, so a plain hash guards it; it is compared in
// constant time, also for a name that nobody has.
func Check(ctx context.Context, e store.Engine, tenant, name string, secret []byte) (Operator, error) {
	var o Operator
	found := false
	err := e.View(ctx, func(r store.Reader) (err error) {
		if CheckName(name) != nil {
			return nil
		}
		found, err = store.GetJSON(r, operatorKey(tenant, name), &o)
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
