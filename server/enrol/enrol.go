// Package enrol admits machines. A token from an operator lets unknown keys ask;
// a key is then bound to a CI, at once or after operators have approved it, until
// it is rotated or revoked. From then on the CI follows from the key, never from
// what a message says.
//
// Tokens are of four kinds (token.go): for one machine, for a batch, for a
// machine that was installed anew, and for machines that boot from the network,
// whose token is no secret and whose word counts less (seat.go). Two people
// stand behind every key of a server (decide.go).
//
// The package owns tokens and keys and the place of each key in its chain of
// reports. What a report holds is left to ingest.
package enrol

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/store"
)

// Errors that callers branch on.
var (
	ErrToken        = errors.New("the token does not admit this machine")
	ErrUnknown      = errors.New("the key is not enrolled")
	ErrState        = errors.New("the key is not in a state that allows this")
	ErrInvalid      = errors.New("not allowed for this kind of token")
	ErrSecondPerson = errors.New("a machine of class server needs another person")
	ErrTrust        = errors.New("a machine that boots from the network stays apart from others")
	ErrRate         = errors.New("too many claims of one seat")
)

// State of a key.
type State string

// The states. A refused, revoked or rotated key never comes back; the machine
// makes a new one.
const (
	Pending  State = "pending"
	Enrolled State = "enrolled"
	Refused  State = "refused"
	Revoked  State = "revoked"
	Rotated  State = "rotated" // its own new key has taken its place
)

// How far what a key says can be trusted, as operators and auditors see it.
const (
	T0 = "T0" // claimed: a key in memory, admitted with the public token of a boot image
	T1 = "T1" // a key in a file that only root can read
)

// server is the class that needs two people; image is that of what machines boot.
const (
	server = "server"
	image  = "image"
)

// maxText bounds in bytes what a machine calls itself and why it was turned
// away, so that a Key fits into one value of the store.
const maxText = 500

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
	Kind     Kind      `json:"kind,omitempty"` // of the token
	Trust    string    `json:"trust,omitempty"`
	Site     string    `json:"site,omitempty"`
	Class    string    `json:"class,omitempty"`
	WantCI   string    `json:"want_ci,omitempty"`
	Seat     string    `json:"seat,omitempty"`     // the CI that a machine booted from the network claims
	Image    string    `json:"image,omitempty"`    // CI of the image that its token lies in
	OneShot  bool      `json:"one_shot,omitempty"` // its session is over after SeatOneShot
	Facts    []byte    `json:"facts,omitempty"`    // encoded fact.Set
	Version  string    `json:"version,omitempty"`
	Asked    time.Time `json:"asked"`
	Decided  time.Time `json:"decided,omitzero"`
	By       string    `json:"by,omitempty"` // who decided
	Reason   string    `json:"reason,omitempty"`
	Vouched  string    `json:"vouched,omitempty"`  // who made the token, if it names a server
	Votes    []Vote    `json:"votes,omitempty"`    // of those who approved a server, until there are two
	Replaced string    `json:"replaced,omitempty"` // id of the key that spoke for the CI before, ended by this one

	Cloned   bool      `json:"cloned,omitempty"`  // it speaks from two places
	Forks    int       `json:"forks,omitempty"`   // reports kept apart since then
	Resolved time.Time `json:"resolved,omitzero"` // when an operator last decided about forks

	Successor string `json:"successor,omitempty"` // id of the key that it was rotated into
	Statement []byte `json:"statement,omitempty"` // identity.Rotation by which it came, signed by the key before
}

// TrustClass tells how far what the key says can be trusted. Keys that were
// stored before there were classes are in files.
func (k Key) TrustClass() string {
	if k.Trust == "" {
		return T1
	}
	return k.Trust
}

// Chain is a key's place in its chain of recorded reports.
type Chain struct {
	Seq     uint64   `json:"seq"`
	Head    []byte   `json:"head,omitempty"`    // SHA-256 of the last recorded envelope
	Receipt []byte   `json:"receipt,omitempty"` // signed, for that envelope
	Count   uint64   `json:"count"`             // recorded reports
	Restart bool     `json:"restart,omitempty"` // the next full report is taken wherever it stands in the chain
	Anew    []uint64 `json:"anew,omitempty"`    // numbers of the reports that were taken so
	Last    uint64   `json:"last,omitempty"`    // index in the log of the last report, plus 1; 0: a program of before recorded it
}

// Items is what admission needs of the CIs, in the same transaction.
type Items interface {
	// CheckPlace returns an error unless ci is empty or exists, and site and
	// class are ones that a CI may have.
	CheckPlace(ci, site, class string) error
	// Standing returns class and trust class of a CI; found is false if there is none.
	Standing(ci string) (class, trust string, found bool, err error)
	// Found stores a new CI, named after the host name as far as that is free.
	Found(now time.Time, id, hostname, class, site, by, reason string) error
	// Note stores a revision of a CI that changes nothing but says what happened
	// to its key.
	Note(now time.Time, ci, by, reason string) error
	// SetCloned notes on a CI whether its key speaks from two places.
	SetCloned(ci string, cloned bool) error
	// SetTrust notes on a CI how far its key is trusted.
	SetTrust(ci, trust string) error
}

// Writer changes tokens and keys within one transaction.
type Writer struct {
	tx     store.Tx
	tenant string
	items  Items
}

// In returns the package as seen from a transaction.
func In(tx store.Tx, tenant string, items Items) Writer { return Writer{tx, tenant, items} }

// Request is a machine's request for admission, after the connection has proved
// that it holds the key.
type Request struct {
	TokenID  string
	Proof    []byte
	Exporter []byte // TLS exporter value of the connection, see identity.Proof
	Public   ed25519.PublicKey
	Hostname string
	Facts    fact.Set
	Source   string // for people
	Addr     netip.Addr
	Version  string
	OneShot  bool // the machine says one thing and keeps no key; for netboot tokens alone
	// Heard tells when a CI was last heard of; nil: never. It is asked about seats.
	Heard func(ci string) time.Time
}

// Admit handles a request: a use of a token is bound to the key in the same
// transaction in which the key is stored. The same key may ask again and gets
// the same answer; a key that waits uses no second token up. ErrToken tells
// neither whether a token exists nor why it is no good; the sentence around it is
// for the server's log. ErrRate is for netboot tokens alone.
func (w Writer) Admit(now time.Time, q Request) (Key, error) {
	id := identity.IDOf(q.Public).String()
	have, found, err := w.key(id)
	if err != nil {
		return Key{}, err
	}
	if found && have.State != Pending {
		return have, nil
	}
	t, err := w.proved(q)
	switch {
	case err != nil:
		return Key{}, err
	case found && have.Seat != "" && have.Token == t.ID:
		return w.claimAgain(now, q, have)
	case found:
		return have, nil
	}
	if err := t.admits(now, q.Addr); err != nil {
		return Key{}, err
	}
	k := Key{
		ID: id, Public: q.Public, State: Pending, Hostname: fact.Cut(q.Hostname, maxText), Source: q.Source,
		Token: t.ID, TokenTag: t.Name, Kind: t.KindOf(), Trust: t.trust(), Site: t.Site, Class: t.Class, WantCI: t.CI,
		Facts: q.Facts.Encode(), Version: fact.Cut(q.Version, maxText), Asked: now,
	}
	if t.KindOf() == Netboot {
		return w.claim(now, q, t, k)
	}
	if err := w.use(now, t, id); err != nil {
		return Key{}, err
	}
	return w.decideByToken(now, t, k)
}

// decideByToken enrols a key at once, where its token says so and it is none of a
// server; else it waits.
func (w Writer) decideByToken(now time.Time, t Token, k Key) (Key, error) {
	forServer, err := w.forServer(k)
	if err != nil {
		return Key{}, err
	}
	if forServer {
		k.Vouched = "operator " + t.By
	} else if claimed, _ := claimedClass(k); k.Class == "" && k.WantCI == "" && claimed == server {
		// It says itself that it is one, the token does not: two others must.
		k.Class, forServer = server, true
	}
	if !t.Approve && !forServer {
		return w.enrol(now, k, "token of "+t.By)
	}
	if err := store.PutFramed(w.tx, pendingKey(w.tenant, k.ID), []byte(k.ID)); err != nil {
		return Key{}, err
	}
	return k, w.putKey(k)
}

// claimedClass is the class that a machine sees in itself.
func claimedClass(k Key) (class string, err error) {
	if len(k.Facts) == 0 {
		return "", nil
	}
	set, err := fact.DecodeSet(k.Facts)
	if err != nil {
		return "", fmt.Errorf("facts of key %s: %w", k.ID, err)
	}
	class, _ = set.Get("id/class")
	return class, nil
}

// forServer tells whether a key is to speak for a server.
func (w Writer) forServer(k Key) (bool, error) {
	if k.Class == server || k.WantCI == "" {
		return k.Class == server, nil
	}
	class, _, _, err := w.items.Standing(k.WantCI)
	return class == server, err
}

// enrol binds a key to its CI: the one it takes over, or a new one. A key that
// spoke for the CI before is revoked in the same transaction.
func (w Writer) enrol(now time.Time, k Key, by string) (Key, error) {
	k.State, k.Decided, k.By = Enrolled, now, by
	if err := w.items.CheckPlace(k.WantCI, k.Site, k.Class); err != nil {
		return k, err
	}
	var err error
	switch {
	case k.Seat != "":
		k, err = w.takeSeat(now, k, by)
	case k.WantCI != "":
		k, err = w.adopt(now, k, by)
	default:
		k.CI = ciOf(k.Public)
		err = w.items.Found(now, k.CI, k.Hostname, k.Class, k.Site, "agent "+k.ID, "enrolled, "+by)
	}
	if err != nil {
		return k, err
	}
	if err := w.items.SetTrust(k.CI, k.TrustClass()); err != nil {
		return k, err
	}
	if err := store.PutFramed(w.tx, ownerKey(w.tenant, k.CI), []byte(k.ID)); err != nil {
		return k, err
	}
	if err := w.tx.Delete(pendingKey(w.tenant, k.ID)); err != nil {
		return k, err
	}
	return k, w.putKey(k)
}

// adopt lets a key take a CI over. What boots from the network and what does not
// never take each other's place: the one is a claim, the other is known.
func (w Writer) adopt(now time.Time, k Key, by string) (Key, error) {
	_, trust, _, err := w.items.Standing(k.WantCI)
	if err != nil {
		return k, err
	}
	if (trust == T0) != (k.TrustClass() == T0) {
		return k, fmt.Errorf("key %s, trust %s, as CI %s, trust %s: %w", k.ID, k.TrustClass(), k.WantCI, trust, ErrTrust)
	}
	k.CI = k.WantCI
	if k.Replaced, err = w.revokeKeyOf(now, k.CI, by, "another key took over its CI"); err != nil {
		return k, err
	}
	what := "key " + k.ID + " enrolled, " + by
	if k.Replaced != "" {
		what += "; key " + k.Replaced + " revoked"
	}
	if err := w.items.Note(now, k.CI, "agent "+k.ID, what); err != nil {
		return k, err
	}
	return k, w.items.SetCloned(k.CI, false)
}

// revokeKeyOf revokes the key that speaks for a CI, if there is one, and returns
// its id.
func (w Writer) revokeKeyOf(now time.Time, ci, by, reason string) (string, error) {
	id, err := store.GetFramed(w.tx, ownerKey(w.tenant, ci))
	if err != nil || id == nil {
		return "", err
	}
	old, found, err := w.key(string(id))
	if err != nil || !found {
		return "", err
	}
	old.State, old.Decided, old.By, old.Reason, old.Cloned = Revoked, now, by, reason, false
	if old.TrustClass() == T0 {
		old.Facts = nil // there is one such key for every boot
	}
	return old.ID, w.putKey(old)
}

// Key returns an enrolled key, or ErrUnknown.
func (w Writer) Key(id identity.KeyID) (Key, error) { return keyByID(w.tx, w.tenant, id.String()) }

// Known returns a key that has asked for admission before, whatever became of it.
func (w Writer) Known(id identity.KeyID) (k Key, found bool, err error) { return w.key(id.String()) }

// Chain returns a key's place in its chain.
func (w Writer) Chain(id string) (Chain, error) { return chainOf(w.tx, w.tenant, id) }

// PutChain moves a key on in its chain.
func (w Writer) PutChain(id string, c Chain) error {
	return store.PutJSON(w.tx, chainKey(w.tenant, id), c)
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
