// Package cmdb holds the configuration items (CIs): what each one is, which
// facts were observed of it, what people declared, and its whole history as
// revisions.
//
// A CI's state is a handful of section digests (fact.State); the sets behind
// them are stored once, however many CIs share them. Every change, observed or
// declared, is one Revision. As-of any time is the last revision until then.
//
// In is the package as seen from one transaction, At as seen from one snapshot,
// both by a caller who sees a Scope of sites. Who may do what there, and where
// reports come from, is left to others.
package cmdb

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
)

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("no such CI")
	ErrNoFile   = errors.New("no such file")
	ErrBase     = errors.New("the delta does not start from the CI's present state")
	ErrInvalid  = errors.New("not allowed")
	ErrTaken    = errors.New("already taken")
	ErrScope    = errors.New("outside of your sites")
	ErrNoName   = errors.New("nothing is saved under that name")
)

// Status is the status accounting of a CI: decided by people, never by agents.
type Status string

// The statuses, in the order of a CI's life.
const (
	OnOrder      Status = "on-order"
	Received     Status = "received"
	UnderTest    Status = "under-test"
	InProduction Status = "in-production"
	UnderRepair  Status = "under-repair"
	Disposed     Status = "disposed"
)

// Statuses lists all statuses.
var Statuses = []Status{OnOrder, Received, UnderTest, InProduction, UnderRepair, Disposed}

// Classes lists the classes of CI that people may choose.
var Classes = []string{
	"server", "workstation", "laptop", "diskless", "thin-client", "printer", "switch",
	"image", "service", "software", "component", "other",
}

// CI is the head of a configuration item: what it is now.
type CI struct {
	ID      string            `json:"id"`
	Name    string            `json:"name"` // unique among the tenant's CIs
	Class   string            `json:"class,omitempty"`
	Site    string            `json:"site,omitempty"` // path, see Site
	Status  Status            `json:"status"`
	Fields  map[string]string `json:"fields,omitempty"` // what else people declared
	State   fact.State        `json:"state,omitempty"`  // present sets by section
	Rev     uint64            `json:"rev"`              // number of the last revision
	Created time.Time         `json:"created"`
	Changed time.Time         `json:"changed"` // when the last revision was recorded
	Repo    string            `json:"repo,omitempty"`
	Folder  string            `json:"folder,omitempty"` // of the mirror, unique in Repo
	Cloned  bool              `json:"cloned,omitempty"` // its key speaks from two places
	Trust   string            `json:"trust,omitempty"`  // how far its key is trusted, see TrustClass
	First   uint64            `json:"first,omitempty"`  // number of the oldest revision that is kept; 0: 1
	// LastDeclared is the number of the newest revision by which people declared
	// something; 0: not known, as in heads that were stored before this was kept.
	LastDeclared uint64 `json:"last_declared,omitempty"`
}

// From returns the number of the oldest revision that is kept.
func (c CI) From() uint64 { return max(1, c.First) }

// Unsigned is the trust class of a CI of which everything was told by somebody who
// signs nothing: it stands below every class of those who do.
const Unsigned = "unsigned"

// Observed is the trust class of a CI of which everything was told by a boot server
// that sees the machine: signed, but by another one.
const Observed = "observed"

// Observation is that a boot server, the observer, sees a machine.
type Observation struct {
	Observer string    // CI
	By       string    // "leases", "nfs" or both, with a space between
	Last     time.Time // zero: not since the server was started
}

// TrustClass tells how far what was observed of the CI can be trusted: "T0" is a
// claim of a machine that booted from the network, "T1" is signed with a key in a
// file, Observed and Unsigned are below both. It is empty where no machine ever spoke for the CI. Heads that were stored
// before there were classes name none.
func (c CI) TrustClass() string {
	if c.Trust == "" && len(c.State) > 0 {
		return "T1"
	}
	return c.Trust
}

// Change is an old and a new value; empty means absent.
type Change struct {
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
}

// Event is something that the machine's own logs told along with a report.
type Event struct {
	At   int64  `json:"at"` // milliseconds since 1970
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// Bounds of the events kept with one revision: their number, and what they take
// as they are stored, so that a revision fits into one value.
const (
	MaxEvents     = 200
	maxEventsJSON = 24 << 10
)

// newest returns the last events that are within the bounds.
func newest(events []Event) ([]Event, error) {
	events = events[max(0, len(events)-MaxEvents):]
	size := 0
	for i, e := range slices.Backward(events) {
		b, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("encode event: %w", err)
		}
		if size += len(b) + 1; size > maxEventsJSON {
			return events[i+1:], nil
		}
	}
	return events, nil
}

// Revision is one recorded change of one CI.
type Revision struct {
	CI      string            `json:"ci"`
	N       uint64            `json:"n"`     // 1, 2, 3 … of this CI
	Stamp   int64             `json:"stamp"` // server time, ns since 1970, unlike any other revision's
	Claimed int64             `json:"claimed,omitempty"`
	By      string            `json:"by"` // "agent KEYID" or "operator NAME"
	Report  string            `json:"report,omitempty"`
	Reason  string            `json:"reason,omitempty"`
	State   fact.State        `json:"state,omitempty"` // after
	Prev    fact.State        `json:"prev,omitempty"`  // before
	Fields  map[string]Change `json:"fields,omitempty"`
	// PrevDeclared is the number of the revision before by which people declared
	// something, where this one is such; 0: not known, or none.
	PrevDeclared uint64 `json:"prev_declared,omitempty"`

	Events []Event `json:"events,omitempty"`

	// What the CI was called and where it stood after and before, for readers
	// of history and for the mirror.
	Name       string `json:"name"`
	Class      string `json:"class,omitempty"`
	Site       string `json:"site,omitempty"`
	Repo       string `json:"repo,omitempty"`
	Folder     string `json:"folder,omitempty"`
	PrevRepo   string `json:"prev_repo,omitempty"`
	PrevFolder string `json:"prev_folder,omitempty"`
	Declared   string `json:"status,omitempty"`
}

// At returns when the revision was recorded.
func (r Revision) At() time.Time { return time.Unix(0, r.Stamp).UTC() }

// NewID makes the id of a CI: "ci" and 20 hexadecimal digits of randomness, so
// that ids tell nothing and spread evenly over any engine's ranges.
func NewID() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return "ci" + hex.EncodeToString(b[:])
}

// IsID tells whether s has the form of a CI's id.
func IsID(s string) bool {
	if len(s) != 22 || !strings.HasPrefix(s, "ci") {
		return false
	}
	_, err := hex.DecodeString(s[2:])
	return err == nil
}

// CheckName returns an error unless s can name a CI: 1 to 63 letters, digits,
// dots and hyphens, as a host name's labels are (RFC 1123 section 2.1), so that
// it can stand in a command line, an address and a folder's name.
func CheckName(s string) error {
	if s == "" || len(s) > 63 || s[0] == '.' || s[0] == '-' || s[len(s)-1] == '.' || IsID(s) {
		return fmt.Errorf("name %.80q: %w: want 1 to 63 letters, digits, dots and hyphens", s, ErrInvalid)
	}
	for i := range len(s) {
		if !nameByte(s[i]) {
			return fmt.Errorf("name %.80q: %w: only letters, digits, dots and hyphens", s, ErrInvalid)
		}
	}
	return nil
}

// NameFrom makes a name that passes CheckName out of whatever a machine calls
// itself. Only the first label of a host name is kept.
func NameFrom(hostname string) string {
	host, _, _ := strings.Cut(hostname, ".")
	var b strings.Builder
	for i := range len(host) {
		if c := host[i]; nameByte(c) {
			b.WriteByte(c)
		} else if b.Len() > 0 {
			b.WriteByte('-')
		}
	}
	name := strings.Trim(strings.ToLower(b.String()), "-.")
	if len(name) > 50 {
		name = strings.Trim(name[:50], "-.")
	}
	if name == "" || IsID(name) {
		return "unnamed"
	}
	return name
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.'
}

// CheckClass returns an error unless class is one of Classes or empty.
func CheckClass(class string) error {
	if class != "" && !slices.Contains(Classes, class) {
		return fmt.Errorf("class %.80q: %w: want one of %s", class, ErrInvalid, strings.Join(Classes, ", "))
	}
	return nil
}

// CheckStatus returns an error unless s is one of Statuses.
func CheckStatus(s Status) error {
	if !slices.Contains(Statuses, s) {
		names := make([]string, len(Statuses))
		for i, st := range Statuses {
			names[i] = string(st)
		}
		return fmt.Errorf("status %.80q: %w: want one of %s", s, ErrInvalid, strings.Join(names, ", "))
	}
	return nil
}
