package api

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"rollcall/internal/fact"
	"rollcall/internal/failpoint"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// revokeAtOnce is how many keys one transaction ends: each writes about a dozen
// records, and reports share the lane.
const revokeAtOnce = 25

// RevokeMany ends the keys of machines that were shown by Revocable and still fit
// the filter: of one alone, of more when a second person confirms. Who has come to
// fit since is not among them. What has begun is completed by GoOnRevoking, if not
// here.
func (s *Service) RevokeMany(ctx context.Context, req *rollcallv1.RevokeManyRequest) (*rollcallv1.RevokeManyReply, error) {
	reason := fact.Value(fact.Cut(strings.TrimSpace(req.GetReason()), maxReason))
	if reason == "" {
		return nil, status.Error(codes.InvalidArgument, "revoke many keys: give a reason: it stays in the log")
	}
	c := callerOf(ctx)
	shown, found, err := s.shown(ctx, req)
	switch {
	case err != nil:
		return nil, err
	case c.second != nil:
	case len(found.all) == 0:
		return nil, status.Error(codes.NotFound, "none of the machines that were shown has a key and fits the filter any more")
	case len(found.all) == 1:
		_, err := s.Revoke(ctx, &rollcallv1.DecideRequest{Key: found.all[0].key.ID, Reason: reason})
		return &rollcallv1.RevokeManyReply{Id: c.request, Of: uint32(len(shown)), Revoked: 1, Gone: uint32(len(shown) - 1)}, err
	}
	list := found.keys()
	if err := enrol.PutKeys(ctx, s.Writer, s.Tenant, list); err != nil {
		return nil, err
	}
	if c.second == nil {
		digest := list.Digest()
		err := s.twoPeople(ctx, twice{
			site: found.above(), what: found.words(req.GetFilter(), reason),
			req: &rollcallv1.RevokeManyRequest{Filter: req.GetFilter(), Reason: reason, List: digest[:]},
		})
		if err != nil {
			return nil, err
		}
	}
	id, err := s.beginMany(ctx, req.GetFilter(), reason, shown, found)
	if err != nil {
		return nil, err
	}
	m, err := s.revokeAll(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("revocation %s has begun and goes on by itself: %w", id, err)
	}
	return s.wireMany(ctx, m)
}

// shown gives the keys that whoever decided was shown, and of these the machines
// that can be ended now.
func (s *Service) shown(ctx context.Context, req *rollcallv1.RevokeManyRequest) (shown enrol.KeyList, found revocables, err error) {
	second := callerOf(ctx).second
	if second == nil && (len(req.GetList()) > 0 || len(req.GetKeys()) == 0) {
		return nil, found, status.Error(codes.InvalidArgument, "revoke many keys: send the keys that Revocable showed")
	}
	err = s.view(ctx, func(r store.Reader, items cmdb.View) (err error) {
		found = revocables{}
		if second == nil {
			if shown, err = enrol.ParseKeys(req.GetKeys()); err == nil {
				found, err = s.fitting(ctx, r, items, req.GetFilter())
			}
			found.keep(func(m revocable) bool { return shown.Has(m.key.ID) })
			return err
		}
		if shown, err = enrol.At(r, s.Tenant).KeyList(fact.Digest(req.GetList())); err == nil {
			found.all, err = s.listed(r, items, req.GetList())
		}
		found.keep(func(m revocable) bool { return m.key.State == enrol.Enrolled && second.scope.Sees(m.ci.Site) })
		return err
	})
	return shown, found, err
}

// beginMany writes down what will be ended, in one transaction with the leaf that
// tells so and the end of the proposal.
func (s *Service) beginMany(ctx context.Context, filter, reason string, shown enrol.KeyList, found revocables) (id string, err error) {
	c, list := callerOf(ctx), found.keys()
	digest := list.Digest()
	m := enrol.Many{
		ID: cmp.Or(c.request, newID()), List: hex.EncodeToString(digest[:]), Keys: len(list), Of: len(shown), By: "operator " + c.operator.Name,
		Reason: reason, Detail: c.deed(), Begun: s.Now(),
	}
	there := map[string]bool{}
	for _, f := range found.all {
		there[f.shown] = true
	}
	for _, key := range shown {
		if !there[key.String()] {
			m.Leave(key.String())
		}
	}
	err = s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		e := ofMany("begun", m)
		tell(&e, "filter", filter)
		return e, enrol.In(tx, s.Tenant, s.items(ctx, tx)).PutMany(m)
	})
	return m.ID, err
}

// ofMany tells of the whole; the leaf of each key names it.
func ofMany(did string, m enrol.Many) evidence.Entry {
	list, _ := hex.DecodeString(m.List) // as beginMany wrote it
	e := evidence.Entry{Kind: evidence.RevokeMany, By: m.By, Subject: list, Detail: map[string]string{
		"do": did, "many": m.ID, "machines": strconv.Itoa(m.Of), "keys": strconv.Itoa(m.Keys), "reason": m.Reason,
	}}
	if did == "ended" {
		maps.Copy(e.Detail, m.Detail)
		tell(&e, "revoked", strconv.Itoa(m.Revoked))
		tell(&e, "gone", strconv.Itoa(m.Gone))
		tell(&e, "failed", strconv.Itoa(m.Failed))
	}
	return e
}

// revokeAll completes what beginMany has written down. Two that do so at once
// share the work: each transaction takes the next keys.
func (s *Service) revokeAll(ctx context.Context, id string) (m enrol.Many, err error) {
	var list enrol.KeyList
	err = s.view2(ctx, func(v enrol.View) error {
		m, list, err = v.Begun(id)
		return err
	})
	most, alone := revokeAtOnce, 0 // keys in a transaction; how many more one by one
	for err == nil && m.Ended.IsZero() {
		failpoint.Hit(failpoint.RevokeMany)
		m, err = s.revokeSome(ctx, id, list, most)
		switch unreadable := errors.Is(err, store.ErrCorrupt) || errors.Is(err, cmdb.ErrNotFound); {
		case unreadable && most > 1: // which one it is shows one by one
			most, alone, err = 1, revokeAtOnce, nil
		case unreadable:
			s.Log.Error("a key cannot be revoked with the others", "revocation", id, "key", list[m.Next].String(), "err", err)
			m, err = s.revokeSome(ctx, id, list, 0)
		case alone > 1:
			alone--
		default:
			most = revokeAtOnce
		}
	}
	if err == nil {
		s.Log.Info("keys revoked", "revocation", m.ID, "by", m.By, "revoked", m.Revoked, "gone", m.Gone, "failed", m.Failed)
	}
	return m, err
}

// revokeSome ends the next keys of a list and closes their connections; 0 leaves
// out the next one.
func (s *Service) revokeSome(ctx context.Context, id string, list enrol.KeyList, most int) (m enrol.Many, err error) {
	var ended []enrol.Key
	err = store.UpdateAgain(ctx, s.Writer, func(plain store.Tx) (err error) {
		tx := watching(plain, s.Tenant)
		w, log := enrol.In(tx, s.Tenant, cmdb.In(tx, s.Tenant, cmdb.Everywhere)), evidence.In(tx, s.Tenant)
		if m, _, err = w.Many(id); err != nil || !m.Ended.IsZero() {
			return err
		}
		before := m
		if most == 0 && !m.Done() {
			m.Skip(list)
		}
		now, err := w.RevokeSome(s.Now(), &m, list, most)
		if err != nil {
			m = before
			return err
		}
		ended = append(ended, now...) // of each run: one that was not committed connects again
		for _, k := range now {
			e := OfKey(evidence.Revoke, k)
			e.By = m.By
			maps.Copy(e.Detail, m.Detail)
			tell(&e, "many", m.ID)
			if e.Changes, err = tx.changes("key/" + k.ID); err != nil {
				return err
			}
			if _, err := log.Append(s.Now(), e); err != nil {
				return err
			}
		}
		if m.Done() {
			m.Ended = s.Now()
			if _, err := log.Append(m.Ended, ofMany("ended", m)); err != nil {
				return err
			}
		}
		return w.PutMany(m)
	})
	for _, k := range ended {
		if s.Doors != nil {
			s.Doors.Ended(k.ID)
		}
	}
	return m, err
}

// GoOnRevoking completes what a crash, or a caller who went away, has cut short.
func (s *Service) GoOnRevoking(ctx context.Context) error {
	var all []enrol.Many
	err := s.view2(ctx, func(v enrol.View) (err error) {
		all, err = v.Many()
		return err
	})
	for _, m := range all {
		if err == nil && m.Ended.IsZero() {
			_, err = s.revokeAll(ctx, m.ID)
		}
	}
	return err
}

// wireMany tells the caller what became of it, with the machines that she sees.
func (s *Service) wireMany(ctx context.Context, m enrol.Many) (*rollcallv1.RevokeManyReply, error) {
	reply := &rollcallv1.RevokeManyReply{Id: m.ID, Of: uint32(m.Of), Revoked: uint32(m.Revoked), Gone: uint32(m.Gone), Failed: uint32(m.Failed)}
	err := s.view(ctx, func(r store.Reader, items cmdb.View) error {
		reply.Left = nil
		for _, id := range m.Left {
			k, _, err := enrol.At(r, s.Tenant).Newest(id)
			if err != nil {
				return err
			}
			ci, err := items.CI(k.CI)
			if errors.Is(err, cmdb.ErrNotFound) {
				ci, err = cmdb.CI{}, nil // moved out of the caller's sites, or erased
			}
			if err != nil {
				return err
			}
			reply.Left = append(reply.Left, s.wireRevocable(revocable{enrol.Key{ID: id, State: k.State}, ci, id}))
		}
		return nil
	})
	return reply, err
}

// KeyLists names the lists of keys that something refers to: a revocation that was
// begun, or a proposal.
func KeyLists(r store.Reader, tenant string) ([]fact.Digest, error) {
	begun, err := enrol.At(r, tenant).Many()
	if err != nil {
		return nil, err
	}
	var all []fact.Digest
	for _, m := range begun {
		if b, err := hex.DecodeString(m.List); err == nil && len(b) == len(fact.Digest{}) {
			all = append(all, fact.Digest(b))
		}
	}
	proposed, err := proposedLists(r, tenant)
	return append(all, proposed...), err
}

func proposedLists(r store.Reader, tenant string) (all []fact.Digest, err error) {
	known, err := auth.Proposals(r, tenant)
	for _, p := range known {
		var req rollcallv1.RevokeManyRequest
		if p.Method != rollcallv1.Keys_RevokeMany_FullMethodName {
			continue
		}
		if err := proto.Unmarshal(p.Request, &req); err != nil {
			return nil, fmt.Errorf("proposal %s: %w", p.ID, err)
		}
		if len(req.GetList()) == len(fact.Digest{}) {
			all = append(all, fact.Digest(req.GetList()))
		}
	}
	return all, err
}
