package enrol

import (
	"fmt"
	"slices"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// Vote is one operator's approval of a server, and as what.
type Vote struct {
	By    string    `json:"by"`
	At    time.Time `json:"at"`
	CI    string    `json:"ci,omitempty"`
	Site  string    `json:"site,omitempty"`
	Class string    `json:"class,omitempty"`
}

func (v Vote) same(other Vote) bool {
	return v.CI == other.CI && v.Site == other.Site && v.Class == other.Class
}

// Approve admits a pending key, into an existing CI if ci is not empty. site and
// class replace the token's if they are not empty.
//
// Two people stand behind a server. Who made a token that names it is one of
// them, so that her own approval adds nothing; else two operators approve it. The
// key stays pending until the second one has. ErrSecondPerson is returned to who
// has had her say, ErrInvalid where the token's kind never admits a server.
func (w Writer) Approve(now time.Time, id, by, ci, site, class string) (Key, error) {
	k, err := w.pending(id)
	if err != nil {
		return k, err
	}
	named := Vote{CI: k.WantCI, Site: k.Site, Class: k.Class} // what the token says
	if ci != "" {
		k.WantCI = ci
	}
	if site != "" {
		k.Site = site
	}
	if class != "" {
		k.Class = class
	}
	if (ci != "" || site != "") && k.Seat != "" {
		return k, fmt.Errorf("approve key %s: %w: it claims a seat, and can be no other CI", id, ErrTrust)
	}
	if l, ok := LimitsOf(k.Kind); ok && len(l.Classes) > 0 && !slices.Contains(l.Classes, k.Class) {
		return k, fmt.Errorf("approve key %s: a %s token: %w: its class is one of %q", id, k.Kind, ErrInvalid, l.Classes)
	}
	forServer, err := w.forServer(k)
	if err != nil || !forServer {
		if err != nil {
			return k, err
		}
		return w.enrol(now, k, by)
	}
	if l, ok := LimitsOf(k.Kind); ok && len(l.Classes) > 0 {
		return k, fmt.Errorf("approve key %s: a %s token: %w: it admits no server", id, k.Kind, ErrInvalid)
	}
	if err := w.items.CheckPlace(k.WantCI, k.Site, k.Class); err != nil {
		return k, err
	}
	return w.vote(now, k, named, Vote{By: by, At: now, CI: k.WantCI, Site: k.Site, Class: k.Class})
}

// vote counts an approval of a server, and enrols the key with the second one.
func (w Writer) vote(now time.Time, k Key, named, v Vote) (Key, error) {
	who := []string{v.By}
	if k.Vouched != "" && named.CI == v.CI && named.Class == v.Class {
		if k.Vouched == v.By {
			return k, fmt.Errorf("approve key %s: %w: you made its token, somebody else approves it", k.ID, ErrSecondPerson)
		}
		who = append(who, k.Vouched)
	}
	for _, other := range k.Votes {
		if other.By == v.By && other.same(v) {
			return k, fmt.Errorf("approve key %s: %w: you have approved it", k.ID, ErrSecondPerson)
		}
		if other.same(v) {
			who = append(who, other.By)
		}
	}
	k.Votes = append(slices.DeleteFunc(k.Votes, func(o Vote) bool { return o.By == v.By }), v)
	if len(who) < 2 {
		// What is approved is what was said: the key itself stays as the token has it.
		k.WantCI, k.Site, k.Class = named.CI, named.Site, named.Class
		return k, w.putKey(k)
	}
	return w.enrol(now, k, who[0]+" and "+who[1])
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
	if err := w.leaveSeat(k); err != nil {
		return k, err
	}
	return k, w.putKey(k)
}

// Revoke ends an enrolled key. Its CI and all history stay; the history says so.
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
	what := "key " + k.ID + " revoked"
	if k.Reason != "" {
		what += ": " + k.Reason
	}
	if err := w.items.Note(now, k.CI, by, what); err != nil {
		return k, err
	}
	if err := w.tx.Delete(ownerKey(w.tenant, k.CI)); err != nil {
		return k, err
	}
	return k, w.putKey(k)
}

// MarkCloned notes that a key speaks from two places. Its reports are kept apart
// until an operator decides. The first time it is an event in the CI's history.
func (w Writer) MarkCloned(now time.Time, id string) (Key, error) {
	k, found, err := w.key(id)
	if err != nil || !found {
		return k, err
	}
	k.Forks++
	if !k.Cloned {
		k.Cloned, k.Forks = true, 1
		if err := w.items.Note(now, k.CI, "agent "+k.ID, "its key speaks from two places: reports are kept apart"); err != nil {
			return k, err
		}
		if err := w.items.SetCloned(k.CI, true); err != nil {
			return k, err
		}
	}
	return k, w.putKey(k)
}

// Keep ends the quarantine of a key that spoke from two places: its next full
// report is taken, whichever place it comes from and wherever it stands in the
// chain. ErrState is returned for a key that is in no quarantine.
func (w Writer) Keep(now time.Time, id, by, reason string) (Key, error) {
	k, found, err := w.key(id)
	if err != nil {
		return k, err
	}
	if !found || k.State != Enrolled || !k.Cloned {
		return k, fmt.Errorf("keep key %s: %w: it is %s, and in no quarantine", id, ErrState, stateOr(k.State))
	}
	k.Cloned, k.Forks, k.Resolved = false, 0, now
	c, err := w.Chain(id)
	if err != nil {
		return k, err
	}
	c.Restart = true
	if err := w.PutChain(id, c); err != nil {
		return k, err
	}
	what := "key " + k.ID + " kept: its next full report is taken"
	if reason != "" {
		what += ": " + fact.Cut(reason, maxText)
	}
	if err := w.items.Note(now, k.CI, by, what); err != nil {
		return k, err
	}
	if err := w.items.SetCloned(k.CI, false); err != nil {
		return k, err
	}
	return k, w.putKey(k)
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

// Strip takes away what a key's record says of its machine, when its CI is erased,
// with it the chain of its reports and the note on a token that was made for this
// machine alone. The key itself, its token and what became of it stay: they are evidence, and it must never be
// admitted again as if it were new. A key that may still speak is ended.
func (w Writer) Strip(now time.Time, id, by string) error {
	k, found, err := w.key(id)
	if err != nil || !found {
		return err
	}
	if k.State == Enrolled || k.State == Pending {
		k.State, k.Decided, k.By = Revoked, now, by
	}
	k.Hostname, k.Source, k.TokenTag, k.Facts, k.Version, k.Reason, k.Cloned, k.Forks = "", "", "", nil, "", "erased", false, 0
	var t Token
	key := tokenKey(w.tenant, k.Token)
	found, err = store.GetJSON(w.tx, key, &t)
	if err == nil && found && t.single() && t.Name != "" { // a note about this machine
		t.Name = ""
		err = store.PutJSON(w.tx, key, t)
	}
	if err != nil {
		return err
	}
	for _, key := range []store.Key{chainKey(w.tenant, id), pendingKey(w.tenant, id), seatKey(w.tenant, k.CI)} {
		if err := w.tx.Delete(key); err != nil {
			return err
		}
	}
	if err := w.disown(k); err != nil {
		return err
	}
	return w.putKey(k)
}

// disown removes the way from a CI to the key, if it leads to this one.
func (w Writer) disown(k Key) error {
	owner := ownerKey(w.tenant, k.CI)
	holder, err := store.GetFramed(w.tx, owner)
	if err != nil || string(holder) != k.ID {
		return err
	}
	return w.tx.Delete(owner)
}
