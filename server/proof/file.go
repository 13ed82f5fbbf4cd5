// Package proof is the file with which anybody can check, years later and without
// a server, that a machine had a state on a day: the report that the machine
// signed, the facts that make its state, and the way from both into a log that the
// server has signed and others have watched.
//
// The package owns the form of that file and what must hold for it to be believed.
// Trust comes from outside: from the server's key as it was pinned, or from the
// log's, and from the keys of witnesses; never from the file itself. How the parts
// are found in a store is left to others.
package proof

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"

	"rollcall/internal/identity"
)

// ErrFile is wrapped by every error about bytes that are no proof file.
var ErrFile = errors.New("not a proof file")

// magic begins a proof file, JSON and a newline follow.
const magic = "rollcall proof v1\n"

// Bounds of a file, so that a hostile one costs little.
const (
	MaxFile   = 96 << 20
	maxKeys   = 1000 // leaves about one key
	MaxLater  = 64   // reports that follow
	maxSets   = 64
	maxWitn   = 16
	maxSwitch = 64 // changes of the server's key
	maxHashes = 64 // of one inclusion proof: a tree has 2^63 leaves at most
)

// File is what a proof file holds. Nothing in it is believed before Verify.
type File struct {
	CI string `json:"ci"` // id of the configuration item
	At int64  `json:"at"` // the time that was asked about, milliseconds since 1970

	LogKey      string `json:"log_key"`     // verifier key, as a signed note has it
	Endorsement []byte `json:"endorsement"` // identity.TypeLogKey, by the server's key
	Checkpoint  []byte `json:"checkpoint"`  // all leaves here are in this tree
	// Switches are the leaves about changes of the server's key, from the first one
	// on; the server's word here is given by the last key.
	Switches  []Leaf `json:"switches,omitempty"`
	Witnessed []Seen `json:"witnessed,omitempty"`
	Report    Leaf   `json:"report"` // its content is the envelope
	// Later are the reports that the machine recorded right after, each naming the
	// one before by its hash, until one came after At: the machine's own word that
	// nothing was between.
	Later []Leaf   `json:"later,omitempty"`
	Keys  []Leaf   `json:"keys"` // everything about the key that signed the report
	Sets  [][]byte `json:"sets"` // encoded fact.Set, one for each section
	// Alive is the last tick of the key on the day asked about, if one is in the log.
	Alive *Alive `json:"alive,omitempty"`
	// Statement is the server's word that Keys is everything, identity.TypeKeyState.
	Statement []byte `json:"statement"`
}

// Seen is a checkpoint that a witness has cosigned, and the proof that the tree of
// File.Checkpoint grew out of it.
type Seen struct {
	Note  []byte   `json:"note"`
	Proof [][]byte `json:"proof,omitempty"`
}

// Leaf is one leaf of the log with what it commits to and the proof that it is in
// the tree.
type Leaf struct {
	Index   uint64   `json:"index"`
	Leaf    []byte   `json:"leaf"`
	Salt    []byte   `json:"salt"`
	Content []byte   `json:"content"`
	Proof   [][]byte `json:"proof,omitempty"`
}

// Alive proves that a list of ticks in the log has an entry.
type Alive struct {
	Leaf  Leaf     `json:"leaf"`  // of kind ticks
	Tick  []byte   `json:"tick"`  // evidence.Tick
	Pos   uint64   `json:"pos"`   // in the list
	Count uint64   `json:"count"` // of the list
	Proof [][]byte `json:"proof,omitempty"`
}

// Encode gives the file's bytes.
func (f File) Encode() ([]byte, error) {
	b, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode proof: %w", err)
	}
	return append(append([]byte(magic), b...), '\n'), nil
}

// Parse reads what Encode gave, and nothing else: a file with other bytes than
// Encode would give, such as a field twice or something behind it, is refused.
// Errors wrap ErrFile.
func Parse(b []byte) (File, error) {
	var f File
	body, ok := bytes.CutPrefix(b, []byte(magic))
	switch {
	case len(b) > MaxFile:
		return f, fmt.Errorf("%w: %d bytes, at most %d", ErrFile, len(b), MaxFile)
	case !ok:
		return f, fmt.Errorf("%w: it does not begin with %q", ErrFile, magic)
	}
	if err := json.Unmarshal(body, &f); err != nil {
		return File{}, fmt.Errorf("%w: %w", ErrFile, err)
	}
	again, err := f.Encode()
	if err != nil {
		return File{}, fmt.Errorf("%w: %w", ErrFile, err)
	}
	if !bytes.Equal(again, b) {
		return File{}, fmt.Errorf("%w: something in it is there twice, unknown, or written in another form", ErrFile)
	}
	if len(f.Keys) > maxKeys || len(f.Later) > MaxLater || len(f.Sets) > maxSets || len(f.Witnessed) > maxWitn || len(f.Switches) > maxSwitch {
		return File{}, fmt.Errorf("%w: more in it than a proof can hold", ErrFile)
	}
	return f, nil
}

// Statement is what the server's key says about an agent's key.
type Statement struct {
	Origin string   `json:"origin"` // of the log
	Size   uint64   `json:"size"`   // the log had this many leaves
	Key    string   `json:"key"`
	CI     string   `json:"ci"`
	Leaves []uint64 `json:"leaves"` // all that were about the key
}

// Sign gives the signed statement.
func (s Statement) Sign(server identity.Key) ([]byte, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("sign statement about key %s: %w", s.Key, err)
	}
	if len(b) > identity.MaxStatement {
		return nil, fmt.Errorf("sign statement about key %s: %d leaves are about it", s.Key, len(s.Leaves))
	}
	return identity.SignStatement(server, identity.TypeKeyState, b), nil
}

// openStatement verifies and reads a statement.
func openStatement(server ed25519.PublicKey, b []byte) (Statement, error) {
	var s Statement
	body, err := identity.OpenStatement(server, identity.TypeKeyState, b)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return Statement{}, fmt.Errorf("read statement: %w", err)
	}
	return s, nil
}
