package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/ingest"
	"rollcall/server/store"
)

// Forks shows both sides of a key that spoke from two places: the last recorded
// report and what was kept apart since an operator last decided.
func (s *Service) Forks(ctx context.Context, req *rollcallv1.ForksRequest) (*rollcallv1.ForksReply, error) {
	var reply *rollcallv1.ForksReply
	err := s.view(ctx, func(r store.Reader, items cmdb.View) error {
		reply = &rollcallv1.ForksReply{}
		v := enrol.At(r, s.Tenant)
		id, err := findKey(v, items, req.GetKey(), enrol.Enrolled)
		if err != nil {
			return err
		}
		k, _, err := v.Any(id)
		if err != nil {
			return err
		}
		if reply.Key, err = keyInfo(items, k, nil); err != nil {
			return err
		}
		if reply.Recorded, err = s.recorded(r, items, k); err != nil {
			return err
		}
		forks, err := ingest.Forks(r, s.Tenant, id)
		if err != nil {
			return err
		}
		for _, f := range forks {
			if f.At.After(k.Resolved) {
				reply.Forks = append(reply.Forks, branchOf(f))
			}
		}
		reply.Full = len(reply.Forks) >= ingest.MaxForks
		return nil
	})
	return reply, err
}

// recorded tells about the last report of a key that is part of its CI's history.
func (s *Service) recorded(r store.Reader, items cmdb.View, k enrol.Key) (*rollcallv1.Branch, error) {
	chain, err := enrol.At(r, s.Tenant).Chain(k.ID)
	if err != nil || len(chain.Head) != len(fact.Digest{}) {
		return nil, err
	}
	ci, err := items.CI(k.CI)
	if err != nil {
		return nil, err
	}
	b := &rollcallv1.Branch{Seq: chain.Seq, Envelope: hex.EncodeToString(chain.Head)}
	f, err := ingest.Describe(r, s.Tenant, fact.Digest(chain.Head))
	if err != nil && !errors.Is(err, store.ErrNoBlob) {
		return nil, fmt.Errorf("last report of key %s: %w", k.ID, err)
	}
	b.BootId, b.ClaimedMs = hex.EncodeToString(f.Boot), f.Claimed
	sub := &subject{s: s, items: items, head: ci, ci: ci}
	if b.Hostname, err = sub.first("id", "id/hostname"); err != nil {
		return nil, err
	}
	set, err := items.Set(ci.State, "net")
	if err != nil {
		return nil, err
	}
	b.Macs = append(matching(set, "net/*/permanent"), matching(set, "net/*/mac")...)
	b.Macs = sorted(b.Macs)
	b.AtMs = millis(s.Presence.Last(ci.ID))
	return b, nil
}

func branchOf(f ingest.Fork) *rollcallv1.Branch {
	return &rollcallv1.Branch{
		AtMs: millis(f.At), Seq: f.Seq, BootId: hex.EncodeToString(f.Boot), From: f.From, ClaimedMs: f.Claimed, Hostname: f.Hostname,
		Macs: sorted(f.MACs), Unchanged: f.Tick, Envelope: f.Hash.String(),
	}
}

// Keep ends the quarantine of a key: its next full report is taken.
func (s *Service) Keep(ctx context.Context, req *rollcallv1.KeepRequest) (*rollcallv1.KeepReply, error) {
	d := &rollcallv1.DecideRequest{Key: req.GetKey(), Reason: req.GetReason()}
	reply, err := s.decide(ctx, d, evidence.Resolve, enrol.Enrolled, func(_ store.Tx, w enrol.Writer, id, by string) (enrol.Key, error) {
		return w.Keep(s.Now(), id, by, req.GetReason())
	})
	return &rollcallv1.KeepReply{Key: reply.GetKey()}, err
}
