package main

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

// governed answers about policies.
type governed struct {
	rollcallv1.UnimplementedPoliciesServer
}

func publishedPolicy() *rollcallv1.PolicyInfo {
	return &rollcallv1.PolicyInfo{
		Version: 7, FromMs: ms(-100 * time.Hour), UntilMs: ms(1000 * time.Hour), Key: "sha256:0a0a", Words: "acid acorn actor",
		Text: "realm = 0a0b\nversion = 7\n# holidays\nskip = sessions\n", By: "kari", AtMs: ms(-50 * time.Hour),
	}
}

func (governed) PublishPolicy(_ context.Context, req *rollcallv1.PublishPolicyRequest) (*rollcallv1.PublishPolicyReply, error) {
	if string(req.GetBundle()) != "signed\n" {
		return nil, status.Error(codes.InvalidArgument, "open policy bundle of 4 bytes: not a policy bundle")
	}
	return &rollcallv1.PublishPolicyReply{Policy: publishedPolicy()}, nil
}

func (governed) PolicyStatus(context.Context, *rollcallv1.PolicyStatusRequest) (*rollcallv1.PolicyStatusReply, error) {
	return &rollcallv1.PolicyStatusReply{
		Policy: publishedPolicy(), Realm: "0a0b", Others: 4,
		Machines: []*rollcallv1.PolicyHolders{
			{Version: 7, State: "in force", Machines: 380},
			{Version: 6, State: "in force", Refused: "version 7: it does not count yet", Machines: 12},
			{State: "none", Machines: 1},
		},
	}, nil
}
