package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/agent/uplink"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/internal/sim"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// driver lets the machines of a fleet speak to a server.
type driver struct {
	fleet   *sim.Fleet
	agents  *sim.Agents
	office  *office
	own     *process // nil: another server
	show    *progress
	clients int
	// How long the mirror is waited for at a time.
	patience time.Duration

	address string
	pins    []string
	schools map[string]int // numbers, for addresses
	seats   []seat
	phases  []*phase
	last    usage // before the server was started anew
}

// seat is what a machine's agent remembers about the way to the server.
type seat struct {
	pass    [identity.PassSize]byte
	passed  bool
	absent  bool // it is not enrolled: it waits for an operator, or for its seat
	settled bool // it was enrolled
	ci      string
}

func newDriver(ctx context.Context, fleet *sim.Fleet, logins [2]identity.Token, p plan, own *process, show *progress) (*driver, error) {
	login := logins[0]
	d := &driver{
		fleet: fleet, own: own, show: show, clients: p.clients, patience: p.patience, address: login.URLs[0], pins: login.Pins,
		schools: map[string]int{}, seats: make([]seat, fleet.Len()),
	}
	var err error
	if d.office, err = openOffice(logins, p.net); err != nil {
		return nil, err
	}
	if _, err = d.office.ready(ctx, d.alive); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for the server at %s: %w", d.address, err), d.close())
	}
	for i := range fleet.Len() {
		school := fleet.Member(i).School
		if _, known := d.schools[school]; !known {
			d.schools[school] = len(d.schools)
		}
	}
	if d.agents, err = sim.NewAgents(fleet, login.RealmID()); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *driver) close() error { return d.office.close() }

func (d *driver) alive() error {
	if d.own == nil {
		return nil
	}
	return d.own.alive()
}

// home is the address that a school's machines come from, as if behind its own
// router: one of this machine's loopback addresses. Of a server elsewhere all
// machines come from one address.
func (d *driver) home(i int) net.Addr {
	host, _, err := net.SplitHostPort(d.address)
	if ip, perr := netip.ParseAddr(host); err != nil || perr != nil || !ip.IsLoopback() || !ip.Is4() {
		return nil
	}
	n := d.schools[d.fleet.Member(i).School]
	return &net.TCPAddr{IP: net.IPv4(127, byte(1+n%250), byte(n/250), 1)}
}

// connect opens the connection of one machine, as its agent does.
func (d *driver) connect(ctx context.Context, i int) (*uplink.Session, error) {
	s := &d.seats[i]
	c := uplink.Client{Addresses: []string{d.address}, Pins: d.pins, Key: d.agents.Key(i)}
	if s.passed {
		c.Pass = s.pass[:]
	}
	from := d.home(i)
	c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: from}).DialContext(ctx, "tcp", address)
	}
	return c.Connect(ctx)
}

// Bounds of how long a machine tries. Agents try for ever; a phase must end.
const (
	maxTries = 200
	maxPause = 10 * time.Second
)

// try repeats an exchange until it is done, or will never be. What the server
// refuses for lack of room is tried again after the time that it names.
func (d *driver) try(ctx context.Context, ph *phase, exchange func() error) error {
	for n := 0; ; n++ {
		err := exchange()
		again := errors.Is(err, uplink.ErrBusy) || errors.Is(err, uplink.ErrAway)
		if err == nil || !again || ctx.Err() != nil || n == maxTries {
			return err
		}
		if n%10 == 9 {
			if err := d.alive(); err != nil {
				return err
			}
		}
		ph.refuse()
		pause := min(uplink.RetryAfter(err), maxPause)
		if pause == 0 {
			pause = min(maxPause, 100*time.Millisecond<<min(n, 8))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

// enrol asks for admission of one machine with the token of its room.
func (d *driver) enrol(ctx context.Context, ph *phase, i int, token identity.Token) error {
	m := d.fleet.Member(i)
	var a uplink.Admission
	ask := func() error {
		session, err := d.connect(ctx, i)
		if err != nil {
			return err
		}
		a, err = session.Enrol(ctx, token, uplink.Hello{Hostname: m.Name, Facts: d.agents.Hello(i), Version: sim.Version})
		return errors.Join(err, session.Close())
	}
	if err := d.try(ctx, ph, ask); err != nil {
		return err
	}
	if a.Outcome == rollcallv1.EnrolReply_PENDING && m.Profile.Class() == "server" {
		err := d.office.approve(ctx, identity.IDOf(identity.Public(d.agents.Key(i))))
		if err == nil {
			err = d.try(ctx, ph, ask)
		} else if errors.Is(err, errAlone) {
			err = nil // it goes on waiting
		}
		if err != nil {
			return err
		}
	}
	s := &d.seats[i]
	s.absent = a.Outcome != rollcallv1.EnrolReply_ENROLLED
	if s.settled = true; s.absent {
		ph.wait()
	} else {
		s.ci = a.CI
	}
	return nil
}

// report tells what has changed on one machine, and uploads what the server lacks.
// Where nothing has, it sends a tick.
func (d *driver) report(ctx context.Context, ph *phase, i int, reason string) (facts int, err error) {
	r, err := d.agents.Report(i, reason, false)
	if err != nil {
		return 0, err
	}
	err = d.try(ctx, ph, func() (err error) {
		session, err := d.connect(ctx, i)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, session.Close()) }()
		if r.Envelope == nil {
			return d.tick(ctx, session, i)
		}
		if r, err = d.submit(ctx, session, r, reason); err == nil {
			facts = r.Changed
		}
		return err
	})
	return facts, err
}

// submit hands a report over within one exchange: contents that are missing, a full
// report where the server wants one, a decision where it has kept one apart.
func (d *driver) submit(ctx context.Context, session *uplink.Session, r sim.Report, reason string) (sim.Report, error) {
	for range 8 {
		answer, err := session.Submit(ctx, r.Envelope)
		if err != nil {
			return r, err
		}
		d.learn(r.Number, answer)
		switch answer.Outcome {
		case rollcallv1.SubmitReply_RECORDED:
			d.agents.Recorded(r, answer.Raw)
			return r, nil
		case rollcallv1.SubmitReply_NEED_CONTENT:
			contents := d.fleet.Contents(r.Number, answer.Missing)
			err = session.Upload(ctx, answer.Missing, func(want fact.Digest) ([]byte, error) {
				b, ok := contents[want]
				if !ok {
					return nil, fmt.Errorf("machine %d: the server asks for content %s, which is not there", r.Number, want)
				}
				return b, nil
			})
		case rollcallv1.SubmitReply_QUARANTINED:
			if err = d.office.keep(ctx, identity.IDOf(identity.Public(d.agents.Key(r.Number)))); err == nil {
				r, err = d.agents.Report(r.Number, reason, true)
			}
		case rollcallv1.SubmitReply_NEED_FULL:
			r, err = d.agents.Report(r.Number, reason, true)
		default:
			err = fmt.Errorf("machine %d: the server answers a report with %s", r.Number, answer.Outcome)
		}
		if err != nil {
			return r, err
		}
	}
	return r, fmt.Errorf("machine %d: the server has not recorded its report after 8 answers", r.Number)
}

// tick sends one.
func (d *driver) tick(ctx context.Context, session *uplink.Session, i int) error {
	envelope, err := d.agents.Tick(i)
	if err != nil {
		return err
	}
	answer, err := session.Submit(ctx, envelope)
	if err != nil {
		return err
	}
	d.learn(i, answer)
	if answer.Outcome != rollcallv1.SubmitReply_SEEN {
		return fmt.Errorf("machine %d: the server answers that nothing has changed with %s", i, answer.Outcome)
	}
	return nil
}

// learn keeps what the server says about the way to it.
func (d *driver) learn(i int, a uplink.Answer) {
	s := &d.seats[i]
	if len(a.Pass) == len(s.pass) {
		copy(s.pass[:], a.Pass)
		s.passed = true
	}
	if a.CI != "" {
		s.ci = strings.Clone(a.CI)
	}
}

// each lets the clients go through numbers, each machine once. do tells how many
// facts it has moved; its error ends nothing but that machine's part.
func (d *driver) each(ctx context.Context, name string, numbers []int, do func(ctx context.Context, ph *phase, i int) (int, error)) error {
	ph := d.begin(name)
	d.parallel(ctx, ph, numbers, len(numbers), func(i int) error {
		start := time.Now()
		facts, err := do(ctx, ph, i)
		if err == nil {
			ph.done(time.Since(start), facts)
		}
		return err
	})
	return d.end(ctx, ph)
}

// begin opens a phase.
func (d *driver) begin(name string) *phase {
	ph := &phase{name: name, began: time.Now()}
	d.look(&ph.before)
	return ph
}

// parallel lets the clients go through numbers within a phase; do counts what it
// has done. total is for the line of progress.
func (d *driver) parallel(ctx context.Context, ph *phase, numbers []int, total int, do func(i int) error) {
	stop := d.show.watch(ph, total)
	defer stop()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(d.clients, len(numbers)) {
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(numbers) && ctx.Err() == nil; n = int(next.Add(1)) - 1 {
				if err := do(numbers[n]); err != nil && ctx.Err() == nil {
					ph.fail(err)
				}
			}
		})
	}
	wg.Wait()
}

// end closes a phase: one in which machines gave up is an error.
func (d *driver) end(ctx context.Context, ph *phase) error {
	ph.took = time.Since(ph.began)
	d.look(&ph.after)
	d.phases = append(d.phases, ph)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return d.problem() // what comes after it would make no sense
}

// problem tells why the first machine gave up that did, if one has.
func (d *driver) problem() error {
	for _, ph := range d.phases {
		if ph.failed > 0 {
			return fmt.Errorf("%s: %d machines gave up, the first one: %w", ph.name, ph.failed, ph.problem)
		}
	}
	return nil
}

// look notes what the own server has cost until now.
func (d *driver) look(u *usage) {
	if d.own == nil {
		return
	}
	if now, err := d.own.usage(false); err == nil { // it has ended: what comes next says so
		*u = now
	}
}
