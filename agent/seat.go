package agent

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"rollcall/agent/spool"
	"rollcall/agent/uplink"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// Seat is a machine without a disk: at each boot it makes a key in memory, claims its
// place with the token of its boot image, says once what it is, and keeps nothing.
// Whatever state folder the image brought along from the machine that it was made of
// is neither read nor written.
type Seat struct {
	Token    identity.Token
	Image    *Image        // what the image has; nil: it tells nothing of itself
	Patience time.Duration // how long to try if the server is away or the seat is taken
}

// ErrSecretToken says that a token is not for a boot image, where everybody can read
// it.
var ErrSecretToken = errors.New("the token is not one for a boot image, see rollcall enrol token --netboot")

// errPatience says that the seat was not given away in time.
var errPatience = errors.New("the server has not admitted this machine")

// openSeat is open for a machine that keeps nothing.
func (a *Agent) openSeat(d Deps) (err error) {
	if !d.Seat.Token.Public {
		return ErrSecretToken
	}
	a.enclose() // nothing is written anywhere
	a.seat, a.cfg.InMemory = d.Seat, true
	if a.key, err = identity.NewKey(); err != nil {
		return err
	}
	t := d.Seat.Token
	a.enrolment = Enrolment{Addresses: t.URLs, Pins: t.Pins, Server: t.Server, Realm: t.RealmID(), Trust: "T0"}
	a.bundles = bundlesOf(a.cfg, a.enrolment, false)
	if d.Dial != nil {
		a.client = *d.Dial
	}
	a.client.Addresses, a.client.Pins, a.client.Key = t.URLs, t.Pins, a.key
	if a.client.Timeout == 0 {
		a.client.Timeout = 15 * time.Minute
	}
	a.spool = spool.InMemory(spool.Options{MaxBytes: int64(a.cfg.SpoolSize)})
	if a.sealed, err = openSealed(a.cfg); err != nil {
		return err
	}
	return a.newScanner()
}

// Boot claims the seat and reports once. The error wraps identity.ErrPin, uplink.ErrKey
// and the like where trying again cannot help; what can pass by itself is tried until
// Seat.Patience is over.
func (a *Agent) Boot(ctx context.Context, reason string) (Summary, error) {
	if a.seat == nil {
		return Summary{}, errors.New("boot: this agent has a state folder")
	}
	start := a.now()
	hello, err := sayHello(ctx, a.cfg, a.version)
	if err != nil {
		return Summary{}, err
	}
	hello.OneShot = true
	if a.seat.Image != nil {
		hello.Facts = fact.NewSet(append(hello.Facts, a.seat.Image.facts()...))
	}
	for {
		sum, err := a.boot(ctx, hello, reason)
		wait := a.backoff.Next(uplink.RetryAfter(err))
		if late := a.now().Add(wait).Sub(start) > a.seat.Patience; err == nil || late || !passes(err) {
			sum.At, sum.Reason, sum.Took, sum.Fence = start, reason, a.now().Sub(start), a.fence
			return sum, err
		}
		a.log.Warn("not reported yet", "err", err, "again_in", wait)
		select {
		case <-ctx.Done():
			return sum, fmt.Errorf("boot: %w", ctx.Err())
		case <-time.After(wait):
		}
	}
}

// passes tells whether an error may be none a while later.
func passes(err error) bool {
	return errors.Is(err, uplink.ErrAway) || errors.Is(err, uplink.ErrBusy) || errors.Is(err, errPatience)
}

// boot is one attempt: one connection for admission and report.
func (a *Agent) boot(ctx context.Context, hello uplink.Hello, reason string) (Summary, error) {
	session, err := a.client.Connect(ctx)
	if err != nil {
		return Summary{}, err
	}
	a.enrolment.Server = session.Server()
	adm, err := session.Enrol(ctx, a.seat.Token, hello)
	var sum Summary
	switch {
	case err != nil:
	case adm.Outcome == rollcallv1.EnrolReply_REFUSED:
		err = fmt.Errorf("boot: %w: %s", uplink.ErrKey, adm.Note)
	case adm.Outcome == rollcallv1.EnrolReply_PENDING:
		err = fmt.Errorf("%w: %s", errPatience, adm.Note)
	default:
		a.enrolment.CI = adm.CI
		sum, err = a.sayOnce(ctx, &link{a: a, session: session}, reason)
	}
	return sum, errors.Join(err, session.Close())
}

// sayOnce says what the machine is, in as few bytes as the server understands: that
// it is as it was at the last boot, or what it has otherwise than its image, or all.
func (a *Agent) sayOnce(ctx context.Context, l *link, reason string) (Summary, error) {
	a.readPolicy() // the image's: there is nowhere to remember what a server passed on
	g := a.gather(ctx)
	a.ofSeat(&g)
	var sum Summary
	sum.describe(g, a)
	bases := []spool.Base{{Sets: g.sets}}
	if a.seat.Image != nil {
		bases = append(bases, spool.Base{Sets: a.seat.Image.Sets})
	}
	bases = append(bases, spool.Base{Full: true})
	for i, b := range bases {
		b.Seq = uint64(i + 1)
		changes := deltas(b, g.sets)
		env, size, err := a.envelope(b, g, changes, reason)
		if err != nil {
			return sum, err
		}
		ans, err := a.submit(ctx, l, spool.Waiting{Seq: b.Seq, Envelope: env, Full: b.Full})
		if err != nil {
			return sum, err
		}
		sum.Envelope, sum.Payload, sum.Full, sum.Changed = len(env), size, b.Full, map[string]Delta{}
		for _, d := range changes {
			sum.Changed[sectionOf(d)] = Delta{len(d.Put), len(d.Drop)}
		}
		switch ans.Outcome {
		case rollcallv1.SubmitReply_SEEN:
			sum.Outcome = Unchanged
			return sum, nil
		case rollcallv1.SubmitReply_RECORDED:
			sum.Outcome = Recorded
			return sum, nil
		case rollcallv1.SubmitReply_NEED_FULL:
		default:
			return sum, fmt.Errorf("boot: %w: %s", uplink.ErrReply, ans.Outcome)
		}
	}
	return sum, errStuck
}

// ofSeat makes what was found what a seat tells. Its image's logs tell of the image.
// What is withheld would have another fingerprint at each boot, for there is nowhere to
// keep the key of it: it is told as the image has it, or not.
func (a *Agent) ofSeat(g *gathered) {
	g.events = nil
	image := a.seat.Image
	var files []fact.Fact
	for _, f := range g.sets["etc"] {
		if file, err := fact.ParseFile(f.Value); err == nil && (file.Kind == fact.KindKeyed || file.Kind == fact.KindSealed) {
			value, ok := "", false
			if image != nil {
				value, ok = image.Sets["etc"].Get(f.Path)
			}
			if known, err := fact.ParseFile(value); !ok || err != nil || known.Kind == fact.KindSealed {
				continue // the server takes nothing sealed from a seat
			}
			f.Value = value
		}
		files = append(files, f)
	}
	if g.sets["etc"] = fact.NewSet(files); len(files) == 0 {
		delete(g.sets, "etc")
	}
	if image != nil {
		g.sets["id"] = fact.NewSet(append(g.sets["id"], image.facts()...))
	}
	g.state = stateOf(g.sets).Digest()
}

// facts name the image that a machine booted, and its version.
func (i Image) facts() []fact.Fact {
	d := stateOf(i.Sets).Digest()
	return []fact.Fact{{Path: "id/image", Value: i.CI}, {Path: "id/image/state", Value: hex.EncodeToString(d[:6])}}
}
