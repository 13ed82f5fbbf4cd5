// Package agent is the program on every machine: it looks, compares with what
// the server has, seals, signs, spools and sends.
//
// It promises that it reads only (its own state folder apart), runs no program
// and listens on nothing; that a report is durable before it is sent and stays
// until a signed receipt for it has come; that what one collector misses is not
// reported as gone; and that a machine on which nothing changes costs one small
// message an hour. The server can ask nothing of it but to send everything, to
// send again what it had acknowledged, to send contents that a report named, and
// to wait. A policy that it passes on is the word of somebody else, and takes away.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"rollcall/agent/collect"
	"rollcall/agent/etc"
	"rollcall/agent/spool"
	"rollcall/agent/uplink"
	"rollcall/internal/fact"
	"rollcall/internal/fence"
	"rollcall/internal/identity"
)

// Deps are what an agent needs from outside. The zero value is useful.
type Deps struct {
	Log        *slog.Logger        // nil: nothing is logged
	Now        func() time.Time    // nil: time.Now
	Rand       func(n int64) int64 // nil: math/rand/v2
	Version    string
	Collectors []collect.Collector // nil: collect.All
	Dial       *uplink.Client      // template of the connection; nil: the network
	// Connect begins an exchange with the server; nil: over the connection.
	Connect func(context.Context) (Session, error)
	Sniff   func(piece []byte) (secret, comment bool) // see etc.Scanner; nil: each machine for itself
	Rest    func()                                    // is called after each look of Run; may be nil
	Seat    *Seat                                     // a machine without a disk, which keeps nothing; nil: it has a state folder
	DryRun  bool                                      // look and compare; write and send nothing
	Fence   *fence.State                              // of this process, which Open then shuts into the state folder; nil: it is left open
	Beside  string                                    // another folder that it may write to; empty: none
}

// Agent is one machine's agent. Its methods are for one goroutine.
type Agent struct {
	cfg        Config
	log        *slog.Logger
	now        func() time.Time
	rand       func(n int64) int64
	version    string
	dry        bool
	fence      *fence.State
	collectors []collect.Collector

	root      *collect.Root
	runner    collect.Runner
	cache     collect.Cache
	scanner   *etc.Scanner
	sealed    *sealed
	spool     *spool.Spool
	enrolment Enrolment
	bundles   bundles
	key       identity.Key
	client    uplink.Client
	connect   func(context.Context) (Session, error)
	rest      func()
	sniff     func(piece []byte) (secret, comment bool)
	backoff   uplink.Backoff
	quiet     time.Duration
	notBefore time.Time // no attempt to reach the server earlier

	seat *Seat        // nil: it has a state folder
	step func(string) // of a rotation; tests end there
	born bool         // the key is this machine's own

	memory      memory
	memorySaved []byte
	noRoom      *NoRoom // since when the state folder takes nothing more; nil: it does
}

// Open prepares an agent. The error wraps ErrNotEnrolled if no server is known,
// which a dry run does not need, and spool.ErrBusy if another agent uses the
// state folder.
func Open(c Config, d Deps) (*Agent, error) {
	a := &Agent{cfg: c, log: d.Log, now: d.Now, rand: d.Rand, version: d.Version, dry: d.DryRun, fence: d.Fence, collectors: d.Collectors}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.rand == nil {
		a.rand = rand.Int64N
	}
	if a.collectors == nil {
		a.collectors = collect.All()
	}
	if a.connect = d.Connect; a.connect == nil {
		a.connect = a.dial
	}
	if a.rest = d.Rest; a.rest == nil {
		a.rest = func() {}
	}
	a.sniff = d.Sniff
	a.backoff.Rand, a.quiet = a.rand, defaultQuiet
	if err := a.open(d); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *Agent) open(d Deps) (err error) {
	if a.root, err = collect.OpenRoot(a.cfg.Root); err != nil {
		return err
	}
	if a.dry {
		a.bundles = bundlesOf(a.cfg, Enrolment{}, false)
		a.bundles.realm = nil
		a.enclose()
		a.spool = spool.InMemory(spool.Options{})
		a.sealed = &sealed{memory: map[fact.Digest][]byte{}}
		return a.newScanner()
	}
	if d.Seat != nil {
		return a.openSeat(d)
	}
	if a.enrolment, err = loadEnrolment(a.cfg.State); err != nil {
		return err
	}
	if err := makeState(a.cfg.State); err != nil {
		return err
	}
	if d.Beside != "" {
		a.enclose(a.cfg.State, d.Beside)
	} else {
		a.enclose(a.cfg.State)
	}
	if a.key, err = identity.LoadKey(filepath.Join(a.cfg.State, keyFile)); err != nil {
		return err
	}
	a.bundles = bundlesOf(a.cfg, a.enrolment, true)
	if err := a.bundles.load(); err != nil {
		a.log.Warn("it counts no more", "err", err)
	}
	if d.Dial != nil {
		a.client = *d.Dial
	}
	a.client.Addresses, a.client.Pins, a.client.Key = a.enrolment.Addresses, a.pins(), a.key
	if a.client.Domains == nil {
		a.client.Domains = domains
	}
	if a.client.Timeout == 0 {
		a.client.Timeout = 15 * time.Minute // a first report may carry many contents
	}
	opt := spool.Options{MaxBytes: int64(a.cfg.SpoolSize)}
	if a.cfg.InMemory {
		a.spool = spool.InMemory(opt)
	} else if a.spool, err = spool.Open(filepath.Join(a.cfg.State, spoolDir), opt); err != nil {
		return err
	}
	if a.sealed, err = openSealed(a.cfg); err != nil {
		return err
	}
	a.loadMemory()
	a.bundles.refused = a.memory.Refused
	a.prepareRoom()
	return a.newScanner()
}

// enclose lets the process write to nothing but folders from here on, before it
// reads anything that it does not trust. Where that is not possible the summary
// says so: an inventory is worth more than none.
func (a *Agent) enclose(writable ...string) {
	if a.fence == nil {
		return
	}
	a.fence.Enclose(writable...)
	for _, why := range a.fence.Missing {
		a.log.Warn("the process is less protected than it could be", "why", why)
	}
}

// Close frees the state folder.
func (a *Agent) Close() error {
	var errs []error
	if a.spool != nil {
		errs = append(errs, a.spool.Close())
	}
	if a.root != nil {
		errs = append(errs, a.root.Close())
	}
	return errors.Join(errs...)
}

// Tune sets the process up to be a light guest: one thread of Go code at a time
// and a soft memory limit. It is for programs that do nothing else.
// Such a program gives memory back after each look: Deps.Rest is
// debug.FreeOSMemory there.
func Tune(c Config) {
	runtime.GOMAXPROCS(1)
	debug.SetMemoryLimit(int64(c.Memory))
	debug.SetGCPercent(50)
}

// Outcome sums up what became of one look.
type Outcome string

// The outcomes of a look.
const (
	Recorded  Outcome = "recorded"  // the server has it and all before it
	Unchanged Outcome = "unchanged" // nothing to report; the server was told so if it could be reached
	Spooled   Outcome = "spooled"   // it waits for the server
	DryRun    Outcome = "dry run"
)

// Summary is what one look found and what became of it.
type Summary struct {
	At         time.Time        `json:"at"`
	Reason     string           `json:"reason"`
	Outcome    Outcome          `json:"outcome"`
	Problem    string           `json:"problem,omitempty"` // why it waits
	Collectors []Collected      `json:"collectors"`
	Facts      map[string]int   `json:"facts"`   // by section
	Changed    map[string]Delta `json:"changed"` // by section
	Full       bool             `json:"full"`
	Withheld   int              `json:"withheld"` // secrets without recipients
	Recipients int              `json:"recipients"`
	Envelope   int              `json:"envelope_bytes"`
	Payload    int              `json:"payload_bytes"`
	Contents   int              `json:"contents"` // kept for upload
	Took       time.Duration    `json:"took_ns"`
	Fence      *fence.State     `json:"fence,omitempty"` // what kept the process in

	retry time.Duration // what the server asked for
	early bool          // the server was not asked, because it was not time

	refused bool // the server does not know the key
}

// Collected is how one collector did.
type Collected struct {
	Name   string        `json:"name"`
	State  collect.State `json:"state"`
	Detail string        `json:"detail,omitempty"`
	Facts  int           `json:"facts"`
	Took   time.Duration `json:"took_ns"`
}

// Delta counts what changed in a section.
type Delta struct {
	Put  int `json:"put"`
	Drop int `json:"drop"`
}

// Once looks at the machine, spools a report if anything changed, and sends what
// waits. A server that cannot be reached is no error: the summary says that the
// report waits and why. The error is for what kept the report from being made
// or made durable.
func (a *Agent) Once(ctx context.Context, reason string) (Summary, error) {
	sum, err := a.look(ctx, reason)
	a.noteRoom(err)
	return sum, err
}

func (a *Agent) look(ctx context.Context, reason string) (Summary, error) {
	start := a.now()
	var sum Summary
	var g gathered
	if err := a.begin(ctx); err != nil {
		return Summary{}, err
	}
	again := true
	a.readPolicy()
	for round := 0; again && round < maxRounds; round++ {
		g = a.gather(ctx) // again too: what the server lacked may have changed
		if err := ctx.Err(); err != nil {
			return Summary{}, fmt.Errorf("look: %w", err)
		}
		var err error
		if again, err = a.round(ctx, g, reason, &sum); err != nil {
			return sum, err
		}
		if sum.refused && round == 0 && a.tellAgain(ctx) {
			if again = a.spool.Status().Waiting == 0; again {
				continue // it was a tick
			}
			if again, err = a.deliver(ctx, &sum); err != nil {
				return sum, err
			}
		}
	}
	if again {
		sum.Outcome, sum.Problem = Spooled, "the server keeps asking for a full report; the next look sends one"
	}
	sum.At, sum.Reason, sum.Took, sum.Fence = start, reason, a.now().Sub(start), a.fence
	sum.describe(g, a)
	for _, p := range a.spool.Problems() {
		a.log.Error("damaged file in the spool", "err", p)
	}
	if a.dry {
		return sum, nil
	}
	return sum, errors.Join(a.saveMemory(), saveJSON(filepath.Join(a.cfg.State, lastFile), sum))
}

// begin is what goes before the key is used: ErrElsewhere if it is not this
// machine's own.
func (a *Agent) begin(ctx context.Context) error {
	if a.dry {
		return nil
	}
	if !a.born {
		if err := checkBirth(ctx, a.cfg); err != nil {
			return err
		}
		a.born = true
	}
	return a.finishRotation(ctx)
}

// maxRounds is how often a look is sent again because the server wants it full.
const maxRounds = 3

// round makes one report from what was gathered and sends it; again tells that
// the server needs a full one.
func (a *Agent) round(ctx context.Context, g gathered, reason string, sum *Summary) (again bool, err error) {
	base, changes, err := a.compare(&g)
	if err != nil {
		return false, a.despite(ctx, err, sum)
	}
	sum.Full, sum.Changed = base.Full, map[string]Delta{}
	for _, d := range changes {
		sum.Changed[sectionOf(d)] = Delta{len(d.Put), len(d.Drop)}
	}
	if a.dry {
		sum.Outcome = DryRun
		return false, a.drySize(base, g, changes, reason, sum)
	}
	env, size, err := a.envelope(base, g, changes, reason)
	if err != nil {
		return false, err
	}
	sum.Envelope, sum.Payload = len(env), size
	if size == 0 {
		full := a.remember(g, false)
		if full != nil && !isFull(full) {
			return false, full
		}
		again, err = a.tick(ctx, env, sum) // needs no room
		return again, errors.Join(err, full)
	}
	if !base.Full {
		sum.Contents, err = a.keepContents(base, changes)
	}
	if err == nil {
		err = a.spool.Append(env)
	}
	if err != nil {
		return false, a.despite(ctx, err, sum)
	}
	if err := a.remember(g, true); err != nil {
		return false, err
	}
	if again, err = a.deliver(ctx, sum); err != nil || again || !base.Full || a.spool.Status().Waiting == 0 {
		return again, err
	}
	// A full report names every file. Writing them all to the disk only to
	// remove them a second later would cost more than the whole look, so they
	// are read again while they are sent, and kept only if the server is away.
	// Should one change in between, a full report with the new content follows.
	if sum.Contents, err = a.keepContents(base, changes); err != nil {
		return false, err
	}
	return false, a.spool.Flush()
}

// despite delivers what waits although this look found no room: that also makes some.
func (a *Agent) despite(ctx context.Context, err error, sum *Summary) error {
	if !isFull(err) || a.spool.Status().Waiting == 0 {
		return err
	}
	_, more := a.deliver(ctx, sum)
	return errors.Join(err, more)
}

// drySize tells how large the report would be; nothing is signed.
func (a *Agent) drySize(b spool.Base, g gathered, changes []fact.Delta, reason string, sum *Summary) error {
	payload, err := a.payload(b, g, changes, reason)
	sum.Payload = len(payload)
	return err
}

func sectionOf(d fact.Delta) string {
	if len(d.Put) > 0 {
		return d.Put[0].Section()
	}
	return fact.SectionOf(d.Drop[0])
}

// keepContents puts the contents that the report names into the spool, before
// the report: a file may have changed by the time the server asks for it.
func (a *Agent) keepContents(b spool.Base, changes []fact.Delta) (kept int, err error) {
	var contents map[fact.Digest]etc.Content
	for _, d := range changes {
		if sectionOf(d) != "etc" {
			continue
		}
		for _, f := range d.Put {
			file, err := fact.ParseFile(f.Value)
			if err != nil || !file.HasContent() {
				continue
			}
			if old, ok := b.Sets["etc"].Get(f.Path); ok && !b.Full {
				if was, err := fact.ParseFile(old); err == nil && was.Digest == file.Digest {
					continue // only its mode or owner changed
				}
			}
			if contents == nil {
				contents = a.contents()
			}
			c, ok := contents[file.Digest]
			if !ok {
				continue // carried forward
			}
			content, err := a.read(c)
			if err == nil {
				err = a.spool.Put(c.Digest, content)
			}
			switch {
			case errors.Is(err, spool.ErrFull), errors.Is(err, etc.ErrChanged), errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
				// It is read again when the server asks; if it has changed by then,
				// a full report follows.
				a.log.Warn("content is not kept", "file", fact.Escape(c.Path), "err", err)
				continue
			case err != nil:
				return kept, err
			}
			kept++
		}
	}
	return kept, nil
}

// contents lists what the last scan's facts name.
func (a *Agent) contents() map[fact.Digest]etc.Content {
	out := map[fact.Digest]etc.Content{}
	for _, c := range a.scanner.Cache.Contents() {
		out[c.Digest] = c
	}
	return out
}

func (a *Agent) read(c etc.Content) ([]byte, error) {
	if c.Sealed {
		return a.sealed.get(c.Digest)
	}
	return a.scanner.Read(c)
}

func (s *Summary) describe(g gathered, a *Agent) {
	s.Facts = map[string]int{}
	for section, set := range g.sets {
		s.Facts[section] = len(set)
	}
	s.Withheld, s.Recipients = g.withheld, a.scanner.Recipients.Len()
	for _, st := range g.status {
		c := Collected{Name: st.Name, State: st.State, Detail: st.Detail, Took: st.Took}
		for _, prefix := range st.Owns {
			c.Facts += len(g.sets[fact.SectionOf(prefix)].Below(prefix))
		}
		s.Collectors = append(s.Collectors, c)
	}
}
