package agent

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"rollcall/internal/identity"
	"rollcall/internal/policy"
)

// Where bundles come from.
const (
	fromServer = "server"
	fromFile   = "file"
)

// Why a bundle that is signed as it should be is not accepted.
var (
	errRealm    = errors.New("it is for the machines of another server")
	errRollback = errors.New("it is older than one that this machine has had")
	errTwice    = errors.New("it has the version of another one that this machine has had")
	errKeep     = errors.New("it could not be kept")
)

// bundles is what a machine knows of policy bundles. The newest one that it accepted
// lies in the state folder, whole: its version is what a later one has to exceed,
// also after a crash, and its beginning is a time that is certainly over, whatever
// the clock says.
type bundles struct {
	keys    []string // pins of the policy keys; none: bundles are not looked at
	realm   []byte   // of the server; nil: not known, as for a dry run
	file    string   // that keeps the newest one; empty: nothing is kept
	raw     []byte   // the newest one; nil: none
	held    policy.Policy
	from    string
	refused map[string]string // by source, see Bundle
	step    func(string)      // tests end there
}

func (b *bundles) wanted() bool { return len(b.keys) > 0 }

// load reads what was kept. One that is no good any more, because another policy key
// is configured, counts for nothing.
func (b *bundles) load() error {
	if b.file == "" || !b.wanted() {
		return nil
	}
	raw, err := readBundle(b.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := b.open(raw)
	if err != nil {
		return fmt.Errorf("the policy that was kept in %s: %w", b.file, err)
	}
	b.raw, b.held, b.from = raw, p, fromServer
	return nil
}

// readBundle reads a file that may hold a bundle.
func readBundle(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // whatever somebody made there
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, policy.MaxBundle+1))
	if err != nil {
		return nil, fmt.Errorf("read policy %s: %w", name, err)
	}
	return b, nil
}

// open reads a bundle for this machine.
func (b *bundles) open(raw []byte) (policy.Policy, error) {
	p, err := policy.Open(raw, b.keys)
	if err == nil && b.realm != nil && p.Realm != hex.EncodeToString(b.realm) {
		err = fmt.Errorf("policy %d: %w: %s", p.Version, errRealm, p.Realm)
	}
	return p, err
}

// offer takes a bundle if it is newer than the one there is and counts now, and keeps
// it before it counts. The error says why it does not.
func (b *bundles) offer(raw []byte, from string, now time.Time) error {
	p, err := b.open(raw)
	if err == nil && b.raw != nil && bytes.Equal(raw, b.raw) {
		b.from = from
		b.nothingFrom(from)
		return nil
	}
	if err == nil {
		err = b.follows(p, now)
	}
	if err == nil {
		err = b.keep(raw)
	}
	if err != nil {
		b.refuse(from, refusal(p.Version, err))
		return err
	}
	b.raw, b.held, b.from = raw, p, from
	b.nothingFrom(from)
	return nil
}

// follows tells whether a bundle may take the place of the one there is.
func (b *bundles) follows(p policy.Policy, now time.Time) error {
	switch {
	case b.raw != nil && p.Version < b.held.Version:
		return fmt.Errorf("policy %d: %w: %d", p.Version, errRollback, b.held.Version)
	case b.raw != nil && p.Version == b.held.Version:
		return fmt.Errorf("policy %d: %w", p.Version, errTwice)
	}
	return p.Judge(b.at(now))
}

// at is the time to judge by: a clock that went back behind the beginning of a bundle
// that was accepted is wrong, and undoes nothing.
func (b *bundles) at(now time.Time) time.Time {
	if from, _ := b.held.Window(); b.raw != nil && now.Before(from) {
		return from
	}
	return now
}

func (b *bundles) keep(raw []byte) error {
	if b.file == "" {
		return nil
	}
	b.reached("before")
	if err := identity.WriteFile(b.file, raw); err != nil {
		return fmt.Errorf("%w: %w", errKeep, err)
	}
	b.reached("after")
	return nil
}

func (b *bundles) reached(step string) {
	if b.step != nil {
		b.step(step)
	}
}

// readFile offers what a file holds; one that is not there says nothing.
func (b *bundles) readFile(name string, now time.Time) error {
	if !b.wanted() {
		return nil
	}
	raw, err := readBundle(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		b.nothingFrom(fromFile)
		return nil
	case err != nil:
		b.refuse(fromFile, refusal(0, err))
		return err
	}
	return b.offer(raw, fromFile, now)
}

func (b *bundles) refuse(from, why string) {
	if b.refused == nil {
		b.refused = map[string]string{}
	}
	b.refused[from] = why
}

// nothingFrom forgets what was refused.
func (b *bundles) nothingFrom(from string) { delete(b.refused, from) }

// narrow gives what counts at that time: the configuration, narrowed by the bundle
// if that counts, and how things stand with that.
func (b *bundles) narrow(p Policy, now time.Time) Policy {
	if !b.wanted() {
		return p
	}
	st := &Bundle{State: BundleNone, Realm: hex.EncodeToString(b.realm), Refused: maps.Clone(b.refused)}
	if b.raw != nil {
		st.Version, st.Source, st.NextPin, st.State = b.held.Version, b.from, b.held.NextPin, BundleExpired
		st.From, st.Until = b.held.Window()
		if b.inForce(now) {
			st.State = BundleInForce
			p = p.narrowed(b.held)
		}
	}
	p.Bundle = st
	return p
}

func (b *bundles) inForce(now time.Time) bool {
	return b.raw != nil && b.held.Judge(b.at(now)) == nil
}

// nextPin is what a bundle that counts announces.
func (b *bundles) nextPin(now time.Time) string {
	if !b.inForce(now) {
		return ""
	}
	return b.held.NextPin
}

// bundlesOf prepares what a machine needs to look at bundles.
func bundlesOf(c Config, e Enrolment, keeps bool) bundles {
	b := bundles{keys: slices.Clone(c.PolicyKeys), realm: append([]byte{}, e.Realm...)}
	if len(b.keys) == 0 {
		b.keys = e.PolicyKeys
	}
	if keeps {
		b.file = filepath.Join(c.State, policyFile)
	}
	return b
}
