package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/evidence"
	"rollcall/server/store"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// newID makes the id of a proposal: long enough that nobody meets another's.
func newID() string { return hex.EncodeToString(identity.NewSecret()[:6]) }

// ListProposals lists what waits for a second person, or everything that did,
// as far as it concerns the caller: her own, those that she may confirm, and for
// auditors those of their sites.
func (s *Service) ListProposals(ctx context.Context, req *rollcallv1.ListProposalsRequest) (*rollcallv1.ListProposalsReply, error) {
	all, err := s.proposals(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	reply := &rollcallv1.ListProposalsReply{}
	for _, p := range all {
		if req.GetAll() || req.GetId() != "" || p.Now(s.Now()) == auth.Waiting {
			reply.Proposals = append(reply.Proposals, s.wireProposal(ctx, p))
		}
	}
	if len(reply.GetProposals()) == 0 && req.GetId() != "" {
		return nil, noProposal(req.GetId())
	}
	return reply, nil
}

func noProposal(id string) error {
	return status.Errorf(codes.NotFound, "no proposal is meant by %.40q: see rollcall proposal list --all", id)
}

// proposals gives those that the caller may know of and whose id begins with
// prefix.
func (s *Service) proposals(ctx context.Context, prefix string) (known []auth.Proposal, err error) {
	var all []auth.Proposal
	err = s.Engine.View(ctx, func(r store.Reader) (err error) {
		all, err = auth.Proposals(r, s.Tenant)
		return err
	})
	o := callerOf(ctx).operator
	for _, p := range all {
		if strings.HasPrefix(p.ID, prefix) && (p.By == o.Name || mayConfirm(o, p) || holds(o, p.Site, auth.Auditor)) {
			known = append(known, p)
		}
	}
	return known, err
}

// holds tells whether an operator holds one of the roles at a site; at "" it must
// be everywhere.
func holds(o auth.Operator, site string, roles ...auth.Role) bool {
	return scopeOf(o, roles...).Sees(site)
}

// mayConfirm tells whether an operator holds the role that the proposed call needs.
func mayConfirm(o auth.Operator, p auth.Proposal) bool {
	need, ok := gates[p.Method]
	return ok && holds(o, p.Site, need.roles...)
}

func (s *Service) wireProposal(ctx context.Context, p auth.Proposal) *rollcallv1.Proposal {
	o := callerOf(ctx).operator
	out := &rollcallv1.Proposal{
		Id: p.ID, Method: p.Method, What: p.What, Digest: p.Digest(), Site: p.Site, By: p.By, MadeMs: millis(p.Made),
		ExpiresMs: millis(p.Made.Add(auth.ProposalLife)), State: p.Now(s.Now()), DecidedBy: p.Second, DecidedMs: millis(p.Decided), Reason: p.Reason,
		Yours: p.By == o.Name, MayConfirm: p.Now(s.Now()) == auth.Waiting && p.By != o.Name && !o.GivenAloneBy(p.By, s.Now()) && mayConfirm(o, p),
	}
	if req, _, err := s.stored(p); err == nil {
		out.Request = protojson.Format(req)
	} else {
		out.Request = err.Error()
	}
	return out
}

// one finds the proposal that is meant by the beginning of an id.
func (s *Service) one(ctx context.Context, id string) (auth.Proposal, error) {
	found, err := s.proposals(ctx, id)
	switch {
	case err != nil:
		return auth.Proposal{}, err
	case id == "" || len(found) == 0:
		return auth.Proposal{}, noProposal(id)
	case len(found) > 1:
		return auth.Proposal{}, status.Errorf(codes.FailedPrecondition, "%.40q means %d proposals: write more of the id", id, len(found))
	}
	return found[0], nil
}

// Confirm runs what another person proposed, in her name and with the rights that
// she has now, in one transaction with the end of the proposal.
func (s *Service) Confirm(ctx context.Context, req *rollcallv1.ConfirmRequest) (*rollcallv1.ConfirmReply, error) {
	p, err := s.one(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	c := callerOf(ctx)
	need := gates[p.Method]
	switch {
	case p.Now(s.Now()) != auth.Waiting:
		return nil, fmt.Errorf("proposal %s: %w: it is %s", p.ID, auth.ErrProposal, p.Now(s.Now()))
	case p.By == c.operator.Name:
		return nil, fmt.Errorf("proposal %s: %w: it is your own, another person must confirm it", p.ID, auth.ErrProposal)
	case !mayConfirm(c.operator, p):
		return nil, fmt.Errorf("confirm proposal %s: %w", p.ID, c.operator.Denied(need.roles...))
	case len(req.GetDigest()) > 0 && !bytes.Equal(req.GetDigest(), p.Digest()):
		return nil, fmt.Errorf("proposal %s: %w: it is not the one that you saw", p.ID, auth.ErrProposal)
	}
	run, err := s.inTheNameOf(ctx, p)
	if err != nil {
		return nil, err
	}
	in, method, err := s.stored(p)
	if err != nil {
		return nil, err
	}
	out, err := method(run, in)
	if err != nil {
		return nil, err
	}
	s.Log.Info("proposal confirmed", "proposal", p.ID, "what", p.What, "by", p.By, "second", c.operator.Name)
	reply := &rollcallv1.ConfirmReply{Method: p.Method}
	if reply.Reply, err = proto.Marshal(out); err != nil {
		return nil, fmt.Errorf("confirm proposal %s: %w", p.ID, err)
	}
	if p, err = s.one(ctx, p.ID); err != nil {
		return nil, err
	}
	if p.State != auth.Confirmed { // what runs must write through act
		return nil, fmt.Errorf("confirm proposal %s: it ran without being decided", p.ID)
	}
	reply.Proposal = s.wireProposal(ctx, p)
	return reply, nil
}

// inTheNameOf gives the context in which a proposal runs: as who proposed it, if
// she still may, confirmed by the caller.
func (s *Service) inTheNameOf(ctx context.Context, p auth.Proposal) (context.Context, error) {
	c := callerOf(ctx)
	need := gates[p.Method]
	err := s.Engine.View(ctx, func(r store.Reader) error {
		first, found, err := auth.Get(r, s.Tenant, p.By)
		if err != nil {
			return err
		}
		scope := scopeOf(first, need.roles...)
		if !found || len(first.Sites(need.roles...)) == 0 || need.whole && !scope.All() {
			return fmt.Errorf("proposal %s: %w: %s, who proposed it, may not do it any more", p.ID, auth.ErrProposal, p.By)
		}
		c.second = &second{name: c.operator.Name, scope: scopeOf(c.operator, need.roles...), proposal: p.ID, run: newID()}
		c.operator, c.scope, c.glass = first, scope, nil
		return nil
	})
	return context.WithValue(ctx, callerKey{}, c), err
}

// stored decodes what a proposal will run, and gives the method that runs it.
func (s *Service) stored(p auth.Proposal) (proto.Message, func(context.Context, proto.Message) (proto.Message, error), error) {
	var all services
	s.Register(&all)
	for _, desc := range all {
		for _, m := range desc.Methods {
			if "/"+desc.ServiceName+"/"+m.MethodName != p.Method {
				continue
			}
			var in proto.Message
			// The handler decodes into a request of its own: this finds out its type.
			_, err := m.Handler(s, context.Background(), func(v any) error {
				in = v.(proto.Message)
				return errSeen
			}, nil)
			if in == nil {
				return nil, nil, fmt.Errorf("proposal %s: %w", p.ID, err)
			}
			if err := proto.Unmarshal(p.Request, in); err != nil {
				return nil, nil, fmt.Errorf("proposal %s: decode its request: %w", p.ID, err)
			}
			return in, func(ctx context.Context, in proto.Message) (proto.Message, error) {
				out, err := m.Handler(s, ctx, func(v any) error {
					proto.Merge(v.(proto.Message), in)
					return nil
				}, nil)
				if err != nil {
					return nil, err
				}
				return out.(proto.Message), nil
			}, nil
		}
	}
	return nil, nil, fmt.Errorf("proposal %s: %w: there is no method %s any more", p.ID, auth.ErrProposal, p.Method)
}

// errSeen ends a handler that was only asked for the type of its request.
var errSeen = status.Error(codes.Internal, "not called")

// services collects what Register registers.
type services []*grpc.ServiceDesc

// RegisterService implements grpc.ServiceRegistrar.
func (l *services) RegisterService(desc *grpc.ServiceDesc, _ any) { *l = append(*l, desc) }

// Decline ends a proposal without running it: by whoever may confirm it, or takes
// it back, by whoever made it.
func (s *Service) Decline(ctx context.Context, req *rollcallv1.DeclineRequest) (*rollcallv1.DeclineReply, error) {
	p, err := s.one(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	o := callerOf(ctx).operator
	if p.By != o.Name && !mayConfirm(o, p) {
		return nil, fmt.Errorf("decline proposal %s: %w", p.ID, o.Denied(gates[p.Method].roles...))
	}
	run := newID()
	err = s.act(ctx, func(tx store.Tx) (_ evidence.Entry, err error) {
		p, err = auth.Decide(tx, s.Tenant, s.Now(), p.ID, auth.Declined, o.Name, req.GetReason(), run)
		return ofProposal("declined", p), err
	})
	return &rollcallv1.DeclineReply{Proposal: s.wireProposal(ctx, p)}, err
}
