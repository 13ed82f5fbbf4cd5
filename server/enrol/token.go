package enrol

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"rollcall/internal/failpoint"
	"rollcall/internal/identity"
	"rollcall/server/store"
)

// Kind of a token: how many it admits, for how long, and as what.
type Kind string

// The kinds.
const (
	Single    Kind = "single"    // one machine
	Batch     Kind = "batch"     // many workstations or laptops of one site
	Reinstall Kind = "reinstall" // one machine, which takes its CI over
	Netboot   Kind = "netboot"   // lies in a boot image, where everybody can read it
)

// Limits is what a token of one kind may be at most.
type Limits struct {
	Uses    int
	Life    time.Duration
	Classes []string // none: any
}

// LimitsOf returns the limits of a kind; ok is false if there is no such kind.
// The uses of a netboot token are seats: each may boot as often as it likes.
func LimitsOf(k Kind) (l Limits, ok bool) {
	const day = 24 * time.Hour
	switch k {
	case Single:
		return Limits{Uses: 1, Life: 7 * day}, true
	case Batch:
		return Limits{Uses: 500, Life: 7 * day, Classes: []string{"workstation", "laptop"}}, true
	case Reinstall:
		return Limits{Uses: 1, Life: day}, true
	case Netboot:
		return Limits{Uses: 5000, Life: 400 * day, Classes: []string{"diskless", "thin-client"}}, true
	}
	return Limits{}, false
}

// maxNets bounds the networks that a token names.
const maxNets = 16

// Token is what the server keeps of an enrolment token.
type Token struct {
	ID      string    `json:"id"`
	Hash    string    `json:"hash"` // identity.HashSecret
	Kind    Kind      `json:"kind,omitempty"`
	Site    string    `json:"site,omitempty"`
	Class   string    `json:"class,omitempty"`
	CI      string    `json:"ci,omitempty"`    // a reinstalled machine takes over this CI
	Image   string    `json:"image,omitempty"` // CI of the image that a netboot token lies in
	Name    string    `json:"name,omitempty"`
	By      string    `json:"by"`
	Created time.Time `json:"created,omitzero"`
	Expires time.Time `json:"expires"`
	Approve bool      `json:"approve,omitempty"` // an operator must approve the machine
	Nets    []string  `json:"nets,omitempty"`    // CIDR; only from there. None: from anywhere
	Uses    int       `json:"uses,omitempty"`    // at most; 0: one
	Used    int       `json:"used,omitempty"`
	UsedBy  string    `json:"used_by,omitempty"` // key id of the last use
	UsedAt  time.Time `json:"used_at,omitzero"`

	Withdrawn   time.Time `json:"withdrawn,omitzero"`
	WithdrawnBy string    `json:"withdrawn_by,omitempty"`
}

// KindOf is the token's kind; tokens that were stored before there were kinds name
// none.
func (t Token) KindOf() Kind {
	switch {
	case t.Kind != "":
		return t.Kind
	case t.CI != "":
		return Reinstall
	}
	return Single
}

// trust is how far a key is trusted that comes with this token.
func (t Token) trust() string {
	if t.KindOf() == Netboot {
		return T0
	}
	return T1
}

// TimesUsed counts how many machines, or seats, the token has admitted.
func (t Token) TimesUsed() int {
	if t.Used == 0 && t.UsedBy != "" {
		return 1 // stored before uses were counted
	}
	return t.Used
}

func (t Token) left() int { return max(t.Uses, 1) - t.TimesUsed() }

// Standing says in one word what a token is good for at a time: "good", "used",
// "expired" or "withdrawn".
func (t Token) Standing(now time.Time) string {
	switch {
	case !t.Withdrawn.IsZero():
		return "withdrawn"
	case t.left() <= 0 && t.KindOf() != Netboot:
		return "used"
	case now.After(t.Expires):
		return "expired"
	}
	return "good"
}

// AddToken stores a token. The CI and the site that it names must exist, and it
// must keep to the rules of its kind: ErrInvalid else. A token that names a
// server admits it to the list of those that wait only, see Approve. The token is
// returned as it was stored.
func (w Writer) AddToken(t Token) (Token, error) {
	if err := w.items.CheckPlace(t.CI, t.Site, t.Class); err != nil {
		return t, err
	}
	t.Kind, t.Uses = t.KindOf(), max(t.Uses, 1)
	if err := t.check(); err != nil {
		return t, err
	}
	if t.CI != "" {
		class, trust, _, err := w.items.Standing(t.CI)
		if err != nil {
			return t, err
		}
		if trust == T0 {
			return t, fmt.Errorf("token for CI %s: %w: it boots from the network and needs no reinstall token", t.CI, ErrTrust)
		}
		t.Approve = t.Approve || class == server
	}
	if t.Image != "" {
		class, _, found, err := w.items.Standing(t.Image)
		if err != nil {
			return t, err
		}
		if t.Kind != Netboot || !found || class != image {
			return t, fmt.Errorf("%s token: %w: a netboot token may name a CI of class image, and no other token does", t.Kind, ErrInvalid)
		}
	}
	t.Approve = t.Approve || t.Class == server
	return t, store.PutJSON(w.tx, tokenKey(w.tenant, t.ID), t)
}

// check applies the rules of the token's kind.
func (t Token) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s token: %w: %s", t.Kind, ErrInvalid, fmt.Sprintf(format, args...))
	}
	l, ok := LimitsOf(t.Kind)
	if !ok {
		return bad("the kinds are single, batch, reinstall and netboot")
	}
	if t.Uses > l.Uses {
		return bad("it admits at most %d", l.Uses)
	}
	if life := t.Expires.Sub(t.Created); !t.Created.IsZero() && life > l.Life {
		return bad("it is valid for at most %d hours", int(l.Life.Hours()))
	}
	if len(l.Classes) > 0 && !slices.Contains(l.Classes, t.Class) {
		return bad("its class is one of %q", l.Classes)
	}
	if len(t.Nets) > maxNets {
		return bad("it names at most %d networks", maxNets)
	}
	for _, n := range t.Nets {
		if _, err := netip.ParsePrefix(n); err != nil {
			return bad("network %.60q: want a CIDR such as 10.20.0.0/16", n)
		}
	}
	switch {
	case (t.Kind == Reinstall) != (t.CI != ""):
		return bad("a reinstall token names a CI, and no other does")
	case t.Kind == Reinstall && (t.Class != "" || t.Site != ""):
		return bad("site and class are those of the CI")
	case (t.Kind == Batch || t.Kind == Netboot) && t.Site == "":
		return bad("it needs a site")
	case t.Kind == Batch && len(t.Nets) == 0 && !t.Approve:
		return bad("without a network its machines must be approved")
	case t.Kind == Netboot && len(t.Nets) == 0:
		return bad("it needs the networks of its site: everybody can read it in the boot image")
	}
	return nil
}

// proved returns the token that a request names, if the request proves its
// secret.
func (w Writer) proved(q Request) (Token, error) {
	var t Token
	found, err := store.GetJSON(w.tx, tokenKey(w.tenant, q.TokenID), &t)
	if err != nil {
		return t, err
	}
	// The proof is computed in any case, so that time tells nothing about ids.
	if ok := equal(q.Proof, identity.Proof(t.Hash, q.Exporter, q.Public)); !ok || !found {
		return t, fmt.Errorf("token %.40q: wrong id or secret: %w", q.TokenID, ErrToken)
	}
	return t, nil
}

// admits tells whether the token admits one more, from this address.
func (t Token) admits(now time.Time, addr netip.Addr) error {
	switch t.Standing(now) {
	case "used":
		return fmt.Errorf("token %s: used already, at last by key %s: %w", t.ID, t.UsedBy, ErrToken)
	case "expired":
		return fmt.Errorf("token %s: it expired at %s: %w", t.ID, t.Expires.UTC().Format(time.RFC3339), ErrToken)
	case "withdrawn":
		return fmt.Errorf("token %s: %s withdrew it: %w", t.ID, t.WithdrawnBy, ErrToken)
	}
	if len(t.Nets) > 0 && !slices.ContainsFunc(t.Nets, func(n string) bool {
		p, err := netip.ParsePrefix(n)
		return err == nil && p.Contains(addr.Unmap().WithZone(""))
	}) {
		return fmt.Errorf("token %s: asked from %s, which is in none of its networks: %w", t.ID, addr, ErrToken)
	}
	return nil
}

// use counts one use of a token by a key.
func (w Writer) use(now time.Time, t Token, keyID string) error {
	t.Used, t.UsedBy, t.UsedAt = t.Used+1, keyID, now
	if err := store.PutJSON(w.tx, tokenKey(w.tenant, t.ID), t); err != nil {
		return err
	}
	failpoint.Hit(failpoint.TokenUse)
	return nil
}

// Withdraw ends a token: nobody is admitted with it any more. Keys that came with
// it stay. It returns ErrState if it is withdrawn already, and ErrToken if there
// is none.
func (w Writer) Withdraw(now time.Time, id, by string) (Token, error) {
	var t Token
	found, err := store.GetJSON(w.tx, tokenKey(w.tenant, id), &t)
	switch {
	case err != nil:
		return t, err
	case !found:
		return t, fmt.Errorf("withdraw token %.40q: there is none: %w", id, ErrToken)
	case !t.Withdrawn.IsZero():
		return t, fmt.Errorf("withdraw token %s: %w: %s withdrew it", id, ErrState, t.WithdrawnBy)
	}
	t.Withdrawn, t.WithdrawnBy = now, by
	return t, store.PutJSON(w.tx, tokenKey(w.tenant, id), t)
}

// single tells whether a token was made for one machine.
func (t Token) single() bool { return max(t.Uses, 1) == 1 && t.KindOf() != Netboot }

// Single gives the ids of the tokens that admitted one machine, by the key that
// used them.
func (v View) Single() (map[string]string, error) {
	all, err := v.Tokens()
	of := map[string]string{}
	for _, t := range all {
		if t.single() && t.UsedBy != "" {
			of[t.UsedBy] = t.ID
		}
	}
	return of, err
}
