package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/evidence"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	maxLeaves = 10_000
	// silentWitness is how long a witness may be away before the server warns: a
	// laptop that is shut over a long weekend is no alarm.
	silentWitness = 7 * 24 * time.Hour
)

// LogKey is how the log is recognised: what its key is, and the server's word that
// it is.
type LogKey struct {
	Verifier    string   // NAME+HASH+KEY
	Endorsement []byte   // identity.TypeLogKey
	Switches    []uint64 // leaves about changes of the server's key
	// Trouble tells why no checkpoint is signed any more; nil if all is well.
	Trouble func() error
	// Sign signs a checkpoint now, if the log has grown.
	Sign func(ctx context.Context) error
}

// log gives the evidence log of a snapshot.
func (s *Service) log(ctx context.Context, fn func(v evidence.View) error) error {
	return s.Engine.View(ctx, func(r store.Reader) error { return fn(evidence.At(r, s.Tenant)) })
}

// Checkpoint gives the newest signed checkpoint, and whom it was shown to.
func (s *Service) Checkpoint(ctx context.Context, _ *rollcallv1.CheckpointRequest) (*rollcallv1.CheckpointReply, error) {
	reply := &rollcallv1.CheckpointReply{LogKey: s.Proofs.Verifier, Endorsement: s.Proofs.Endorsement}
	err := s.log(ctx, func(v evidence.View) error {
		signed, err := v.Checkpoint()
		if err != nil {
			return err
		}
		reply.Note, reply.MadeMs = signed.Note, signed.At
		if reply.Size, err = v.Size(); err != nil {
			return err
		}
		all, err := v.Witnessed()
		for _, w := range all {
			reply.Witnesses = append(reply.Witnesses, &rollcallv1.WitnessInfo{Key: w.Key, Size: w.Size, AtMs: w.At, Note: w.Note})
		}
		return err
	})
	return reply, err
}

// Consistency proves that the log only grew between two sizes.
func (s *Service) Consistency(ctx context.Context, req *rollcallv1.ConsistencyRequest) (*rollcallv1.ConsistencyReply, error) {
	if req.GetFrom() > req.GetTo() {
		return nil, status.Error(codes.InvalidArgument, "a log does not shrink: want from at most to")
	}
	reply := &rollcallv1.ConsistencyReply{}
	err := s.log(ctx, func(v evidence.View) error {
		p, err := v.Consistency(req.GetTo(), req.GetFrom())
		reply.Hashes = evidence.FromHashes(p)
		return err
	})
	return reply, err
}

// Inclusion proves that a leaf is in the log of one size.
func (s *Service) Inclusion(ctx context.Context, req *rollcallv1.InclusionRequest) (*rollcallv1.InclusionReply, error) {
	if req.GetIndex() >= req.GetSize() {
		return nil, status.Error(codes.InvalidArgument, "want an index below the size")
	}
	reply := &rollcallv1.InclusionReply{}
	err := s.log(ctx, func(v evidence.View) (err error) {
		p, err := v.Inclusion(req.GetSize(), req.GetIndex())
		if err != nil {
			return err
		}
		reply.Hashes = evidence.FromHashes(p)
		reply.Leaf, err = v.Leaf(req.GetIndex())
		return err
	})
	return reply, err
}

// Leaves gives leaves in their order, without what explains them.
func (s *Service) Leaves(ctx context.Context, req *rollcallv1.LeavesRequest) (*rollcallv1.LeavesReply, error) {
	limit := int(req.GetLimit())
	if limit == 0 || limit > maxLeaves {
		limit = maxLeaves
	}
	reply := &rollcallv1.LeavesReply{}
	err := s.log(ctx, func(v evidence.View) (err error) {
		if reply.Size, err = v.Size(); err != nil {
			return err
		}
		for l, err := range v.Leaves(req.GetFrom(), limit) {
			if err != nil {
				return err
			}
			reply.Leaves = append(reply.Leaves, append([]byte(nil), l.Leaf...))
		}
		return nil
	})
	return reply, err
}

// Cosign keeps what a witness has cosigned. That a witness is new is a leaf; each
// further checkpoint is none, or the log would grow by being watched.
func (s *Service) Cosign(ctx context.Context, req *rollcallv1.CosignRequest) (*rollcallv1.CosignReply, error) {
	w, err := evidence.ParseWitness(req.GetKey())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	err = s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		isNew, err := evidence.In(tx, s.Tenant).PutCosigned(s.Now(), s.Proofs.Verifier, w, req.GetNote())
		if err != nil || !isNew {
			return nothing, err
		}
		return evidence.Entry{Kind: evidence.Policy, Detail: map[string]string{"do": "witness", "key": w.String()}}, nil
	})
	if errors.Is(err, evidence.ErrFork) {
		s.Log.Error("a witness holds a checkpoint that this log does not lead to", "witness", w.Name(), "err", err)
	}
	return &rollcallv1.CosignReply{}, err
}

// logStatus tells how the log is.
func (s *Service) logStatus(r store.Reader, reply *rollcallv1.StatusReply) error {
	v := evidence.At(r, s.Tenant)
	size, err := v.Size()
	if err != nil {
		return err
	}
	signed, err := v.Checkpoint()
	if err != nil {
		return err
	}
	reply.LogSize, reply.CheckpointMs = size, signed.At
	if signed.Note != nil {
		c, _, err := evidence.OpenCheckpoint(signed.Note, s.Proofs.Verifier)
		if err != nil {
			reply.Warnings = append(reply.Warnings, "the evidence log: "+err.Error())
		}
		reply.CheckpointSize = c.Size
	}
	if err := s.Proofs.Trouble(); err != nil {
		reply.Warnings = append(reply.Warnings, "the evidence log: "+err.Error())
	}
	all, err := v.Witnessed()
	for _, w := range all {
		reply.WitnessMs = max(reply.WitnessMs, w.At)
		k, err := evidence.ParseWitness(w.Key)
		if err != nil {
			return err
		}
		reply.Witnesses = append(reply.Witnesses, k.Name())
		if silent := s.Now().Sub(time.UnixMilli(w.At)); silent > silentWitness {
			reply.Warnings = append(reply.Warnings, fmt.Sprintf("witness %s has been silent for %d days", k.Name(), int(silent.Hours()/24)))
		}
	}
	return err
}
