package proof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/evidence"

	"google.golang.org/protobuf/proto"
)

// Trust is what the verifier knows from elsewhere.
type Trust struct {
	Server    ed25519.PublicKey  // as it was pinned; or
	Log       string             // the log's verifier key
	Witnesses []evidence.Witness // each of them must have seen the log
	Leaves    Leaves             // all leaves of the log, or nil
}

// Step is one thing that must hold.
type Step struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Text string `json:"text"` // what was found, or what is wrong
}

// Result is what a file proves.
type Result struct {
	Steps []Step

	CI       string
	Key      identity.KeyID
	Index    uint64
	Seq      uint64
	Received time.Time // by the server's clock: the report is in the log since
	Claimed  time.Time // by the machine's clock
	Alive    time.Time // its last tick on the day asked about; zero: none is in the file
	Until    time.Time // when its next report came; zero: none is in the file
	Size     uint64    // of the log
	Envelope fact.Digest
	Facts    fact.Set // the machine's state, all sections
}

// OK tells whether everything holds.
func (r Result) OK() bool {
	return len(r.Steps) > 0 && !slices.ContainsFunc(r.Steps, func(s Step) bool { return !s.OK })
}

// Err names every step that does not hold; nil if all do.
func (r Result) Err() error {
	var errs []error
	for _, s := range r.Steps {
		if !s.OK {
			errs = append(errs, fmt.Errorf("%s: %s", s.Name, s.Text))
		}
	}
	if len(r.Steps) == 0 {
		errs = append(errs, errors.New("nothing was verified"))
	}
	return errors.Join(errs...)
}

// verifier goes through one file.
type verifier struct {
	File
	trust  Trust
	res    Result
	log    string // verifier key that is trusted
	check  evidence.Checkpoint
	leaf   evidence.Leaf // of the report
	body   *rollcallv1.Body
	keys   []opened // about the key, by index
	public ed25519.PublicKey
	server ed25519.PublicKey // the present one, that what is trusted leads to
}

// opened is a leaf that was found to be in the tree and to commit to its content.
type opened struct {
	index uint64
	leaf  evidence.Leaf
	entry evidence.Entry
}

// Verify goes through everything that must hold and names each thing that does
// not. What depends on something that failed fails too. What is used is read from
// the bytes that were verified.
func Verify(f File, trust Trust) Result {
	v := &verifier{File: f, trust: trust}
	v.res.CI = f.CI
	steps := []struct {
		name string
		do   func() (string, error)
	}{
		{"log key", v.logKey},
		{"checkpoint", v.checkpoint},
		{"report in the log", v.report},
		{"key admitted", v.admitted},
		{"machine's signature", v.signature},
		{"state", v.state},
		{"nothing left out", v.complete},
		{"time", v.time},
	}
	for i, s := range steps {
		if i > 0 && !v.res.Steps[0].OK {
			break // nothing below the log's key can be believed
		}
		v.step(s.name, s.do)
	}
	if len(f.Switches) > 0 && v.res.Steps[0].OK {
		v.step("server's keys", v.switched)
	}
	if f.Alive != nil && v.res.Steps[0].OK {
		v.step("alive that day", v.alive)
	}
	for _, w := range trust.Witnesses {
		v.step("witness "+w.Name(), func() (string, error) { return v.witness(w) })
	}
	if trust.Leaves != nil {
		v.step("all leaves", v.allLeaves)
	}
	if !v.res.OK() {
		v.res.Facts = nil // nothing was proved
	}
	return v.res
}

func (v *verifier) step(name string, do func() (string, error)) {
	text, err := do()
	if err != nil {
		text = err.Error()
	}
	v.res.Steps = append(v.res.Steps, Step{Name: name, OK: err == nil, Text: text})
}

var errBefore = errors.New("it depends on something that does not hold")

// logKey finds the log's key by what is trusted.
func (v *verifier) logKey() (string, error) {
	origin, pub, err := evidence.LogVerifierKey(v.LogKey)
	if err != nil {
		return "", err
	}
	switch {
	case v.trust.Log != "":
		if v.LogKey != v.trust.Log {
			return "", fmt.Errorf("the file is of log %s, not of the one that is trusted", origin)
		}
		v.server = v.trust.Server
	case v.trust.Server != nil:
		first, present, err := v.serverKeys()
		if err != nil {
			return "", err
		}
		body, err := identity.OpenStatement(present, identity.TypeLogKey, v.Endorsement)
		if err != nil {
			return "", fmt.Errorf("the server that is trusted does not vouch for it: %w", err)
		}
		if !bytes.Equal(body, pub) {
			return "", errors.New("the server that is trusted vouches for another")
		}
		if realm, _ := realmOf(origin); !bytes.Equal(realm, identity.RealmOf(first)) {
			return "", fmt.Errorf("the log %s is not of the server that is trusted", origin)
		}
		v.server = present
	default:
		return "", errors.New("no key is trusted: name the server's or the log's")
	}
	v.log = v.LogKey
	return "of " + origin, nil
}

// realmOf reads the realm in a log's origin.
func realmOf(origin string) ([]byte, error) {
	parts := strings.Split(origin, "/")
	if len(parts) != 3 || parts[0] != "rollcall" {
		return nil, fmt.Errorf("%q is not the origin of a log of Rollcall", origin)
	}
	return hex.DecodeString(parts[1])
}

func (v *verifier) checkpoint() (string, error) {
	if v.log == "" {
		return "", errBefore
	}
	c, _, err := evidence.OpenCheckpoint(v.Checkpoint, v.log)
	if err != nil {
		return "", err
	}
	v.check, v.res.Size = c, c.Size
	return fmt.Sprintf("%d leaves", c.Size), nil
}

// open returns a leaf if it is in the tree and commits to its content.
func (v *verifier) open(l Leaf) (evidence.Leaf, error) {
	if v.check.Size == 0 {
		return evidence.Leaf{}, errBefore
	}
	if len(l.Proof) > maxHashes {
		return evidence.Leaf{}, fmt.Errorf("leaf %d: a proof of %d hashes", l.Index, len(l.Proof))
	}
	hashes, err := evidence.ToHashes(l.Proof)
	if err == nil {
		err = v.check.CheckInclusion(l.Index, l.Leaf, hashes)
	}
	if err != nil {
		return evidence.Leaf{}, err
	}
	leaf, err := evidence.ParseLeaf(l.Leaf)
	if err != nil {
		return evidence.Leaf{}, fmt.Errorf("leaf %d: %w", l.Index, err)
	}
	if len(l.Salt) != evidence.SaltSize {
		return evidence.Leaf{}, fmt.Errorf("leaf %d (%s): its salt is missing: was its content erased?", l.Index, leaf.Kind)
	}
	if evidence.Commit(l.Salt, sha256.Sum256(l.Content)) != leaf.Commitment {
		return evidence.Leaf{}, fmt.Errorf("leaf %d (%s) commits to something else than what is in the file", l.Index, leaf.Kind)
	}
	return leaf, nil
}

func (v *verifier) report() (string, error) {
	leaf, err := v.open(v.Report)
	if err != nil {
		return "", err
	}
	if leaf.Kind != evidence.Report || leaf.CI != v.CI {
		return "", fmt.Errorf("leaf %d is about a %s of CI %q, not about a report of %q", v.Report.Index, leaf.Kind, leaf.CI, v.CI)
	}
	env, err := identity.OpenEnvelope(v.Report.Content)
	if err != nil {
		return "", err
	}
	v.leaf = leaf
	v.res.Key, v.res.Index, v.res.Seq, v.res.Envelope = env.KeyID, v.Report.Index, leaf.Seq, sha256.Sum256(v.Report.Content)
	v.res.Received = time.UnixMilli(leaf.At).UTC()
	return fmt.Sprintf("leaf %d, received %s", v.Report.Index, v.res.Received.Format(time.RFC3339)), nil
}

// admitted follows what the log tells about the key up to the report: admitted,
// ended, in the order of the leaves.
func (v *verifier) admitted() (string, error) {
	if v.leaf.Kind == "" {
		return "", errBefore
	}
	key := v.res.Key.String()
	for _, l := range v.Keys {
		leaf, err := v.open(l)
		if err != nil {
			return "", err
		}
		if leaf.Kind.Signed() {
			return "", fmt.Errorf("leaf %d is a %s, which tells nothing about a key", l.Index, leaf.Kind)
		}
		e, err := evidence.ParseEntry(l.Content)
		if err != nil {
			return "", fmt.Errorf("leaf %d: %w", l.Index, err)
		}
		if e.Kind != leaf.Kind || e.CI != leaf.CI || e.Key != key && e.Ends != key {
			return "", fmt.Errorf("leaf %d tells about something else", l.Index)
		}
		if n := len(v.keys); n > 0 && v.keys[n-1].index >= l.Index {
			return "", fmt.Errorf("leaf %d is out of order", l.Index)
		}
		v.keys = append(v.keys, opened{l.Index, leaf, e})
	}
	return v.standing(key)
}

func (v *verifier) standing(key string) (string, error) {
	var since, until *opened
	for i, k := range v.keys {
		if k.index > v.Report.Index {
			break
		}
		if k.entry.Ends == key {
			since, until = nil, &v.keys[i]
		}
		if k.entry.Admits && k.entry.Key == key {
			since = &v.keys[i]
		}
	}
	switch {
	case since == nil && until != nil:
		return "", fmt.Errorf("key %s was ended before the report, by leaf %d (%s, %s)", key, until.index, until.entry.Kind, until.entry.By)
	case since == nil:
		return "", fmt.Errorf("no leaf before the report admits key %s", key)
	case since.entry.CI != v.CI:
		return "", fmt.Errorf("leaf %d admits key %s to CI %s, not to %s", since.index, key, since.entry.CI, v.CI)
	case identity.IDOf(since.entry.Subject).String() != key || len(since.entry.Subject) != ed25519.PublicKeySize:
		return "", fmt.Errorf("leaf %d admits another key than %s", since.index, key)
	}
	v.public = since.entry.Subject
	trust := since.entry.Detail["trust"] // T0: what boots from the network, a claim
	if trust != "" {
		trust = ", trust class " + trust
	}
	return fmt.Sprintf("leaf %d (%s by %s)%s, not ended before the report", since.index, since.entry.Kind, since.entry.By, trust), nil
}

// signature verifies the envelope and reads its body, the very bytes that were
// verified.
func (v *verifier) signature() (string, error) {
	if v.public == nil {
		return "", errBefore
	}
	body, err := v.envelope(v.Report)
	if err != nil {
		return "", err
	}
	if body.GetSeq() != v.leaf.Seq {
		return "", fmt.Errorf("the machine signed report %d, the leaf is of %d", body.GetSeq(), v.leaf.Seq)
	}
	v.body, v.res.Claimed = body, time.UnixMilli(body.GetTimeClaimedMs()).UTC()
	return fmt.Sprintf("by key %s, its report %d", v.res.Key, body.GetSeq()), nil
}

func (v *verifier) envelope(l Leaf) (*rollcallv1.Body, error) {
	env, err := identity.OpenEnvelope(l.Content)
	if err == nil {
		err = env.Verify(v.public)
	}
	if err != nil {
		return nil, err
	}
	body := &rollcallv1.Body{}
	if err := proto.Unmarshal(env.Body, body); err != nil {
		return nil, fmt.Errorf("read what the machine signed: %w", err)
	}
	if realm, err := realmOf(v.check.Origin); err != nil || !bytes.Equal(realm, body.GetRealm()) {
		return nil, errors.Join(errors.New("the machine signed it for another server"), err)
	}
	return body, nil
}

// state checks that the facts are those that the machine signed for.
func (v *verifier) state() (string, error) {
	if v.body == nil {
		return "", errBefore
	}
	state := fact.State{}
	var facts fact.Set
	for _, b := range v.Sets {
		set, err := fact.DecodeSet(b)
		if err != nil {
			return "", err
		}
		if len(set) == 0 {
			return "", errors.New("an empty section")
		}
		section := set[0].Section()
		if err := set.Check(section); err != nil {
			return "", fmt.Errorf("section %.40q: %w", section, err)
		}
		if _, twice := state[section]; twice {
			return "", fmt.Errorf("section %s is there twice", section)
		}
		state[section] = sha256.Sum256(b)
		facts = append(facts, set...)
	}
	if d := state.Digest(); !bytes.Equal(d[:], v.body.GetState()) {
		return "", errors.New("the facts in the file are not those that the machine signed for")
	}
	v.res.Facts = facts
	return fmt.Sprintf("%d facts in %d sections", len(facts), len(state)), nil
}

// complete checks that no leaf about the key was left out. Proofs of what is in a
// log cannot show what is not: that takes the server's signed word, which can be
// held against it, or all leaves.
func (v *verifier) complete() (string, error) {
	if v.leaf.Kind == "" || v.public == nil {
		return "", errBefore
	}
	if v.server == nil {
		if v.trust.Leaves != nil {
			return "not by the server's word, but by all leaves, see below", nil
		}
		return "", errors.New("that the key was not ended before takes the server's key or all leaves: name one")
	}
	s, err := openStatement(v.server, v.Statement)
	if err != nil {
		return "", err
	}
	if s.Origin != v.check.Origin || s.Size != v.check.Size || s.Key != v.res.Key.String() || s.CI != v.CI {
		return "", errors.New("the server's statement is about another key, or another state of the log")
	}
	for _, n := range s.Leaves {
		if !slices.ContainsFunc(v.keys, func(k opened) bool { return k.index == n }) {
			return "", fmt.Errorf("leaf %d is about the key and is not in the file", n)
		}
	}
	return fmt.Sprintf("the server has signed how many of %d leaves are about the key: %d", s.Size, len(s.Leaves)), nil
}

// time checks that the report was the newest at the time asked about, as far as
// the machine's later reports tell.
func (v *verifier) time() (string, error) {
	if v.body == nil {
		return "", errBefore
	}
	at := time.UnixMilli(v.At).UTC()
	if v.leaf.At > v.At {
		return "", fmt.Errorf("the report came at %s, after %s", v.res.Received.Format(time.RFC3339), at.Format(time.RFC3339))
	}
	prev, index := sha256.Sum256(v.Report.Content), v.Report.Index
	for i, l := range v.Later {
		leaf, err := v.open(l)
		if err != nil {
			return "", err
		}
		body, err := v.envelope(l)
		if err != nil {
			return "", fmt.Errorf("leaf %d: %w", l.Index, err)
		}
		last := i == len(v.Later)-1
		switch {
		case leaf.Kind != evidence.Report || leaf.CI != v.CI || l.Index <= index || body.GetSeq() != leaf.Seq || !bytes.Equal(body.GetPrev(), prev[:]):
			return "", fmt.Errorf("leaf %d is not the report that follows", l.Index)
		case leaf.At <= v.At && !bytes.Equal(body.GetState(), v.body.GetState()):
			return "", fmt.Errorf("leaf %d, received %s, leads to another state", l.Index, time.UnixMilli(leaf.At).UTC().Format(time.RFC3339))
		case leaf.At > v.At && !last:
			return "", fmt.Errorf("leaf %d: more reports than are needed", l.Index)
		case leaf.At > v.At:
			v.res.Until = time.UnixMilli(leaf.At).UTC()
		}
		prev, index = sha256.Sum256(l.Content), l.Index
	}
	if v.res.Until.IsZero() {
		return fmt.Sprintf("received before %s; that no other report came until then is the server's word", at.Format(time.RFC3339)), nil
	}
	return fmt.Sprintf("the machine's next change came at %s: it signed that nothing was between", v.res.Until.Format(time.RFC3339)), nil
}

// witness checks that a witness has seen the log with the report in it.
func (v *verifier) witness(w evidence.Witness) (string, error) {
	if v.leaf.Kind == "" {
		return "", errBefore
	}
	err := errors.New("it has not cosigned the log with this report in it")
	for _, s := range v.Witnessed {
		c, cosigned, openErr := evidence.OpenCheckpoint(s.Note, v.log, w)
		if openErr != nil {
			err = openErr
			continue
		}
		if len(cosigned) == 0 || c.Size <= v.Report.Index {
			continue
		}
		hashes, proofErr := evidence.ToHashes(s.Proof)
		if proofErr == nil {
			proofErr = v.check.CheckGrowth(c, hashes)
		}
		if proofErr != nil {
			err = proofErr
			continue
		}
		return fmt.Sprintf("saw %d leaves at %s, by its own clock", c.Size, cosigned[0].At.Format(time.RFC3339)), nil
	}
	return "", err
}
