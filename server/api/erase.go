package api

import (
	"cmp"
	"context"
	"strings"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Eraser removes a CI for good.
type Eraser interface {
	// Erase does what BeginErasure has written down. It may be called again after
	// an error.
	Erase(ctx context.Context, job cmdb.Erasure) (Erased, error)
}

// Erased counts what is gone.
type Erased struct{ Revisions, Contents, Leaves int }

// maxWhy bounds the reason of an erasure, in bytes.
const maxWhy = 500

// Erase removes a CI for good. That, and why, is a leaf of the log before it
// begins; its key is ended with that, so that nothing new comes meanwhile.
func (s *Service) Erase(ctx context.Context, req *rollcallv1.EraseRequest) (*rollcallv1.EraseReply, error) {
	reason := fact.Value(strings.TrimSpace(req.GetReason()))
	if reason == "" || len(reason) > maxWhy {
		return nil, status.Errorf(codes.InvalidArgument, "erase: give a reason of at most %d bytes: it stays in the log", maxWhy)
	}
	var ci cmdb.CI
	var key enrol.Key
	var speaks bool
	err := s.view(ctx, func(r store.Reader, items cmdb.View) (err error) {
		if ci, err = items.CI(req.GetCi()); err == nil {
			err = ci.Apart()
		}
		if err != nil {
			return err
		}
		key, speaks, err = enrol.At(r, s.Tenant).KeyOf(ci.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.twoPeople(ctx, twice{
		site: ci.Site, what: "erase CI " + ci.ID + " (" + cmp.Or(ci.Class, "of no class") + " at " + cmp.Or(ci.Site, "no site") + ") with all its history: " + reason,
		req: &rollcallv1.EraseRequest{Ci: ci.ID, Reason: reason},
	}); err != nil {
		return nil, err
	}
	job := cmdb.Erasure{CI: ci.ID, By: "operator " + callerOf(ctx).operator.Name, At: s.Now().UTC()}
	err = s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		items := s.items(ctx, tx)
		if _, err := items.CI(ci.ID); err != nil {
			return nothing, err
		}
		e := evidence.Entry{Kind: evidence.Purge, CI: ci.ID, Detail: map[string]string{"do": "erase", "reason": reason}}
		if speaks {
			if _, err := enrol.In(tx, s.Tenant, items).Revoke(s.Now(), key.ID, job.By, "its CI is erased"); err != nil {
				return nothing, err
			}
			e.Key, e.Ends = key.ID, key.ID
		}
		return e, items.BeginErasure(job)
	})
	if err != nil {
		return nil, err
	}
	done, err := s.Eraser.Erase(ctx, job)
	if err != nil {
		return nil, err
	}
	s.Log.Info("CI erased", "ci", ci.ID, "by", job.By, "revisions", done.Revisions, "contents", done.Contents)
	return &rollcallv1.EraseReply{Ci: ci.ID, Revisions: uint32(done.Revisions), Contents: uint32(done.Contents), Leaves: uint32(done.Leaves)}, nil
}
