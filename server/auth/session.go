package auth

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"rollcall/internal/identity"
	"rollcall/server/store"
)

// Session is a login that a password opened. The server keeps the hash of its
// secret, in its key. It ends with its time, after a pause, and with the epoch of
// its operator: a new password, new roles and removal all begin another one.
type Session struct {
	Name    string    `json:"name"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
	Seen    time.Time `json:"seen"` // to the minute
	From    string    `json:"from,omitempty"`
	Epoch   string    `json:"epoch"`
	Hash    string    `json:"-"`
}

// maxSessions is how many sessions one operator has; one more ends the oldest.
const maxSessions = 20

// Record  <t>/session/<name>/<hash of the secret>  Session, framed JSON
// Record  <t>/used/<name>                          used, framed JSON
func sessionKey(tenant, name, hash string) store.Key {
	return store.At(store.Record, tenant, "/session/", name, "/", hash)
}

func usedKey(tenant, name string) store.Key { return store.At(store.Record, tenant, "/used/", name) }

type used struct {
	Last time.Time `json:"last"`
}

// Sessions lists the sessions that are stored of an operator, the oldest first.
// Which are valid, Lives tells.
func Sessions(r store.Reader, tenant, name string) ([]Session, error) {
	var all []Session
	from := sessionKey(tenant, name, "").K
	for p, err := range r.Scan(store.Record, from, store.PrefixEnd(from), 0) {
		if err != nil {
			return nil, err
		}
		s := Session{Hash: string(p.K[len(from):])}
		if err := store.DecodeJSON(store.Key{Space: store.Record, K: p.K}, p.V, &s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Session) int { return a.Made.Compare(b.Made) })
	return all, nil
}

// Lives tells whether a session of o is valid as of now.
func (s Session) Lives(o Operator, now time.Time, idle time.Duration) bool {
	return s.Epoch == o.Epoch && now.Before(s.Expires) && now.Sub(s.Seen) <= idle && !now.Add(time.Hour).Before(s.Made)
}

// Open stores a session. have are those of the operator that there are: what has
// ended, and the oldest of too many, is removed.
func Open(tx store.Tx, tenant string, o Operator, s Session, have []Session, idle time.Duration) error {
	live := 0
	for _, old := range slices.Backward(have) {
		if old.Lives(o, s.Made, idle) && live < maxSessions-1 {
			live++
			continue
		}
		if err := tx.Delete(sessionKey(tenant, old.Name, old.Hash)); err != nil {
			return err
		}
	}
	s.Name, s.Epoch = o.Name, o.Epoch
	return store.PutJSON(tx, sessionKey(tenant, o.Name, s.Hash), s)
}

// CloseAll removes sessions that have ended with their operator's epoch.
func CloseAll(tx store.Tx, tenant string, have []Session) error {
	for _, s := range have {
		if err := Close(tx, tenant, s.Name, s.Hash); err != nil {
			return err
		}
	}
	return nil
}

// Close ends one session.
func Close(tx store.Tx, tenant, name, hash string) error {
	return tx.Delete(sessionKey(tenant, name, hash))
}

// CheckSession returns the operator and the session that name and secret open, or
// ErrWho. uses tells when it was last used, beyond what is stored.
func CheckSession(ctx context.Context, e store.Engine, tenant, name string, secret []byte, now time.Time, idle time.Duration, uses *Uses) (Operator, Session, error) {
	var o Operator
	s := Session{Hash: identity.HashSecret(secret)}
	found, is := false, false
	err := e.View(ctx, func(r store.Reader) (err error) {
		if o, is, err = Get(r, tenant, name); err != nil || CheckName(name) != nil {
			return err
		}
		found, err = store.GetJSON(r, sessionKey(tenant, name, s.Hash), &s)
		return err
	})
	if err != nil {
		return Operator{}, Session{}, err
	}
	s = uses.Latest(s)
	if !is || !found || !s.Lives(o, now, idle) {
		return Operator{}, Session{}, ErrWho
	}
	return o, s, nil
}

// Uses knows when operators and sessions were last used. It lives in memory and is
// saved now and then: after a crash the last minute is missing.
type Uses struct {
	mu       sync.Mutex
	names    map[string]time.Time
	fresh    map[string]bool // names that are not saved
	sessions map[string]seen // by hash; those that are not saved
}

type seen struct {
	name string
	at   time.Time
}

// NewUses makes an empty one.
func NewUses() *Uses {
	return &Uses{names: map[string]time.Time{}, fresh: map[string]bool{}, sessions: map[string]seen{}}
}

// Note notes that an operator made a call, by the session with that hash or, where
// it is empty, by her login token.
func (u *Uses) Note(name, hash string, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.names[name], u.fresh[name] = at, true
	if hash != "" {
		u.sessions[hash] = seen{name, at}
	}
}

// Latest gives a session as it was last used, beyond what is stored.
func (u *Uses) Latest(s Session) Session {
	u.mu.Lock()
	defer u.mu.Unlock()
	if at := u.sessions[s.Hash].at; at.After(s.Seen) {
		s.Seen = at
	}
	return s
}

// Last returns when an operator last made a call; the zero time if that is not
// known.
func (u *Uses) Last(g store.Getter, tenant, name string) (time.Time, error) {
	u.mu.Lock()
	at := u.names[name]
	u.mu.Unlock()
	if !at.IsZero() {
		return at, nil
	}
	var stored used
	_, err := store.GetJSON(g, usedKey(tenant, name), &stored)
	return stored.Last, err
}

// Save writes what has changed since the last Save. A session that has ended
// meanwhile is not brought back.
func (u *Uses) Save(ctx context.Context, e store.Updater, tenant string) error {
	u.mu.Lock()
	names, fresh, sessions := maps.Clone(u.names), u.fresh, u.sessions
	u.fresh, u.sessions = map[string]bool{}, map[string]seen{}
	u.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	err := store.UpdateAgain(ctx, e, func(tx store.Tx) error {
		for _, name := range slices.Sorted(maps.Keys(fresh)) {
			if err := store.PutJSON(tx, usedKey(tenant, name), used{names[name]}); err != nil {
				return err
			}
		}
		for _, hash := range slices.Sorted(maps.Keys(sessions)) {
			var s Session
			key := sessionKey(tenant, sessions[hash].name, hash)
			found, err := store.GetJSON(tx, key, &s)
			if err != nil {
				return err
			}
			if !found {
				continue
			}
			s.Seen = sessions[hash].at
			if err := store.PutJSON(tx, key, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for hash, s := range sessions {
		if s.at.After(u.sessions[hash].at) {
			u.sessions[hash] = s
		}
	}
	maps.Copy(u.fresh, fresh)
	return fmt.Errorf("save when operators were last here: %w", err)
}
