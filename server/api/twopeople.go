package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/cmdb"
	"rollcall/server/evidence"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// twice says what needs two people.
type twice struct {
	site string        // where the second person must hold the method's role; "" is everywhere
	what string        // in words, with everything that she must see to decide
	req  proto.Message // what runs then: the request with every name resolved, so that it means the same later
}

// needsSecond is how a call says that it waits for a second person. The gate
// stores it and tells the caller.
type needsSecond struct{ twice }

// Error implements error.
func (n *needsSecond) Error() string { return "to " + n.what + " needs a second person" }

// second is who confirmed the call that runs.
type second struct {
	name     string
	scope    cmdb.Scope // where she holds the method's role
	proposal string
	run      string // this call
}

// glass is the way in for emergencies: what needs two people is done by one.
type glass struct {
	reason string
	what   string // what it was used for; empty: it was not needed
}

// twoPeople lets a write through that needs two people, if it was confirmed by a
// second one or the glass is broken. Otherwise the error that it returns turns the
// call into a proposal: return it as it is. Call it before anything is written.
func (s *Service) twoPeople(ctx context.Context, t twice) error {
	c := callerOf(ctx)
	switch {
	case c.second != nil && c.second.scope.Sees(t.site):
		return nil
	case c.second != nil:
		return fmt.Errorf("to %s: %s has no role there: %w", t.what, c.second.name, auth.ErrDenied)
	case c.glass != nil:
		c.glass.what = t.what
		return nil
	}
	return &needsSecond{t}
}

// decided ends the proposal that a call confirms, in the transaction of what the
// call does, and notes what was done alone. It adds both to the entry, and which
// session and request it was.
func (s *Service) decided(ctx context.Context, tx store.Tx, e *evidence.Entry) error {
	c := callerOf(ctx)
	for name, value := range c.deed() {
		tell(e, name, value)
	}
	if c.second != nil {
		if _, err := auth.Decide(tx, s.Tenant, s.Now(), c.second.proposal, auth.Confirmed, c.second.name, "", c.second.run); err != nil {
			return err
		}
	}
	if c.glass == nil || c.glass.what == "" {
		return nil
	}
	by := e.By
	if err := auth.PutGlass(tx, s.Tenant, auth.Glass{At: s.Now(), By: by, What: c.glass.what, Reason: c.glass.reason}); err != nil {
		return err
	}
	_, err := evidence.In(tx, s.Tenant).Append(s.Now(), evidence.Entry{
		Kind: evidence.BreakGlass, By: by, CI: e.CI, Key: e.Key, Detail: map[string]string{"what": c.glass.what, "reason": c.glass.reason},
	})
	return err
}

// deed tells of a call what each leaf says that comes of it.
func (c caller) deed() map[string]string {
	d := map[string]string{}
	if len(c.session) > shownSession { // so that an auditor can tell what one session did; it opens nothing
		d["session"] = c.session[:shownSession]
	}
	if c.request != "" {
		d["request"] = c.request
	}
	if c.second != nil {
		d["proposal"], d["second"] = c.second.proposal, "operator "+c.second.name
	}
	if c.glass != nil && c.glass.what != "" {
		d["break-glass"] = c.glass.reason
	}
	return d
}

// shownSession is how much of a session's hash stands in the log.
const shownSession = 12

func tell(e *evidence.Entry, name, value string) {
	if e.Detail == nil {
		e.Detail = map[string]string{}
	}
	e.Detail[name] = value
}

// glassHeader carries the reason of who breaks the glass, as bytes.
const glassHeader = "rollcall-break-glass-bin"

// Bounds of the reason: long enough to be one.
const (
	minGlass = 10
	maxGlass = 500
)

// breakGlass reads the header. Only an admin of all sites breaks the glass: it is
// for the installation that has one admin, and for the night when nobody else can
// be reached.
func breakGlass(o auth.Operator, words []string) (*glass, error) {
	if len(words) == 0 {
		return nil, nil
	}
	reason := fact.Value(fact.Cut(words[0], maxGlass))
	switch {
	case len(words) > 1 || len(reason) < minGlass:
		return nil, status.Errorf(codes.InvalidArgument, "break-glass needs a reason of at least %d bytes", minGlass)
	case !scopeOf(o, auth.Admin).All():
		return nil, fmt.Errorf("break-glass: %w", o.Denied(auth.Admin))
	}
	return &glass{reason: reason}, nil
}

// propose turns a call that needs a second person into a proposal. The same call
// by the same person is one proposal, however often it is made.
func (s *Service) propose(ctx context.Context, method string, n *needsSecond) error {
	request, err := proto.MarshalOptions{Deterministic: true}.Marshal(n.req)
	if err != nil {
		return fmt.Errorf("propose %s: %w", method, err)
	}
	p := auth.Proposal{
		ID: newID(), Method: method, Request: request, What: fact.Value(n.what), Site: n.site, By: callerOf(ctx).operator.Name, Made: s.Now(),
	}
	var known []auth.Proposal
	if err := s.Engine.View(ctx, func(r store.Reader) (err error) {
		known, err = auth.Proposals(r, s.Tenant)
		return err
	}); err != nil {
		return err
	}
	for _, old := range known {
		if old.Now(p.Made) == auth.Waiting && old.By == p.By && string(old.Digest()) == string(p.Digest()) {
			return waits(old)
		}
	}
	err = s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		return ofProposal("proposed", p), auth.Propose(tx, s.Tenant, p, known)
	})
	if err != nil {
		return err
	}
	return waits(p)
}

func waits(p auth.Proposal) error {
	return status.Errorf(codes.FailedPrecondition, "to %s needs a second person: proposal %s waits until %s for another one to type rollcall proposal confirm %s",
		p.What, p.ID, p.Made.Add(auth.ProposalLife).UTC().Format(time.RFC3339), p.ID)
}

func ofProposal(did string, p auth.Proposal) evidence.Entry {
	return evidence.Entry{Kind: evidence.Proposal, Subject: p.Digest(), Detail: map[string]string{
		"do": did, "proposal": p.ID, "method": p.Method, "what": p.What, "site": p.Site, "proposed": "operator " + p.By, "reason": p.Reason,
	}}
}

// isProposal tells whether an error asks for a second person.
func isProposal(err error) (*needsSecond, bool) {
	var n *needsSecond
	ok := errors.As(err, &n)
	return n, ok
}

// warnOfGlass tells in the status what was done alone within the last month.
func (s *Service) warnOfGlass(ctx context.Context, reply *rollcallv1.StatusReply) error {
	var broken []auth.Glass
	err := s.Engine.View(ctx, func(r store.Reader) (err error) {
		broken, err = auth.Broken(r, s.Tenant, s.Now().Add(-auth.GlassShown))
		return err
	})
	if err != nil || len(broken) == 0 {
		return err
	}
	text := fmt.Sprintf("done by one person that needs two, within 30 days: %d", len(broken))
	if callerOf(ctx).scope.All() { // it names machines
		last := broken[len(broken)-1]
		text += fmt.Sprintf("; the last on %s by %s: %s (%s)", last.At.UTC().Format(time.RFC3339), last.By, last.What, last.Reason)
	}
	reply.Warnings = append(reply.Warnings, text)
	return nil
}
