package main

import (
	"context"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

// likened answers which CIs are one machine.
type likened struct {
	rollcallv1.UnimplementedIdentityServer
}

func (likened) Same(_ context.Context, req *rollcallv1.SameRequest) (*rollcallv1.SameReply, error) {
	all := items()
	reply := &rollcallv1.SameReply{Item: all[1], Others: []*rollcallv1.Likeness{{
		Item: all[0], Verdict: "probably one machine", Points: 8, Sentence: "probably one machine: the same serial number, another SMBIOS UUID",
		Pieces: []*rollcallv1.LikenessPiece{
			{Kind: "serial number", Value: "ABC1234", Other: "abc1234", Points: 6, Why: "the same serial number"},
			{Kind: "SMBIOS UUID", Value: "4c4c4544", Other: "11112222", Points: -3, Why: "another SMBIOS UUID"},
			{Kind: "MAC", Value: "00:e0:4c:68:00:01", Other: "00:e0:4c:68:00:01", Why: "the same MAC, which says nothing: the card is plugged in, as docks and adapters are"},
		},
	}}}
	if req.GetOther() == "" {
		reply.Notes = []string{"3 more have something in common with it"}
	}
	return reply, nil
}

func (likened) Merge(context.Context, *rollcallv1.MergeRequest) (*rollcallv1.MergeReply, error) {
	all := items()
	return &rollcallv1.MergeReply{Item: all[1], Gone: all[0], Left: map[string]string{"owner": "kari"}, Sentence: "one machine: the same serial number"}, nil
}

func (likened) Split(context.Context, *rollcallv1.SplitRequest) (*rollcallv1.SplitReply, error) {
	return &rollcallv1.SplitReply{Item: items()[0], From: items()[1]}, nil
}
