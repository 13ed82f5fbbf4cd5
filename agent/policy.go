package agent

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"rollcall/agent/collect"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/internal/policy"
)

// Policy is what the agent collects and how often, within what its program can
// collect at all: what the configuration says and, where a signed bundle counts,
// the narrower of the two in everything.
type Policy struct {
	Interval time.Duration `json:"interval_ns"` // between two looks, give or take a tenth
	WatchEtc bool          `json:"watch_etc"`   // looks soon after changes as well
	Debsums  bool          `json:"debsums"`
	Skip     []string      `json:"skip,omitempty"`    // collectors that do not run
	Exclude  []string      `json:"exclude,omitempty"` // below /etc, beside the built-in list
	Bundle   *Bundle       `json:"bundle,omitempty"`  // nil: no policy key is configured
}

// Bundle is what a machine with a policy key knows of signed bundles.
type Bundle struct {
	Version int64             `json:"version,omitempty"` // the newest that it accepted; 0: none yet
	From    time.Time         `json:"from,omitzero"`
	Until   time.Time         `json:"until,omitzero"`
	Source  string            `json:"source,omitempty"`   // "server", or the file
	State   string            `json:"state"`              // whether it counts, see the constants
	NextPin string            `json:"next_pin,omitempty"` // that it announces
	Realm   string            `json:"realm,omitempty"`    // of the server; a bundle has to name it
	Refused map[string]string `json:"refused,omitempty"`  // by source: what came last and was not accepted, and why
}

// States of a bundle.
const (
	BundleNone    = "none"
	BundleInForce = "in force"
	BundleExpired = "expired"
)

// Policy is what the configuration says.
func (c Config) Policy() Policy {
	return Policy{Interval: c.Interval, WatchEtc: c.WatchEtc, Debsums: c.Debsums, Skip: c.Skip, Exclude: c.Exclude}
}

// narrowed takes away what a bundle takes away. Nothing in here adds.
func (p Policy) narrowed(by policy.Policy) Policy {
	p.Interval = max(p.Interval, by.Interval)
	p.WatchEtc, p.Debsums = p.WatchEtc && by.WatchEtc, p.Debsums && by.Debsums
	p.Skip, p.Exclude = union(p.Skip, by.Skip), union(p.Exclude, by.Exclude)
	return p
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// policy is what counts now.
func (a *Agent) policy() Policy { return a.bundles.narrow(a.cfg.Policy(), a.now()) }

// permitted are the collectors that may run, and the status of the others: what a
// policy leaves out is not collected, and what was known of it goes.
func permitted(all []collect.Collector, skip []string) (run []collect.Collector, off []collect.Status) {
	for _, c := range all {
		if slices.Contains(skip, c.Name) {
			off = append(off, collect.Status{Name: c.Name, Owns: c.Owns, State: collect.Off})
		} else {
			run = append(run, c)
		}
	}
	return run, off
}

// facts tell which bundle a machine has, and whether it counts.
func (b *Bundle) facts() []fact.Fact {
	if b == nil {
		return nil
	}
	out := []fact.Fact{{Path: "agent/policy/state", Value: b.State}}
	if b.Version > 0 {
		out = append(out, fact.Fact{Path: "agent/policy/version", Value: strconv.FormatInt(b.Version, 10)})
	}
	for source, why := range b.Refused {
		out = append(out, fact.Fact{Path: "agent/policy/refused/" + source, Value: fact.Value(why)})
	}
	return out
}

// hearPolicy takes what the server passed on from whoever holds the policy key. It
// is opaque to the server, and what is wrong with it concerns nobody but the
// machine: the report was taken.
func (a *Agent) hearPolicy(bundle []byte) {
	if !a.bundles.wanted() || a.seat != nil {
		return
	}
	if len(bundle) == 0 {
		a.bundles.nothingFrom(fromServer)
		return
	}
	before := a.bundles.held.Version
	err := a.bundles.offer(bundle, fromServer, a.now())
	switch {
	case err != nil:
		a.log.Warn("the server passed on a policy that is not accepted", "err", err)
	case a.bundles.held.Version != before:
		a.log.Info("a new policy counts", "version", a.bundles.held.Version, "from", fromServer)
		a.client.Pins = a.pins()
	}
}

// readPolicy looks at the file of the policy, which whoever manages the machine may
// have replaced, before each look.
func (a *Agent) readPolicy() {
	if err := a.bundles.readFile(a.cfg.PolicyFile, a.now()); err != nil {
		a.log.Warn("the policy in the file is not accepted", "file", a.cfg.PolicyFile, "err", err)
	}
	a.client.Pins = a.pins() // of a bundle that counts now, or no more
}

// refusal says in words that do not change from look to look why a bundle was not
// accepted.
func refusal(version int64, err error) string {
	why := "it is not readable"
	for _, class := range []error{
		policy.ErrBundle, policy.ErrKey, identity.ErrSignature, policy.ErrEarly, policy.ErrExpired, errRealm, errRollback, errTwice, errKeep,
	} {
		if errors.Is(err, class) {
			why = class.Error()
			break
		}
	}
	if version == 0 {
		return why
	}
	return "version " + strconv.FormatInt(version, 10) + ": " + why
}
