package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Status tells how the server is.
func (s *Service) Status(ctx context.Context, _ *rollcallv1.StatusRequest) (*rollcallv1.StatusReply, error) {
	who := callerOf(ctx).operator
	pin, err := identity.PinOf(identity.Public(s.Key))
	if err != nil {
		return nil, err
	}
	reply := &rollcallv1.StatusReply{
		Version: s.Version, StartedMs: millis(s.Started), NowMs: millis(s.Now()), ServerPin: pin,
		StoreBytes: uint64(s.Size()), Presence: map[string]uint64{}, Operator: who.Name, Role: auth.Words(who.Grants),
	}
	cloned := 0
	err = s.view(ctx, func(r store.Reader, items cmdb.View) error {
		standing, err := s.standing(items)
		if err != nil {
			return err
		}
		reply.Items, reply.Presence, cloned = standing.items, standing.presence, standing.cloned
		waiting, err := enrol.At(r, s.Tenant).Waiting()
		if err != nil {
			return err
		}
		if waiting, err = keysIn(items, waiting); err != nil {
			return err
		}
		reply.Pending = uint64(len(waiting))
		if err := s.logStatus(r, reply); err != nil {
			return err
		}
		reply.Revisions, err = items.Count()
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.warnOfGlass(ctx, reply); err != nil {
		return nil, err
	}
	n, stopped := s.Mirror.Backlog(ctx)
	reply.MirrorBacklog = n
	if stopped != nil {
		reply.MirrorError = "an operator of all sites sees why" // it names machines
		if callerOf(ctx).scope.All() {
			reply.MirrorError = stopped.Error()
		}
	}
	if stopped != nil && !errors.Is(stopped, store.ErrReadOnly) { // which is said below
		reply.Warnings = append(reply.Warnings, "the git mirror has stopped: "+reply.MirrorError)
	}
	s.tellCondition(reply)
	if cloned > 0 {
		reply.Warnings = append(reply.Warnings, fmt.Sprintf("keys that speak from two places: %d: rollcall find 'cloned = yes'", cloned))
	}
	if err := s.tellIndex(ctx, reply); err != nil {
		return nil, err
	}
	reply.Warnings = append(reply.Warnings, s.Warnings...)
	return reply, nil
}

// Pending lists the keys that wait for a decision, or all keys.
func (s *Service) Pending(ctx context.Context, req *rollcallv1.PendingRequest) (*rollcallv1.PendingReply, error) {
	reply := &rollcallv1.PendingReply{}
	err := s.view(ctx, func(r store.Reader, items cmdb.View) error {
		v := enrol.At(r, s.Tenant)
		keys, err := v.Waiting()
		if req.GetAll() {
			keys, err = v.Keys("")
		}
		if err != nil {
			return err
		}
		if keys, err = keysIn(items, keys); err != nil {
			return err
		}
		known := &resembling{s: s, ctx: ctx, items: items}
		for _, k := range keys {
			i, err := keyInfo(items, k, known)
			if err != nil {
				return err
			}
			reply.Keys = append(reply.Keys, i)
		}
		return nil
	})
	slices.SortFunc(reply.Keys, func(a, b *rollcallv1.KeyInfo) int { return cmp.Compare(a.GetAskedMs(), b.GetAskedMs()) })
	return reply, err
}

// Approve admits a waiting machine.
func (s *Service) Approve(ctx context.Context, req *rollcallv1.DecideRequest) (*rollcallv1.DecideReply, error) {
	return s.decide(ctx, req, evidence.Approve, enrol.Pending, func(tx store.Tx, w enrol.Writer, id, by string) (enrol.Key, error) {
		items := s.items(ctx, tx)
		ci := req.GetCi()
		if ci != "" {
			head, err := items.Resolve(ci)
			if err != nil {
				return enrol.Key{}, err
			}
			ci = head.ID
		}
		k, err := w.Approve(s.Now(), id, by, ci, req.GetSite(), req.GetClass())
		if callerOf(ctx).glass == nil || !errors.Is(err, enrol.ErrSecondPerson) && (err != nil || k.State != enrol.Pending) {
			return k, err
		}
		// A server, and one person who says why: she stands for both.
		if err := s.twoPeople(ctx, twice{what: "admit server " + cmp.Or(k.Hostname, id)}); err != nil {
			return k, err
		}
		return w.Approve(s.Now(), id, by+", alone", ci, req.GetSite(), req.GetClass())
	})
}

// Refuse turns a waiting machine away.
func (s *Service) Refuse(ctx context.Context, req *rollcallv1.DecideRequest) (*rollcallv1.DecideReply, error) {
	return s.decide(ctx, req, evidence.Refuse, enrol.Pending, func(_ store.Tx, w enrol.Writer, id, by string) (enrol.Key, error) {
		return w.Refuse(s.Now(), id, by, req.GetReason())
	})
}

// Revoke ends an enrolled key.
func (s *Service) Revoke(ctx context.Context, req *rollcallv1.DecideRequest) (*rollcallv1.DecideReply, error) {
	return s.decide(ctx, req, evidence.Revoke, enrol.Enrolled, func(_ store.Tx, w enrol.Writer, id, by string) (enrol.Key, error) {
		return w.Revoke(s.Now(), id, by, req.GetReason())
	})
}

type decision func(tx store.Tx, w enrol.Writer, id, by string) (enrol.Key, error)

func (s *Service) decide(ctx context.Context, req *rollcallv1.DecideRequest, kind evidence.Kind, state enrol.State, do decision) (*rollcallv1.DecideReply, error) {
	by := "operator " + callerOf(ctx).operator.Name
	var id string
	err := s.view(ctx, func(r store.Reader, items cmdb.View) (err error) {
		id, err = findKey(enrol.At(r, s.Tenant), items, req.GetKey(), state)
		return err
	})
	if err != nil {
		return nil, err
	}
	var key enrol.Key
	err = s.act(ctx, func(tx store.Tx) (_ evidence.Entry, err error) {
		key, err = do(tx, enrol.In(tx, s.Tenant, s.items(ctx, tx)), id, by)
		return OfKey(kind, key), err
	})
	if err != nil {
		return nil, err
	}
	s.Log.Info("key decided", "key", key.ID, "state", key.State, "by", by, "ci", key.CI)
	reply := &rollcallv1.DecideReply{}
	err = s.view(ctx, func(_ store.Reader, items cmdb.View) (err error) {
		reply.Key, err = keyInfo(items, key, nil)
		return err
	})
	return reply, err
}

// keysLike reads the keys that can be meant: one that is named by its whole id costs
// the same however many there are, and one that waits only more where many wait.
func keysLike(v enrol.View, what string, state enrol.State) ([]enrol.Key, error) {
	if id, err := identity.ParseKeyID(strings.ToLower(what)); err == nil {
		k, ok, err := v.Any(id.String())
		if ok {
			return []enrol.Key{k}, err
		}
		return nil, err
	}
	if state == enrol.Pending {
		return v.Waiting()
	}
	return v.Keys("")
}

// findKey finds the one key that is meant by the beginning of an id, a host name
// or a CI, and that is in the state that the decision is about.
func findKey(v enrol.View, items cmdb.View, what string, state enrol.State) (string, error) {
	if what == "" {
		return "", status.Error(codes.InvalidArgument, "name a key, a host name or a CI")
	}
	keys, err := keysLike(v, what, state)
	if err != nil {
		return "", err
	}
	if keys, err = keysIn(items, keys); err != nil {
		return "", err
	}
	ci, err := items.CI(what)
	if err != nil {
		ci = cmdb.CI{} // it is no CI's name: that is usual here
	}
	var found []enrol.Key
	for _, k := range keys {
		if k.State == state && (strings.HasPrefix(k.ID, strings.ToLower(what)) || k.Hostname == what || k.CI != "" && k.CI == ci.ID) {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 0:
		return "", status.Errorf(codes.NotFound, "no %s key is meant by %.80q: see rollcall enrol pending --all", state, what)
	case 1:
		return found[0].ID, nil
	}
	return "", status.Errorf(codes.FailedPrecondition, "%.80q means %d %s keys: name one by its id, see rollcall enrol pending --all", what, len(found), state)
}
