package main

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

func tokens() []*rollcallv1.TokenInfo {
	return []*rollcallv1.TokenInfo{
		{
			Id: "00ff00ff00ff00ff", Kind: "batch", Name: "room 12", Site: "elm/north/b1/room12", Class: "workstation", Standing: "good", Uses: 30, Used: 7,
			Nets: []string{"10.20.0.0/16"}, By: "kari", CreatedMs: ms(-time.Hour), ExpiresMs: ms(6 * 24 * time.Hour), UsedMs: ms(-time.Minute), UsedBy: keyID,
		},
		{
			Id: "11ff00ff00ff00ff", Kind: "reinstall", Ci: "ci22112233445566778899", CiName: "tjener", Standing: "good", Uses: 1,
			NeedsApproval: true, By: "ola", CreatedMs: ms(-time.Hour), ExpiresMs: ms(23 * time.Hour),
		},
		{
			Id: "22ff00ff00ff00ff", Kind: "single", Standing: "withdrawn", Uses: 1, By: "kari", CreatedMs: ms(-48 * time.Hour), ExpiresMs: ms(-24 * time.Hour),
			WithdrawnBy: "ola",
		},
	}
}

func (f *fake) Tokens(_ context.Context, req *rollcallv1.TokensRequest) (*rollcallv1.TokensReply, error) {
	all := tokens()
	if !req.GetAll() {
		all = all[:2]
	}
	return &rollcallv1.TokensReply{Tokens: all}, nil
}

func (f *fake) Withdraw(_ context.Context, req *rollcallv1.WithdrawRequest) (*rollcallv1.WithdrawReply, error) {
	if req.GetToken() != "00ff" && req.GetToken() != "room 12" {
		return nil, status.Errorf(codes.NotFound, "no token is meant by %q: see rollcall enrol tokens --all", req.GetToken())
	}
	return &rollcallv1.WithdrawReply{Token: tokens()[0]}, nil
}

func (f *fake) Forks(_ context.Context, req *rollcallv1.ForksRequest) (*rollcallv1.ForksReply, error) {
	if err := known(req.GetKey()); err != nil {
		return nil, err
	}
	k := keys()[1]
	k.State = "enrolled"
	if req.GetKey() != "tjener" {
		k.Cloned, k.CiName = false, req.GetKey()
		return &rollcallv1.ForksReply{Key: k}, nil
	}
	return &rollcallv1.ForksReply{
		Key: k,
		Recorded: &rollcallv1.Branch{
			AtMs: ms(-3 * time.Hour), Seq: 70, BootId: "0123456789abcdef0123456789abcdef", Hostname: "tjener",
			Macs: []string{"52:54:00:12:34:56"}, Envelope: "0f0f",
		},
		Forks: []*rollcallv1.Branch{
			{AtMs: ms(-time.Hour), Seq: 64, BootId: "fedcba9876543210fedcba9876543210", From: "10.0.13.9", Hostname: "test-server", Macs: []string{"52:54:00:99:88:77"}, Envelope: "0e0e"},
			{AtMs: ms(-time.Minute), Seq: 65, From: "10.0.13.9", Unchanged: true, Envelope: "0d0d"},
		},
	}, nil
}

func (f *fake) Keep(_ context.Context, req *rollcallv1.KeepRequest) (*rollcallv1.KeepReply, error) {
	if err := known(req.GetKey()); err != nil {
		return nil, err
	}
	if req.GetKey() != "tjener" {
		return nil, status.Errorf(codes.FailedPrecondition, "keep key %s: the key is not in a state that allows this: it is enrolled, and in no quarantine", keyID)
	}
	k := keys()[1]
	k.State, k.Cloned = "enrolled", false
	return &rollcallv1.KeepReply{Key: k}, nil
}

func revocable(state string) []*rollcallv1.Revocable {
	return []*rollcallv1.Revocable{
		{Ci: "ci00112233445566778899", Name: "room12-pc07", Class: "workstation", Site: "elm/north/b1/room12", Presence: "live", KeyId: keyID, State: state},
		{Ci: "ci00112233445566778800", Name: "room12-pc08", Class: "workstation", Site: "elm/north/b1/room12", Presence: "silent", KeyId: keyID, State: state},
	}
}

func (f *fake) Revocable(_ context.Context, req *rollcallv1.RevocableRequest) (*rollcallv1.RevocableReply, error) {
	if req.GetFilter() == "name = nobody" {
		return &rollcallv1.RevocableReply{}, nil
	}
	if _, err := selected(req.GetFilter()); err != nil {
		return nil, err
	}
	return &rollcallv1.RevocableReply{
		Machines: revocable("enrolled"), Count: 31, Classes: map[string]uint32{"workstation": 29, "laptop": 2}, Sites: map[string]uint32{"elm/north/b1/room12": 31},
		Keys: []byte("RCK1"), Notes: []string{"CI ci0 is left out: it cannot be read: rollcall-server check names what is damaged"},
	}, nil
}

func (f *fake) RevokeMany(ctx context.Context, req *rollcallv1.RevokeManyRequest) (*rollcallv1.RevokeManyReply, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if len(md.Get("rollcall-break-glass-bin")) == 0 {
		return nil, status.Errorf(codes.FailedPrecondition, "to end the keys of 31 machines needs a second person: proposal 1a2b3c4d5e6f waits until "+
			"2026-11-28T12:00:00Z for another one to type rollcall proposal confirm 1a2b3c4d5e6f")
	}
	if string(req.GetKeys()) != "RCK1" {
		return nil, status.Error(codes.InvalidArgument, "not what was shown")
	}
	return revokedMany(), nil
}

func revokedMany() *rollcallv1.RevokeManyReply {
	return &rollcallv1.RevokeManyReply{Id: "99aabbccddee", Of: 31, Revoked: 30, Gone: 1, Left: revocable("revoked")[1:]}
}
