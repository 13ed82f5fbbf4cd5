package auth

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// ErrProposal is returned for a proposal that cannot be decided about.
var ErrProposal = errors.New("the proposal cannot be decided")

// ProposalLife is how long a proposal waits for a second person.
const ProposalLife = 7 * 24 * time.Hour

// The states of a proposal. One that waits for too long has expired; that is not
// stored.
const (
	Waiting   = "waiting"
	Confirmed = "confirmed"
	Declined  = "declined"
	Expired   = "expired"
)

// Proposal is a call that one person made and that runs when a second one with
// the right role confirms it. The request is kept as it will run.
type Proposal struct {
	ID      string    `json:"id"`
	Method  string    `json:"method"`
	Request []byte    `json:"request"`
	What    string    `json:"what"` // in words
	Site    string    `json:"site,omitempty"`
	By      string    `json:"by"` // operator
	Made    time.Time `json:"made"`
	State   string    `json:"state"`
	Decided time.Time `json:"decided,omitzero"`
	Second  string    `json:"second,omitempty"` // operator who decided
	Reason  string    `json:"reason,omitempty"`
	Run     string    `json:"run,omitempty"` // the one call that confirmed it
}

// Bounds of proposals.
const (
	maxRequest   = 32 << 10
	maxWaiting   = 200
	maxReason    = 500
	keepProposal = 90 * 24 * time.Hour
)

// Digest names the call that will run.
func (p Proposal) Digest() []byte {
	h := sha256.New()
	h.Write([]byte(p.Method)) // hash.Hash never returns an error
	h.Write([]byte{0})
	h.Write(p.Request)
	return h.Sum(nil)
}

// Now gives the state as of now.
func (p Proposal) Now(now time.Time) string {
	if p.State == Waiting && !now.Before(p.Made.Add(ProposalLife)) {
		return Expired
	}
	return p.State
}

// Record  <t>/proposal/<id>  Proposal, framed JSON
func proposalKey(tenant, id string) store.Key {
	return store.At(store.Record, tenant, "/proposal/", id)
}

// Proposals lists all proposals, the oldest first.
func Proposals(r store.Reader, tenant string) ([]Proposal, error) {
	all, err := store.ListJSON[Proposal](r, store.Record, proposalKey(tenant, "").K)
	slices.SortFunc(all, func(a, b Proposal) int { return a.Made.Compare(b.Made) })
	return all, err
}

// Propose stores a proposal. known are those that there are, as Proposals gave
// them: of these the ones that were decided long ago are removed. ErrProposal is
// returned where too many wait.
func Propose(tx store.Tx, tenant string, p Proposal, known []Proposal) error {
	if len(p.Request) > maxRequest {
		return fmt.Errorf("propose %s: %w: the request has %d bytes, at most %d", p.Method, ErrProposal, len(p.Request), maxRequest)
	}
	waiting, removed := 0, 0
	for _, old := range known {
		switch {
		case old.Now(p.Made) == Waiting:
			waiting++
		case p.Made.Sub(old.Made) > keepProposal && removed < maxWaiting:
			removed++
			if err := tx.Delete(proposalKey(tenant, old.ID)); err != nil {
				return err
			}
		}
	}
	if waiting >= maxWaiting {
		return fmt.Errorf("propose: %w: %d wait already", ErrProposal, waiting)
	}
	p.State, p.What = Waiting, fact.Cut(p.What, maxReason)
	return store.PutJSON(tx, proposalKey(tenant, p.ID), p)
}

// Decide ends a proposal that waits. run names the call that does it: the same
// call may decide again, since a transaction may run twice. ErrProposal is
// returned if another one was first, if it has expired, or if the second person
// is the first or may be, see Operator.GivenAloneBy.
func Decide(tx store.Tx, tenant string, now time.Time, id, state, second, reason, run string) (Proposal, error) {
	var p Proposal
	found, err := store.GetJSON(tx, proposalKey(tenant, id), &p)
	if err != nil {
		return p, err
	}
	switch {
	case !found:
		return p, fmt.Errorf("proposal %.40q: %w: there is none", id, ErrProposal)
	case p.State != Waiting && p.Run == run && p.State == state:
		return p, nil
	case p.Now(now) != Waiting:
		return p, fmt.Errorf("proposal %s: %w: it is %s", id, ErrProposal, p.Now(now))
	case state == Confirmed && p.By == second:
		return p, fmt.Errorf("proposal %s: %w: it is your own, another person must confirm it", id, ErrProposal)
	}
	if state == Confirmed {
		o, _, err := Get(tx, tenant, second)
		if err != nil {
			return p, err
		}
		if o.GivenAloneBy(p.By, now) {
			return p, fmt.Errorf("proposal %s: %w: %s has the login from %s, who proposed it: for %d days somebody else must confirm", id, ErrProposal, second, p.By, int(ConfirmAfter.Hours()/24))
		}
	}
	p.State, p.Decided, p.Second, p.Reason, p.Run = state, now, second, fact.Cut(reason, maxReason), run
	return p, store.PutJSON(tx, proposalKey(tenant, id), p)
}

// Glass is a write that should have had a second person and was done alone.
type Glass struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	What   string    `json:"what"`
	Reason string    `json:"reason"`
}

// GlassShown is how long the status warns of one.
const GlassShown = 30 * 24 * time.Hour

// Record  <t>/glass/<RFC 3339 time, nanoseconds>  Glass, framed JSON
func glassKey(tenant, at string) store.Key { return store.At(store.Record, tenant, "/glass/", at) }

// glassTime sorts as time does.
const glassTime = "2006-01-02T15:04:05.000000000Z"

// PutGlass notes that somebody did alone what needs two.
func PutGlass(tx store.Tx, tenant string, g Glass) error {
	g.What, g.Reason = fact.Cut(g.What, maxReason), fact.Cut(g.Reason, maxReason)
	return store.PutJSON(tx, glassKey(tenant, g.At.UTC().Format(glassTime)), g)
}

// Broken lists what was done alone since a time, the oldest first.
func Broken(r store.Reader, tenant string, since time.Time) ([]Glass, error) {
	var all []Glass
	from := glassKey(tenant, since.UTC().Format(glassTime)).K
	for p, err := range r.Scan(store.Record, from, store.PrefixEnd(glassKey(tenant, "").K), 0) {
		if err != nil {
			return nil, err
		}
		var g Glass
		if err := store.DecodeJSON(store.Key{Space: store.Record, K: p.K}, p.V, &g); err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}
