// Package restore brings an earlier /etc back onto a machine that was installed
// anew: it plans, shows, applies and verifies.
//
// It promises that
//   - nothing is written before a person has seen the plan and asked for it, and
//     nothing is written outside the given root, whatever names and links the
//     source holds;
//   - what it replaces is kept in a backup folder, and what is here but not in
//     the source stays unless its deletion is asked for;
//   - a file is there whole, old or new, at every moment, also after a crash,
//     and running the same restore again continues;
//   - a changed conffile is merged with a newer package default only where the
//     lines allow; else the new default stays and the old local version is laid
//     beside it as NAME.dpkg-old, as dpkg does when it keeps the maintainer's
//     version: such names are ignored by run-parts, logrotate and their like;
//   - files that belong to the installation and not to the configuration
//     (/etc/fstab, /etc/machine-id, /etc/passwd, …) are restored only when they
//     are named or everything is asked for;
//   - what cannot be restored (sealed without an identity, withheld, unknown
//     owner) is listed, never left out in silence.
//
// Where manifests and contents come from is a Source: the server, or a clone of
// the git mirror.
package restore

import (
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/seal"
)

// ErrAbsent is returned where a source does not have something.
var ErrAbsent = errors.New("not in the source")

// ErrClaim is returned for the folder of a machine that booted from the network
// and only claims to be what it says (trust class T0): its /etc is its boot image's.
var ErrClaim = errors.New("no source of a restore: it boots from the network (trust class T0), its /etc comes from its boot image")

// ErrExchanged is returned for a content that is not the one that the manifest
// names.
var ErrExchanged = errors.New("the content is not the one that the manifest names: it was damaged or exchanged")

// ErrUnsigned is returned where the source does not show that the machine itself
// reported what it gives.
var ErrUnsigned = errors.New("the source shows no report that the machine signed")

// Snapshot is /etc of one CI at one time.
type Snapshot struct {
	CI       string
	Name     string
	At       time.Time // server time of the revision
	Revision uint64
	Report   string // hexadecimal hash of the envelope it came with
	// Signer is the key of the machine that signed exactly this; nil where the
	// source shows no signature.
	Signer   ed25519.PublicKey
	Etc      fact.Set // section etc
	Conffile fact.Set // section conffile
}

// Need names a content: of a file in the snapshot, or the package default of a
// conffile, whose MD5 dpkg records.
type Need struct {
	Path   string // of the fact, "etc/…"
	Digest fact.Digest
	Sealed bool // Digest is that of the ciphertext
	MD5    *[16]byte
}

// Source gives a snapshot and its contents. There are two: Remote and Clone.
type Source interface {
	// Snapshot returns the manifest.
	Snapshot(ctx context.Context) (Snapshot, error)
	// Contents hands the needed contents to take, in any order, each checked
	// against its digest. What the source does not have is left out; a content
	// that is there but damaged is an error.
	Contents(ctx context.Context, needs []Need, take func(Need, []byte) error) error
}

// Options says what to restore.
type Options struct {
	// Paths restricts the plan to these files and folders, "/etc/cups". A file
	// that is named itself is restored even if it is this machine's own, or if
	// a newer package default is here. Empty means all.
	Paths []string
	// All restores this machine's own files as well, and old files over newer
	// package defaults that nobody had changed.
	All bool
	// Delete removes what is here and not in the source.
	Delete bool
	// Identities open sealed files.
	Identities seal.Identities
	// Opened are contents of sealed files that were opened elsewhere, by the
	// digest of their ciphertext (seal.OpenAnswer). nil where nobody did.
	Opened map[[32]byte][]byte
}

// Action is what a plan does with one path.
type Action string

// The actions. Apply acts on Create, Change, Merge, Conflict and Delete; the
// others are listed for people.
const (
	Create   Action = "create"
	Change   Action = "change"
	Merge    Action = "merge"    // the local changes are put into the newer package default
	Conflict Action = "conflict" // the newer default stays, the old version is laid beside it
	Same     Action = "same"
	Newer    Action = "newer default" // never changed there, a newer default is here: stays
	Own      Action = "own"           // belongs to this installation
	Sealed   Action = "sealed"        // needs an identity
	Withheld Action = "withheld"      // the source has no content for it
	Blocked  Action = "blocked"       // something of another kind is in the way
	Kept     Action = "kept"          // here, not in the source
	Delete   Action = "delete"
)

// Actions lists all of them in the order in which people want to see them.
func Actions() []Action {
	return []Action{Conflict, Blocked, Sealed, Withheld, Delete, Merge, Change, Create, Own, Newer, Kept, Same}
}

// Entry is one path of a plan.
type Entry struct {
	Path   string // of the fact, "etc/cups/cupsd.conf"
	Action Action
	Reason string     // for people; may be empty
	Want   fact.File  // as the source has it
	Have   *fact.File // as it is here; nil if it is not
	// OwnerMissing names the owner or group that does not exist here: the file
	// then goes to root without set-id bits and without rights for the group.
	OwnerMissing string
	// Diff is a unified diff from what is here to what will be, inert, empty
	// for sealed, secret and binary contents.
	Diff string

	content    []byte // what to write; nil where only attributes change
	hasContent bool
	known      fact.Digest // of the content that is here, for the check before writing
}

// Plan is what a restore would do.
type Plan struct {
	Snapshot Snapshot
	Entries  []Entry // sorted by path
}

// Count returns how many entries have the action.
func (p Plan) Count(a Action) int {
	n := 0
	for _, e := range p.Entries {
		if e.Action == a {
			n++
		}
	}
	return n
}
