package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rollcall/agent/etc"
	"rollcall/agent/spool"
	"rollcall/agent/uplink"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// ErrQuarantined says that the server keeps this machine's reports apart: its
// key speaks from two places, as after cloning a disk.
var ErrQuarantined = errors.New("the server has put this machine's reports into quarantine: its key speaks from two places (a cloned disk, or one that was put back?): an operator looks at rollcall enrol forks and decides: rollcall enrol keep, or rollcall enrol revoke, after which both machines enrol anew")

// errStuck says that trying again soon would give the same answer.
var errStuck = errors.New("the server will not take a full report")

// errNotYet says that the server was not asked because it is not time.
var errNotYet = errors.New("waiting before the next attempt to reach the server")

// maxUploads is how often a server may ask for contents of one report.
const maxUploads = 20

// Session is what an agent needs of an exchange with the server: *uplink.Session,
// or what stands for it where thousands of agents are simulated.
type Session interface {
	// Submit and Upload do what those of *uplink.Session do, with its errors.
	Submit(ctx context.Context, envelope []byte) (uplink.Answer, error)
	Upload(ctx context.Context, want []fact.Digest, read func(fact.Digest) ([]byte, error)) error
	Close() error
}

// link is one exchange with the server while something is to be delivered.
type link struct {
	a       *Agent
	session Session
	retry   time.Duration
	scanned map[fact.Digest]etc.Content // what the last scan's facts name, once asked for
	resent  bool                        // what the server had lost was sent once
}

func (l *link) open(ctx context.Context) error {
	if l.session != nil {
		return nil
	}
	if l.a.now().Before(l.a.notBefore) {
		return fmt.Errorf("%w (until %s)", errNotYet, l.a.notBefore.UTC().Format(time.RFC3339))
	}
	session, err := l.a.connect(ctx)
	if err == nil {
		l.session = session
	}
	return err
}

func (l *link) close() {
	if l.session == nil {
		return
	}
	if err := l.session.Close(); err != nil {
		l.a.log.Debug("connection did not end well", "err", err)
	}
}

// tick tells the server that nothing has changed, once what waits is delivered.
// It is dropped if the server is away: the next one says the same.
func (a *Agent) tick(ctx context.Context, env []byte, sum *Summary) (again bool, err error) {
	sum.Outcome = Unchanged
	l := &link{a: a}
	defer l.close()
	if a.spool.Status().Waiting > 0 {
		// The tick's chain goes through what waits, which has to go first.
		if again, err = a.drain(ctx, l); err != nil || again {
			return a.settle(again, err, l, sum)
		}
	}
	err = l.open(ctx)
	var ans uplink.Answer
	if err == nil {
		ans, err = l.session.Submit(ctx, env)
	}
	if err != nil {
		return a.settle(false, err, l, sum)
	}
	l.retry = max(l.retry, ans.Retry)
	a.learnWay(ans)
	a.hearPolicy(ans.Policy)
	switch ans.Outcome {
	case rollcallv1.SubmitReply_NEED_FULL:
		again, err = true, a.spool.Reset("the server has another state")
	case rollcallv1.SubmitReply_RESEND:
		again, err = a.resend(ctx, l, ans.Have)
	case rollcallv1.SubmitReply_QUARANTINED:
		err = ErrQuarantined
	}
	return a.settle(again, err, l, sum)
}

// deliver sends what waits.
func (a *Agent) deliver(ctx context.Context, sum *Summary) (again bool, err error) {
	l := &link{a: a}
	defer l.close()
	sum.Outcome = Recorded
	again, err = a.drain(ctx, l)
	return a.settle(again, err, l, sum)
}

// settle turns what the server said into the summary. Only what concerns this
// machine's own disk is an error.
func (a *Agent) settle(again bool, err error, l *link, sum *Summary) (bool, error) {
	sum.retry, sum.Problem, sum.early = max(l.retry, uplink.RetryAfter(err)), "", errors.Is(err, errNotYet)
	sum.refused = errors.Is(err, uplink.ErrKey)
	if err == nil {
		a.backoff.Reset()
		return again, nil
	}
	for _, class := range []error{uplink.ErrAway, uplink.ErrBusy, uplink.ErrKey, uplink.ErrRejected, uplink.ErrReply, identity.ErrPin, ErrQuarantined, errStuck, errNotYet} {
		if errors.Is(err, class) {
			sum.Problem = err.Error()
			if sum.Outcome == Recorded {
				sum.Outcome = Spooled
			}
			return false, nil
		}
	}
	return false, err
}

// drain sends the reports in order until none waits; again tells that the server
// wants a full one instead.
func (a *Agent) drain(ctx context.Context, l *link) (again bool, err error) {
	for {
		w, ok, err := a.spool.Next()
		if err != nil || !ok {
			return a.spool.Status().Full, err
		}
		if err := l.open(ctx); err != nil {
			return false, err
		}
		ans, err := a.submit(ctx, l, w)
		switch {
		case errors.Is(err, uplink.ErrRejected) && !w.Full:
			a.log.Error("the server rejects a report: a full one follows", "seq", w.Seq, "err", err)
			return true, a.spool.Reset("the server rejected report " + fmt.Sprint(w.Seq))
		case errors.Is(err, errGone):
			a.log.Warn("a content has changed before the server asked for it: a full report follows", "err", err)
			return true, a.spool.Reset("a file changed before its content was delivered")
		case err != nil:
			return false, err
		}
		l.retry = max(l.retry, ans.Retry)
		switch ans.Outcome {
		case rollcallv1.SubmitReply_RECORDED:
			if err := errors.Join(a.spool.Ack(ans.Receipt, ans.Raw), a.learn(ans.CI, ans.Trust)); err != nil {
				return false, err
			}
		case rollcallv1.SubmitReply_NEED_FULL:
			if w.Full {
				return false, errStuck
			}
			return true, a.spool.Reset("the server has another state")
		case rollcallv1.SubmitReply_RESEND:
			if again, err := a.resend(ctx, l, ans.Have); again || err != nil {
				return again, err
			}
		case rollcallv1.SubmitReply_QUARANTINED:
			return false, ErrQuarantined
		default:
			return false, fmt.Errorf("report %d: %w: %s", w.Seq, uplink.ErrReply, ans.Outcome)
		}
	}
}

// errGone says that a content that a report names exists nowhere any more.
var errGone = errors.New("content is gone")

// submit sends one report and the contents that the server asks for.
func (a *Agent) submit(ctx context.Context, l *link, w spool.Waiting) (uplink.Answer, error) {
	for range maxUploads {
		ans, err := l.session.Submit(ctx, w.Envelope)
		if err == nil {
			a.learnWay(ans)
			a.hearPolicy(ans.Policy)
		}
		if err != nil || ans.Outcome != rollcallv1.SubmitReply_NEED_CONTENT {
			return ans, err
		}
		if err := l.session.Upload(ctx, ans.Missing, l.content); err != nil {
			return ans, err
		}
	}
	return uplink.Answer{}, fmt.Errorf("report %d: %w: it asks for contents without end", w.Seq, uplink.ErrReply)
}

// content gives what the server asks for: a content that a spooled report names,
// and nothing else on this machine.
func (l *link) content(d fact.Digest) ([]byte, error) {
	b, err := l.a.spool.Content(d)
	if !errors.Is(err, spool.ErrNoContent) {
		return b, err
	}
	if l.scanned == nil {
		l.scanned = l.a.contents()
	}
	if c, ok := l.scanned[d]; ok {
		if b, err = l.a.read(c); err == nil {
			// The server had it from nobody: should it lose it, nobody else may have
			// it, and the file may be another by then.
			if err := l.a.spool.Put(d, b); err != nil && !errors.Is(err, spool.ErrFull) {
				return nil, err
			}
			return b, nil
		}
	}
	return nil, fmt.Errorf("%w: %w", errGone, err)
}
