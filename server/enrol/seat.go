package enrol

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// A machine without a disk makes a key in memory at every boot and is admitted
// with the token of its boot image, which everybody in the building can read. So
// it can only ever claim to be a seat: the CI that its site, MAC and DMI UUID
// point to. A claim never touches another CI (trust class T0), and never a seat
// whose last session is alive: then it waits. An honest machine that was
// switched off and on waits until the session before has been silent for
// SeatQuiet; where two are alive, the history of the CI says so and an operator
// decides. Neither overwrites the other.

// SeatQuiet is how long a seat must not have been heard of before another session
// may take it over: longer than the longest usual time between two reports.
const SeatQuiet = 75 * time.Minute

// SeatOneShot is how long the session of a machine lasts that reports once at each
// boot and keeps no key: nobody speaks with that key later, so nobody is overwritten.
const SeatOneShot = 2 * time.Minute

// Limits of claims of one seat.
const (
	seatWindow  = time.Minute
	seatClaims  = 5 // in a window
	seatWaiting = 4 // keys that wait for one seat
)

// Seat is what is kept of a seat beside its CI.
type Seat struct {
	Claims  []time.Time `json:"claims,omitempty"`  // of new keys, in the last minute
	Waiting []string    `json:"waiting,omitempty"` // ids of keys
}

// seatOf gives the CI that a machine claims by its MAC and DMI UUID. A machine
// that knows neither has no seat: ErrToken.
func seatOf(site string, facts fact.Set) (string, error) {
	uuid, _ := facts.Get("id/uuid")
	mac := seatMAC(facts)
	if uuid == "" && mac == "" {
		return "", fmt.Errorf("a claim without MAC and DMI UUID: %w", ErrToken)
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{"rollcall seat v1", site, strings.ToLower(mac), strings.ToLower(uuid)}, "\x00")))
	return "ci" + hex.EncodeToString(sum[:10]), nil
}

// seatMAC chooses the first card by name that is not one that is plugged in, as
// USB cards (named enx…) are, or wireless: the card that the machine booted from.
func seatMAC(facts fact.Set) string {
	rest := ""
	for _, f := range facts.Below("net/") {
		parts := strings.Split(f.Path, "/")
		if len(parts) != 3 || parts[2] != "mac" && parts[2] != "permanent" || parts[1] == "lo" || f.Value == "" {
			continue
		}
		if !strings.HasPrefix(parts[1], "enx") && !strings.HasPrefix(parts[1], "wl") {
			return f.Value
		}
		if rest == "" {
			rest = f.Value
		}
	}
	return rest
}

// claim admits a new key that came with a netboot token, or lets it wait.
func (w Writer) claim(now time.Time, q Request, t Token, k Key) (Key, error) {
	ci, err := seatOf(t.Site, q.Facts)
	if err != nil {
		return Key{}, err
	}
	k.Seat, k.Image, k.OneShot = ci, t.Image, q.OneShot
	var s Seat
	if _, err := store.GetJSON(w.tx, seatKey(w.tenant, ci), &s); err != nil {
		return Key{}, err
	}
	s.Claims = slices.DeleteFunc(s.Claims, func(at time.Time) bool { return now.Sub(at) >= seatWindow || at.After(now) })
	if len(s.Claims) >= seatClaims || len(s.Waiting) >= seatWaiting {
		return Key{}, fmt.Errorf("seat %s, claimed from %s: %w: %d in a minute, %d wait", ci, q.Source, ErrRate, len(s.Claims), len(s.Waiting))
	}
	s.Claims = append(s.Claims, now)
	_, _, known, err := w.items.Standing(ci)
	if err != nil {
		return Key{}, err
	}
	if !known {
		if t.left() <= 0 {
			return Key{}, fmt.Errorf("token %s: %d seats have claimed it, and it is for no more: %w", t.ID, t.Used, ErrToken)
		}
		if err := w.use(now, t, k.ID); err != nil {
			return Key{}, err
		}
	}
	alive, err := w.alive(now, q, ci)
	if err != nil {
		return Key{}, err
	}
	if !alive && !t.Approve {
		if err := store.PutJSON(w.tx, seatKey(w.tenant, ci), s); err != nil {
			return Key{}, err
		}
		return w.enrol(now, k, "token of "+t.By)
	}
	s.Waiting = append(s.Waiting, k.ID)
	if err := store.PutJSON(w.tx, seatKey(w.tenant, ci), s); err != nil {
		return Key{}, err
	}
	if err := store.PutFramed(w.tx, pendingKey(w.tenant, k.ID), []byte(k.ID)); err != nil {
		return Key{}, err
	}
	return k, w.putKey(k)
}

// claimAgain looks whether a key that waits for a seat can have it now. Where the
// session before has spoken since, two machines claim one seat: that is noted in
// the CI's history, once for each key.
func (w Writer) claimAgain(now time.Time, q Request, k Key) (Key, error) {
	var t Token
	if _, err := store.GetJSON(w.tx, tokenKey(w.tenant, k.Token), &t); err != nil {
		return k, err
	}
	if err := t.admits(now, q.Addr); err != nil || t.Approve {
		return k, err
	}
	alive, err := w.alive(now, q, k.Seat)
	if err != nil {
		return k, err
	}
	if !alive {
		return w.enrol(now, k, "token of "+t.By)
	}
	if k.Reason != "" || q.Heard == nil || !q.Heard(k.Seat).After(k.Asked) {
		return k, nil
	}
	k.Reason = "two machines claim this seat: the one before is alive"
	if err := w.items.Note(now, k.Seat, "agent "+k.ID, "another machine at "+k.Source+" claims this seat while it is alive"); err != nil {
		return k, err
	}
	return k, w.putKey(k)
}

// alive tells whether the session that has the seat may still be running: it was
// heard of, or admitted, a short while ago.
func (w Writer) alive(now time.Time, q Request, ci string) (bool, error) {
	id, err := store.GetFramed(w.tx, ownerKey(w.tenant, ci))
	if err != nil || id == nil {
		return false, err
	}
	owner, found, err := w.key(string(id))
	if err != nil || !found || owner.State != Enrolled {
		return false, err
	}
	last := owner.Decided
	if owner.OneShot {
		return now.Sub(last) < SeatOneShot, nil
	}
	if q.Heard != nil {
		if heard := q.Heard(ci); heard.After(last) {
			last = heard
		}
	}
	return now.Sub(last) < SeatQuiet, nil
}

// takeSeat gives a seat to a key; the session before is over.
func (w Writer) takeSeat(now time.Time, k Key, by string) (Key, error) {
	k.CI, k.Reason = k.Seat, ""
	var s Seat
	if _, err := store.GetJSON(w.tx, seatKey(w.tenant, k.Seat), &s); err != nil {
		return k, err
	}
	if i := slices.Index(s.Waiting, k.ID); i >= 0 {
		s.Waiting = slices.Delete(s.Waiting, i, i+1)
		if err := store.PutJSON(w.tx, seatKey(w.tenant, k.Seat), s); err != nil {
			return k, err
		}
	}
	_, _, known, err := w.items.Standing(k.Seat)
	if err != nil {
		return k, err
	}
	if !known {
		return k, w.items.Found(now, k.Seat, k.Hostname, k.Class, k.Site, "agent "+k.ID, "claimed seat, "+by)
	}
	if k.Replaced, err = w.revokeKeyOf(now, k.Seat, by, "another session of the seat began"); err != nil {
		return k, err
	}
	return k, w.items.SetCloned(k.CI, false)
}

// leaveSeat takes a key that was refused off the list of those that wait for its
// seat.
func (w Writer) leaveSeat(k Key) error {
	if k.Seat == "" {
		return nil
	}
	var s Seat
	if _, err := store.GetJSON(w.tx, seatKey(w.tenant, k.Seat), &s); err != nil {
		return err
	}
	s.Waiting = slices.DeleteFunc(s.Waiting, func(id string) bool { return id == k.ID })
	return store.PutJSON(w.tx, seatKey(w.tenant, k.Seat), s)
}
