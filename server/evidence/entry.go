// Package evidence is the log that nobody can rewrite unseen: one leaf for every
// report that was recorded, every key that was admitted or ended, and everything
// that a person decided, in the order of their commits, under one RFC 6962 tree.
//
// A leaf is appended in the transaction of what it tells about, so there is never
// the one without the other. What a person wrote stands beside the leaf, with a
// salt: erasing both leaves a leaf that nobody can link to it, and the tree whole.
//
// The package owns leaves, entries, the tree and its proofs. It knows nothing
// about CIs, keys and operators: whoever writes those appends here.
package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"rollcall/internal/fact"
)

// Kind says what a leaf tells about. It stands in the leaf itself, in clear, as
// does the CI: whoever has all leaves can see that none of a kind is missing.
type Kind string

// The kinds. Others may be added; they are 1 to 32 lower-case letters and hyphens.
const (
	Report      Kind = "report"       // a signed report was recorded
	Fork        Kind = "fork"         // a signed report was set aside: its key speaks from two places
	Token       Kind = "token"        // an enrolment token was made
	Enrol       Kind = "enrol"        // a machine asked to be admitted, or was admitted by its token
	Approve     Kind = "approve"      // a waiting machine was admitted
	Refuse      Kind = "refuse"       // a waiting machine was turned away
	Revoke      Kind = "revoke"       // a key was ended
	RevokeMany  Kind = "revoke-many"  // the revocation of many keys began, or ended: each key has its own leaf too
	Adopt       Kind = "adopt"        // a key took a CI over and ended the one before
	Rotate      Kind = "rotate"       // a key was replaced by its holder
	Resolve     Kind = "resolve"      // a key that spoke from two places was decided about
	Operator    Kind = "operator"     // an operator was admitted, changed or removed
	Login       Kind = "login-change" // a password, a session or another means of login was changed
	Site        Kind = "site"         // a site was added, changed or removed
	Declare     Kind = "declare"      // people changed what is declared about a CI
	Merge       Kind = "merge"        // a CI was found to be another one
	Split       Kind = "split"        // a CI that was merged is its own again
	Policy      Kind = "policy"       // a rule of the server was changed
	Purge       Kind = "purge"        // something was erased
	Proposal    Kind = "proposal"     // a write that needs a second person was proposed, confirmed or refused
	BreakGlass  Kind = "break-glass"  // somebody used the way in for emergencies
	StartLog    Kind = "log"          // the first leaf of a log that begins in the middle of a store's life
	Ticks       Kind = "ticks"        // which machines said on a day that nothing had changed, see TickList
	ServerState Kind = "server"       // the server was restored, or its keys were changed
)

// Signed tells whether the content behind leaves of this kind is an envelope that
// a machine signed, rather than an Entry.
func (k Kind) Signed() bool { return k == Report || k == Fork }

// Entry is what a leaf tells. All of it but Kind, CI and Seq may be personal, and
// is erased with the leaf's note.
type Entry struct {
	Kind Kind   `json:"kind"`
	By   string `json:"by,omitempty"`  // who did it, such as "operator kari"
	CI   string `json:"ci,omitempty"`  // id of the CI it is about
	Key  string `json:"key,omitempty"` // id of the key it is about
	// Admits tells that Key speaks for CI from this leaf on; Subject is its public
	// key then.
	Admits bool `json:"admits,omitempty"`
	// Ends is the id of a key whose reports are not valid from this leaf on. Order
	// in the log is the time that counts: no clock is asked.
	Ends string `json:"ends,omitempty"`
	// Seq is a report's number.
	Seq uint64 `json:"seq,omitempty"`
	// Subject is the thing itself, or its SHA-256: for a signed kind that of the
	// envelope, for a declaration that of the revision.
	Subject []byte            `json:"subject,omitempty"`
	Detail  map[string]string `json:"detail,omitempty"`
	// Form is 2 where Changes tells which records became others; an entry of
	// before has none, and an older program does not look.
	Form    int      `json:"form,omitempty"`
	Changes []Change `json:"changes,omitempty"`
}

// Bounds of an entry in bytes; what people write is cut to them.
const (
	maxKind    = 32
	maxID      = 64
	maxText    = 500
	maxDetail  = 50
	maxSubject = 4 << 10
	maxContent = 32 << 10
)

// ErrEntry is returned for an entry that has no form that a leaf could hold. It is
// a mistake in the program, never one of whoever asks.
var ErrEntry = errors.New("not an entry of the log")

func (e Entry) check() error {
	switch {
	case !validKind(string(e.Kind)):
		return fmt.Errorf("entry of kind %.40q: %w", e.Kind, ErrEntry)
	case len(e.CI) > maxID || len(e.Key) > maxID || len(e.Ends) > maxID || len(e.Subject) > maxSubject || len(e.Detail) > maxDetail || len(e.Changes) > maxChanges:
		return fmt.Errorf("entry %s: %w: something in it is too long", e.Kind, ErrEntry)
	case e.Kind.Signed() && len(e.Subject) != sumSize:
		return fmt.Errorf("entry %s: %w: it names no envelope", e.Kind, ErrEntry)
	}
	return nil
}

func validKind(k string) bool {
	return k != "" && len(k) <= maxKind && strings.Trim(k, "abcdefghijklmnopqrstuvwxyz-") == ""
}

// content gives the bytes that a leaf commits to: JSON, kept as it is for as long
// as the leaf may be explained.
func (e Entry) content() ([]byte, error) {
	e.By = fact.Cut(e.By, maxText)
	if len(e.Changes) > 0 {
		e.Form = form
	}
	if e.Detail != nil {
		cut := make(map[string]string, len(e.Detail))
		for k, v := range e.Detail {
			if v != "" {
				cut[fact.Cut(k, maxText)] = fact.Cut(v, maxText)
			}
		}
		e.Detail = cut
	}
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("entry %s: %w", e.Kind, err)
	}
	if len(b) > maxContent {
		return nil, fmt.Errorf("entry %s: %w: %d bytes, at most %d", e.Kind, ErrEntry, len(b), maxContent)
	}
	return b, nil
}

// ParseEntry reads the content of a leaf of a kind that is not signed.
func ParseEntry(content []byte) (Entry, error) {
	var e Entry
	if len(content) > maxContent {
		return e, fmt.Errorf("read entry of %d bytes: %w", len(content), ErrEntry)
	}
	if err := json.Unmarshal(content, &e); err != nil {
		return Entry{}, fmt.Errorf("read entry: %w: %w", ErrEntry, err)
	}
	return e, e.check()
}
