package api

import (
	"bytes"
	"context"
	"fmt"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/ingest"
	"rollcall/server/store"
)

// Rotate lets an agent replace its own key. The connection is one of the old key
// or, where the answer was lost, of the new one: both signed the statement.
func (s *Service) Rotate(ctx context.Context, req *rollcallv1.RotateRequest) (*rollcallv1.RotateReply, error) {
	caller := identity.IDOf(callerOf(ctx).key)
	r, err := identity.OpenRotation(req.GetStatement())
	if err != nil {
		return nil, err
	}
	if caller != r.Old && caller != identity.IDOf(r.New) {
		return nil, fmt.Errorf("rotate key %s over a connection of key %s: %w", r.Old, caller, ingest.ErrKey)
	}
	if !bytes.Equal(r.Realm, s.realm()) {
		return nil, fmt.Errorf("rotate key %s: %w", r.Old, ingest.ErrRealm)
	}
	var key enrol.Key
	err = s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		w := enrol.In(tx, s.Tenant, cmdb.In(tx, s.Tenant, cmdb.Everywhere))
		_, again, err := w.Known(identity.IDOf(r.New))
		if err != nil {
			return nothing, err
		}
		if key, err = w.Rotate(s.Now(), req.GetStatement()); err != nil || again {
			return nothing, err
		}
		e := OfKey(evidence.Rotate, key)
		e.By = "key " + r.Old.String()
		return e, nil
	})
	if err != nil {
		return nil, err
	}
	s.Log.Info("key rotated", "old", r.Old.String(), "key", key.ID, "ci", key.CI)
	return &rollcallv1.RotateReply{Ci: key.CI, KeyId: key.ID}, nil
}

// realm names the installation: it is the same whatever key the server has now.
func (s *Service) realm() []byte { return s.Ingest.RealmID() }
