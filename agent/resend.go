package agent

import (
	"context"
	"errors"
	"fmt"

	"rollcall/agent/spool"
	"rollcall/agent/uplink"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// resend sends again, in order, what the server has acknowledged and does not
// have any more, after the report with the hash have: it was restored from a
// backup. Where that is not all kept, or the server will not have it, again tells
// that a full report has to close the gap.
//
// A server that lies gets what it had, and once for each connection.
func (a *Agent) resend(ctx context.Context, l *link, have []byte) (again bool, err error) {
	if l.resent {
		return false, errStuck
	}
	l.resent = true
	seqs, ok := a.spool.Since(have)
	if !ok {
		return true, a.giveUpKept("the server has lost more than is kept here: was it restored from an old backup?", nil)
	}
	a.log.Warn("the server has lost what it acknowledged: sending it again", "reports", len(seqs))
	var last uplink.Answer
	for _, seq := range seqs {
		w, err := a.spool.Kept(seq)
		if err == nil {
			last, err = a.submit(ctx, l, w)
		}
		switch {
		case errors.Is(err, spool.ErrNotKept), errors.Is(err, errGone), errors.Is(err, uplink.ErrRejected):
			return true, a.giveUpKept(fmt.Sprintf("the server has lost report %d, which cannot be sent again", seq), err)
		case err != nil:
			return false, err
		case last.Outcome == rollcallv1.SubmitReply_QUARANTINED:
			return false, ErrQuarantined
		case last.Outcome != rollcallv1.SubmitReply_RECORDED:
			return true, a.giveUpKept(fmt.Sprintf("the server will not have report %d again", seq), nil)
		}
		l.retry = max(l.retry, last.Retry)
	}
	a.log.Info("the server has again what it had lost", "reports", len(seqs))
	return false, a.spool.Renew(last.Receipt, last.Raw)
}

// giveUpKept goes on with a full report instead of what was kept.
func (a *Agent) giveUpKept(reason string, why error) error {
	a.log.Warn("a full report closes the gap", "reason", reason, "err", why)
	if err := a.spool.Forget(); err != nil {
		return err
	}
	return a.spool.Reset(reason)
}
