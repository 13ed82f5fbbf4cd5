package api

import (
	"context"
	"fmt"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/likeness"
	"rollcall/server/store"
)

// mostCandidates bounds the answer of Same.
const mostCandidates = 10

// Same weighs whether two CIs are one machine, or finds those that may be the same as
// one.
func (s *Service) Same(ctx context.Context, req *rollcallv1.SameRequest) (*rollcallv1.SameReply, error) {
	reply := &rollcallv1.SameReply{}
	err := s.view(ctx, func(r store.Reader, items cmdb.View) error {
		me, err := s.subjectAt(r, items, req.GetCi(), time.Time{})
		if err != nil {
			return err
		}
		if reply.Item, err = s.summary(me); err != nil {
			return err
		}
		known := &resembling{s: s, ctx: ctx, items: items}
		if req.GetOther() != "" {
			other, err := items.CI(req.GetOther())
			if err != nil {
				return err
			}
			j, err := s.judged(r, known, me.ci, other)
			if err != nil {
				return err
			}
			one, err := s.wireLikeness(items, counterpart{other, j})
			reply.Others = append(reply.Others, one)
			return err
		}
		return s.candidates(r, known, me.ci, req.GetLimit(), reply)
	})
	return reply, err
}

// candidates adds the CIs that are most like one.
func (s *Service) candidates(r store.Reader, known *resembling, me cmdb.CI, limit uint32, reply *rollcallv1.SameReply) error {
	facts, err := identifying(known.items, me.State)
	if err != nil {
		return err
	}
	all, err := known.candidates(me.ID, facts)
	if err != nil {
		return err
	}
	if limit == 0 || limit > mostAlike {
		limit = mostCandidates
	}
	for _, a := range all {
		if len(reply.Others) == int(limit) {
			reply.Notes = append(reply.Notes, fmt.Sprintf("%d more have something in common with it", len(all)-int(limit)))
			break
		}
		if a.Judgement, err = s.judged(r, known, me, a.ci); err != nil {
			return err
		}
		one, err := s.wireLikeness(known.items, a)
		if err != nil {
			return err
		}
		reply.Others = append(reply.Others, one)
	}
	return nil
}

// judged weighs two CIs by their facts and by the keys that spoke for them. One that
// was merged has no facts: what it had then counts.
func (s *Service) judged(r store.Reader, known *resembling, a, b cmdb.CI) (likeness.Judgement, error) {
	if a.ID == b.ID {
		return likeness.Judgement{}, fmt.Errorf("CI %s with itself: %w", a.Name, cmdb.ErrInvalid)
	}
	var traits [2][]likeness.Trait
	for i, ci := range []cmdb.CI{a, b} {
		state := ci.State
		if ci.Into() != "" {
			last, err := known.items.Revision(ci.ID, ci.Rev)
			if err != nil {
				return likeness.Judgement{}, err
			}
			state = last.Prev
		}
		facts, err := identifying(known.items, state)
		if err != nil {
			return likeness.Judgement{}, err
		}
		traits[i] = likeness.Of(facts)
	}
	keys, err := s.keyPieces(r, a, b)
	if err != nil {
		return likeness.Judgement{}, err
	}
	return likeness.Judge(traits[0], traits[1], known.count, keys...)
}

// keyPieces tells what the keys of two CIs say: one machine has one key. Where the
// earlier one was heard of after the later one was admitted, two machines speak.
func (s *Service) keyPieces(r store.Reader, a, b cmdb.CI) ([]likeness.Piece, error) {
	keys := enrol.At(r, s.Tenant)
	first, ok, err := keys.KeyOf(a.ID)
	if err != nil || !ok {
		return nil, err
	}
	second, ok, err := keys.KeyOf(b.ID)
	if err != nil || !ok {
		return nil, err
	}
	earlier, since := a.ID, second.Decided
	if first.Decided.After(second.Decided) {
		earlier, since = b.ID, first.Decided
	}
	p := likeness.Piece{Kind: likeness.Key, Value: first.ID, Other: second.ID, Points: 1, Why: "the one fell silent before the key of the other was admitted"}
	if s.Presence.Last(earlier).After(since) {
		p.Points, p.Why = -8, "both have spoken since "+since.UTC().Format(time.DateOnly)+", each with a key of its own"
	}
	return []likeness.Piece{p}, nil
}

func (s *Service) wireLikeness(items cmdb.View, a counterpart) (*rollcallv1.Likeness, error) {
	sum, err := s.summary(&subject{s: s, items: items, head: a.ci, ci: a.ci})
	out := &rollcallv1.Likeness{Item: sum, Verdict: string(a.Verdict), Points: int32(a.Points), Sentence: a.Sentence()}
	for _, p := range a.Pieces {
		out.Pieces = append(out.Pieces, &rollcallv1.LikenessPiece{Kind: string(p.Kind), Value: p.Value, Other: p.Other, Points: int32(p.Points), Why: p.Why})
	}
	return out, err
}
