package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (f *fake) Status(context.Context, *rollcallv1.StatusRequest) (*rollcallv1.StatusReply, error) {
	role := "admin"
	if f.kind == "viewer" {
		role = "viewer"
	}
	return &rollcallv1.StatusReply{
		Version: "0.1", StartedMs: ms(-48 * time.Hour), NowMs: ms(0), ServerPin: "sha256:" + strings.Repeat("ab", 32), Items: 3,
		Presence: map[string]uint64{"live": 2, "silent": 1}, Pending: 1, Revisions: 27, MirrorBacklog: 3, StoreBytes: 5 << 20,
		Warnings: []string{"1 CI with a key that speaks from two places: rollcall find 'cloned = yes'"}, Operator: "kari", Role: role,
		LogSize: 104, CheckpointSize: 104, CheckpointMs: ms(-time.Minute), WitnessMs: ms(-time.Hour), Witnesses: []string{"auditor"},
	}, nil
}

func (f *fake) NewToken(_ context.Context, req *rollcallv1.NewTokenRequest) (*rollcallv1.NewTokenReply, error) {
	if req.GetCi() != "" {
		if err := known(req.GetCi()); err != nil {
			return nil, err
		}
	}
	return &rollcallv1.NewTokenReply{Token: "rc1.abc.0123", Id: "00ff", ExpiresMs: ms(time.Duration(req.GetValidHours()) * time.Hour)}, nil
}

func (f *fake) Pending(_ context.Context, req *rollcallv1.PendingRequest) (*rollcallv1.PendingReply, error) {
	keys := keys()
	if !req.GetAll() {
		keys = keys[:1]
	}
	return &rollcallv1.PendingReply{Keys: keys}, nil
}

func (f *fake) decide(req *rollcallv1.DecideRequest, state string) (*rollcallv1.DecideReply, error) {
	if !strings.HasPrefix(keyID, req.GetKey()) && req.GetKey() != "room12-pc07" {
		return nil, status.Errorf(codes.NotFound, "no pending key is meant by %q: see rollcall enrol pending --all", req.GetKey())
	}
	k := keys()[0]
	k.State, k.CiName = state, "room12-pc07"
	return &rollcallv1.DecideReply{Key: k}, nil
}

func (f *fake) Approve(_ context.Context, req *rollcallv1.DecideRequest) (*rollcallv1.DecideReply, error) {
	return f.decide(req, "enrolled")
}

func (f *fake) Refuse(_ context.Context, req *rollcallv1.DecideRequest) (*rollcallv1.DecideReply, error) {
	return f.decide(req, "refused")
}

func (f *fake) Revoke(_ context.Context, req *rollcallv1.DecideRequest) (*rollcallv1.DecideReply, error) {
	return f.decide(req, "revoked")
}

func (f *fake) Sites(context.Context, *rollcallv1.SitesRequest) (*rollcallv1.SitesReply, error) {
	return &rollcallv1.SitesReply{Sites: []*rollcallv1.Site{
		{Path: "elm", Items: 3}, {Path: "elm/north", Title: "Elm, north school", Items: 3},
	}}, nil
}

func (f *fake) SetSite(_ context.Context, req *rollcallv1.SetSiteRequest) (*rollcallv1.SetSiteReply, error) {
	return &rollcallv1.SetSiteReply{Site: req.GetSite()}, nil
}

func (f *fake) RemoveSite(_ context.Context, req *rollcallv1.RemoveSiteRequest) (*rollcallv1.RemoveSiteReply, error) {
	if req.GetPath() == "elm/north" {
		return nil, status.Error(codes.InvalidArgument, "site elm/north: not allowed: CI tjener is in it, move it first")
	}
	return &rollcallv1.RemoveSiteReply{}, nil
}

func (f *fake) Operators(context.Context, *rollcallv1.OperatorsRequest) (*rollcallv1.OperatorsReply, error) {
	return &rollcallv1.OperatorsReply{Operators: []*rollcallv1.Operator{
		{
			Name: "kari", Role: "admin", Grants: []*rollcallv1.Grant{{Role: "admin"}}, CreatedMs: ms(-30 * 24 * time.Hour),
			By: "rollcall-server operator add", HasToken: true, HasPassword: true, LastUsedMs: ms(-5 * time.Minute),
			Sessions: []*rollcallv1.Session{{MadeMs: ms(-time.Hour), ExpiresMs: ms(7 * time.Hour), LastUsedMs: ms(-5 * time.Minute), From: "192.0.2.7"}},
		},
		{
			Name: "ola", Role: "viewer, approver@elm/north", CreatedMs: ms(-time.Hour), Service: true, HasToken: true,
			Grants: []*rollcallv1.Grant{{Role: "viewer"}, {Role: "approver", Site: "elm/north"}},
		},
	}}, nil
}

func (f *fake) AddOperator(ctx context.Context, req *rollcallv1.AddOperatorRequest) (*rollcallv1.AddOperatorReply, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if req.GetGrants()[0].GetRole() == "admin" && len(md.Get("rollcall-break-glass-bin")) == 0 {
		return nil, status.Error(codes.FailedPrecondition, "to make ola admin needs a second person: proposal 1a2b3c4d5e6f waits until "+
			"2026-11-28T12:00:00Z for another one to type rollcall proposal confirm 1a2b3c4d5e6f")
	}
	if req.GetName() == "Bad Name" {
		return nil, status.Error(codes.InvalidArgument, fmt.Sprintf("operator %q: not a valid operator: want 1 to 32 lower-case letters", req.GetName()))
	}
	return &rollcallv1.AddOperatorReply{LoginToken: "rcop1.xyz.4567"}, nil
}

func (f *fake) RemoveOperator(_ context.Context, req *rollcallv1.RemoveOperatorRequest) (*rollcallv1.RemoveOperatorReply, error) {
	if req.GetName() == "kari" {
		return nil, status.Error(codes.FailedPrecondition, "you cannot remove yourself: ask another admin")
	}
	return &rollcallv1.RemoveOperatorReply{}, nil
}

func proposals() []*rollcallv1.Proposal {
	return []*rollcallv1.Proposal{
		{
			Id: "1a2b3c4d5e6f", Method: rollcallv1.Admin_AddOperator_FullMethodName, What: "make ola admin", Request: `{"name":"ola"}`,
			Digest: []byte{0xab, 0xcd}, By: "per", MadeMs: ms(-time.Hour), ExpiresMs: ms(7*24*time.Hour - time.Hour), State: "waiting", MayConfirm: true,
		},
		{
			Id: "ffeeddccbbaa", Method: rollcallv1.Admin_AddOperator_FullMethodName, What: "make eva admin@elm", Request: "{}", Site: "elm",
			By: "kari", MadeMs: ms(-2 * time.Hour), ExpiresMs: ms(time.Hour), State: "declined", DecidedBy: "per", DecidedMs: ms(-time.Hour),
			Reason: "who is eva?", Yours: true,
		},
		{
			Id: "99aabbccddee", Method: rollcallv1.Keys_RevokeMany_FullMethodName, What: "end the keys of 31 machines", Site: "elm",
			Request: `{"filter":"class = workstation","reason":"room closed","list":"AAAA"}`, Digest: []byte{0xef}, By: "per",
			MadeMs: ms(-time.Hour), ExpiresMs: ms(7*24*time.Hour - time.Hour), State: "waiting", MayConfirm: true,
		},
	}
}

func (f *fake) ListProposals(_ context.Context, req *rollcallv1.ListProposalsRequest) (*rollcallv1.ListProposalsReply, error) {
	all := proposals()
	if !req.GetAll() && req.GetId() == "" {
		all = all[:1]
	}
	if req.GetId() != "" {
		all = slices.DeleteFunc(all, func(p *rollcallv1.Proposal) bool { return !strings.HasPrefix(p.GetId(), req.GetId()) })
	}
	if len(all) == 0 {
		return nil, status.Errorf(codes.NotFound, "no proposal is meant by %s: see rollcall proposal list --all", req.GetId())
	}
	return &rollcallv1.ListProposalsReply{Proposals: all}, nil
}

func (f *fake) Confirm(_ context.Context, req *rollcallv1.ConfirmRequest) (*rollcallv1.ConfirmReply, error) {
	p := proposals()[0]
	if many := proposals()[2]; req.GetId() == many.GetId() {
		b, err := proto.Marshal(revokedMany())
		return &rollcallv1.ConfirmReply{Proposal: many, Method: many.GetMethod(), Reply: b}, err
	}
	if req.GetId() != p.GetId() || string(req.GetDigest()) != string(p.GetDigest()) {
		return nil, status.Error(codes.FailedPrecondition, "proposal ffeeddccbbaa: the proposal cannot be decided: it is declined")
	}
	b, err := proto.Marshal(&rollcallv1.AddOperatorReply{LoginToken: "rcop1.xyz.4567"})
	p.State, p.DecidedBy, p.DecidedMs, p.MayConfirm = "confirmed", "kari", ms(0), false
	return &rollcallv1.ConfirmReply{Proposal: p, Method: p.GetMethod(), Reply: b}, err
}

func (f *fake) Decline(_ context.Context, req *rollcallv1.DeclineRequest) (*rollcallv1.DeclineReply, error) {
	p := proposals()[0]
	p.State, p.DecidedBy, p.Reason = "declined", "kari", req.GetReason()
	return &rollcallv1.DeclineReply{Proposal: p}, nil
}
