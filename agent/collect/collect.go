// Package collect reads what a machine is made of and runs: one file for each
// source, each a Collector that turns files below a root into facts.
//
// It promises to read only: no child process, no name look-up, nothing opened
// below a mount that is not local, every read bounded in size and every
// collector bounded in time. A collector that fails, hangs or may not read
// something keeps what it got and never spoils the others; its Status says so.
// Under a root that is not the running machine (Host.Live is false) no value of
// the running machine gets into the facts.
//
// Which values are history and which only measurements is decided in one table
// (class.go). What becomes of facts (deltas, signing, sending) and the files
// below /etc are left to others.
//
// Units: sizes are bytes, capacities of batteries micro-watt-hours or
// micro-ampere-hours as the kernel gives them, link speeds Mbit/s.
package collect

import (
	"context"
	"io/fs"
	"strings"
	"time"

	"rollcall/internal/fact"
)

// Host is the machine to look at.
type Host struct {
	// FS holds the machine's files. Names are relative to the root and links
	// are followed as after chroot(2), see OpenRoot.
	FS fs.FS
	// Live tells that FS is the root of the running machine: only then may a
	// collector ask the kernel (netlink, uname, statfs) or D-Bus.
	Live bool
	// Verify asks for the files of packages to be compared with their digests, which
	// reads all of them once a week.
	Verify bool
	// Clients asks for the machines to be told of that this one sees as their boot or
	// DHCP server.
	Clients bool
	// Now gives the present time; collectors use no other clock.
	Now func() time.Time
	// Cache spares reading again what is unchanged, and remembers how far log
	// files were read. If it is nil, Run uses one for itself: then nothing is
	// kept from run to run and events from logs are not told.
	Cache *Cache
}

// Collector makes the facts of one source.
type Collector struct {
	// Name is unique among the collectors, for example "dpkg".
	Name string
	// Owns lists the path prefixes ("pkg/") of the facts that this collector
	// alone makes. A fact outside of them is not taken.
	Owns []string
	// Timeout is how long the collector may take; 0 means DefaultTimeout.
	Timeout time.Duration
	// Collect puts what it finds into the sink. It returns nil when it could
	// look everywhere it had to, an error that is fs.ErrNotExist when this
	// machine has no such thing, fs.ErrPermission when it may not look, and
	// any other error for what it could not make sense of. Facts put before
	// the error are kept. It returns soon after ctx has ended, if it can.
	Collect func(ctx context.Context, h Host, s *Sink) error
}

// DefaultTimeout is the time that a collector without its own may take.
const DefaultTimeout = 5 * time.Second

// owns tells whether the path lies below one of the collector's prefixes.
func (c Collector) owns(path string) bool {
	for _, prefix := range c.Owns {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// State is how a collector's run ended.
type State string

// The states of a collector's run. All but OK, NotHere and Off mean that the facts
// below the collector's prefixes may be incomplete: what was known about them
// before still stands.
const (
	OK           State = "ok"
	NotHere      State = "not here"      // this machine has no such thing
	NoPermission State = "no permission" // something could not be read for lack of rights
	TimedOut     State = "timed out"
	Failed       State = "failed"
	Off          State = "off" // it did not run: the policy leaves it out
)

// Complete tells whether a missing fact means that the thing is gone.
func (s State) Complete() bool { return s == OK || s == NotHere || s == Off }

// Status is what became of one collector.
type Status struct {
	Name   string
	Owns   []string
	State  State
	Detail string // for people; empty when the state says it all
	Took   time.Duration
}

// Event is something that happened on the machine, as its own logs tell it.
type Event struct {
	At   time.Time
	Kind string // "dpkg", "apt", "boot"
	Text string // inert text, see fact.Value
}

// Result is what a run found.
type Result struct {
	Facts        fact.Set // all sections, sorted by path
	Measurements fact.Set // section "m": latest values, never history
	Events       []Event  // in the order of their time
	Status       []Status // in the order of the collectors
	Memory       Memory   // to be passed to the next run
}

// Path joins the components of a fact's path. Components are outside strings
// and may hold anything: each is made inert, so that "/" stays inside its
// component (see fact.Name).
func Path(component ...string) string {
	var b strings.Builder
	for i, c := range component {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(fact.Name(c))
	}
	return b.String()
}
