package server

import (
	"encoding"
	"fmt"
)

// Rule names what must be true of a server's data whatever has happened to it.
// docs/security.md says the same at length.
type Rule string

// The rules.
const (
	RuleBytes  Rule = "I0" // the file's structure, every frame and every digest are whole
	RuleAcked  Rule = "I1" // what was acknowledged is stored, byte for byte, with the receipt that was given
	RuleChain  Rule = "I2" // the reports of a key follow one another: numbers, sequences, hashes, signatures
	RuleState  Rule = "I3" // a CI's present state is what its history leads to
	RuleLog    Rule = "I4" // the evidence log leads to the root that was signed last, and extends all that were signed
	RuleMirror Rule = "I5" // the git mirror is what the store renders to
	RuleTokens Rule = "I6" // a used token has admitted what it may admit, no more
	RuleBlobs  Rule = "I7" // what is referred to is there
	RuleIndex  Rule = "I8" // guards and counters are what they would be if computed anew
	RuleSecret Rule = "I9" // no secret is readable in any file or record
)

// Rules lists all rules.
var Rules = []Rule{RuleBytes, RuleAcked, RuleChain, RuleState, RuleLog, RuleMirror, RuleTokens, RuleBlobs, RuleIndex, RuleSecret}

// Fault is one thing that is not as it should be.
type Fault struct {
	Rule Rule
	Text string
}

var _ encoding.TextMarshaler = Fault{}

// String gives the sentence for people.
func (f Fault) String() string { return fmt.Sprintf("%s (%s)", f.Text, f.Rule) }

// MarshalText implements encoding.TextMarshaler: a fault is a sentence in JSON.
func (f Fault) MarshalText() ([]byte, error) { return []byte(f.String()), nil }
