package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
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

const (
	defaultTokenHours = 24
	defaultSeats      = 500
	maxTokenName      = 200 // bytes: a token is one word of a command line
)

// NewToken mints an enrolment token.
func (s *Service) NewToken(ctx context.Context, req *rollcallv1.NewTokenRequest) (*rollcallv1.NewTokenReply, error) {
	if len(req.GetName()) > maxTokenName {
		return nil, status.Errorf(codes.InvalidArgument, "the token's name is longer than %d bytes", maxTokenName)
	}
	if len(s.Addresses) == 0 && s.SRV == "" {
		return nil, status.Error(codes.FailedPrecondition, "the server does not know its own address: set address in server.conf")
	}
	secret := identity.NewSecret()
	who := callerOf(ctx).operator
	t := newToken(req, who.Name, secret, s.Now())
	waits := t.Approve
	err := s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		items, where := s.items(ctx, tx), req.GetSite()
		if req.GetCi() != "" {
			ci, err := items.Resolve(req.GetCi())
			if err != nil {
				return evidence.Entry{}, err
			}
			t.CI, where = ci.ID, ci.Site
		}
		if req.GetImage() != "" {
			ci, err := items.Resolve(req.GetImage())
			if err != nil {
				return evidence.Entry{}, err
			}
			t.Image = ci.ID
		}
		// Who may not admit machines makes tokens that wait for who may.
		t.Approve = waits || !cmdb.Within(who.Sites(auth.Approver)...).Sees(where)
		kept, err := enrol.In(tx, s.Tenant, items).AddToken(t)
		return ofToken("made", kept), err
	})
	if err != nil {
		return nil, err
	}
	text, err := s.token(t.ID, secret, identity.EnrolPrefix, func(full *identity.Token) {
		full.Site, full.Class, full.CI, full.Name, full.Expiry = t.Site, t.Class, t.CI, t.Name, t.Expires.UTC().Truncate(time.Second)
		full.Public = t.Kind == enrol.Netboot
	})
	return &rollcallv1.NewTokenReply{Token: text, Id: t.ID, ExpiresMs: millis(t.Expires)}, err
}

// newToken is what an operator asks for; whether it may be is for enrol to say.
func newToken(req *rollcallv1.NewTokenRequest, by string, secret []byte, now time.Time) enrol.Token {
	hours := cmp.Or(req.GetValidHours(), defaultTokenHours)
	t := enrol.Token{
		ID: hex.EncodeToString(identity.NewSecret()[:8]), Hash: identity.HashSecret(secret), Kind: enrol.Kind(req.GetKind()),
		Site: req.GetSite(), Class: req.GetClass(), Name: fact.Value(req.GetName()), By: by, Created: now,
		Expires: now.Add(time.Duration(min(hours, 1<<20)) * time.Hour), Approve: req.GetNeedsApproval(),
		Nets: req.GetNets(), Uses: int(min(req.GetUses(), 1<<20)),
	}
	switch t.Kind {
	case enrol.Netboot:
		t.Uses = cmp.Or(t.Uses, defaultSeats)
	case enrol.Batch:
		t.Approve = t.Approve || len(t.Nets) == 0
	}
	return t
}

// token writes a token that leads to this server.
func (s *Service) token(id string, secret []byte, prefix string, more func(*identity.Token)) (string, error) {
	pub := identity.Public(s.Key)
	pin, err := identity.PinOf(pub)
	if err != nil {
		return "", err
	}
	urls := s.Addresses
	if prefix == identity.EnrolPrefix && s.SRV != "" {
		urls = []string{s.SRV}
	}
	t := identity.Token{ID: id, URLs: urls, Pins: []string{pin}, Secret: secret, Server: pub}
	next, err := s.NextPin()
	if err != nil {
		return "", err
	}
	if next != "" {
		t.Pins = append(t.Pins, next)
	}
	if realm := s.realm(); !bytes.Equal(realm, identity.RealmOf(pub)) {
		t.Realm = realm // an earlier key founded it
	}
	if more != nil {
		more(&t)
	}
	return t.Encode(prefix)
}

// Tokens lists the tokens that still admit, the newest first, or all of them.
func (s *Service) Tokens(ctx context.Context, req *rollcallv1.TokensRequest) (*rollcallv1.TokensReply, error) {
	reply := &rollcallv1.TokensReply{}
	err := s.view(ctx, func(r store.Reader, items cmdb.View) error {
		reply.Tokens = nil
		all, err := s.tokensIn(r, items)
		if err != nil {
			return err
		}
		for _, t := range all {
			if !req.GetAll() && t.Standing(s.Now()) != "good" {
				continue
			}
			i, err := s.tokenInfo(items, t)
			if err != nil {
				return err
			}
			reply.Tokens = append(reply.Tokens, i)
		}
		return nil
	})
	return reply, err
}

// tokensIn returns the tokens that the caller's scope sees: those for CIs in it,
// and those without a CI that admit at one of its sites.
func (s *Service) tokensIn(r store.Reader, items cmdb.View) ([]enrol.Token, error) {
	all, err := enrol.At(r, s.Tenant).Tokens()
	if err != nil {
		return nil, err
	}
	var in []enrol.Token
	for _, t := range all {
		sees, err := seesOne(items, t.CI, t.Site)
		if err != nil {
			return nil, err
		}
		if sees {
			in = append(in, t)
		}
	}
	slices.SortFunc(in, func(a, b enrol.Token) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID)) })
	return in, nil
}

func (s *Service) tokenInfo(items cmdb.View, t enrol.Token) (*rollcallv1.TokenInfo, error) {
	i := &rollcallv1.TokenInfo{
		Id: t.ID, Kind: string(t.KindOf()), Name: t.Name, Site: t.Site, Class: t.Class, Ci: t.CI, Standing: t.Standing(s.Now()),
		Uses: uint32(max(t.Uses, 1)), Used: uint32(t.Used), Nets: t.Nets, NeedsApproval: t.Approve, By: t.By,
		CreatedMs: millis(t.Created), ExpiresMs: millis(t.Expires), UsedMs: millis(t.UsedAt), UsedBy: t.UsedBy, WithdrawnBy: t.WithdrawnBy, Image: t.Image,
	}
	if t.CI != "" {
		ci, err := items.CI(t.CI)
		if err != nil {
			return nil, err
		}
		i.CiName = ci.Name
	}
	return i, nil
}

// Withdraw ends a token.
func (s *Service) Withdraw(ctx context.Context, req *rollcallv1.WithdrawRequest) (*rollcallv1.WithdrawReply, error) {
	var id string
	err := s.view(ctx, func(r store.Reader, items cmdb.View) error {
		all, err := s.tokensIn(r, items)
		if err != nil {
			return err
		}
		id, err = findToken(all, req.GetToken(), s.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	var t enrol.Token
	err = s.act(ctx, func(tx store.Tx) (_ evidence.Entry, err error) {
		t, err = enrol.In(tx, s.Tenant, s.items(ctx, tx)).Withdraw(s.Now(), id, callerOf(ctx).operator.Name)
		return ofToken("withdrawn", t), err
	})
	if err != nil {
		return nil, err
	}
	reply := &rollcallv1.WithdrawReply{}
	err = s.view(ctx, func(_ store.Reader, items cmdb.View) (err error) {
		reply.Token, err = s.tokenInfo(items, t)
		return err
	})
	return reply, err
}

// findToken finds the one token that is meant by the beginning of an id or by a
// name; those that admit nobody any more are meant only if no other is.
func findToken(all []enrol.Token, what string, now time.Time) (string, error) {
	if what == "" {
		return "", status.Error(codes.InvalidArgument, "name a token by its id, the beginning of it, or its name")
	}
	var good, spent []string
	for _, t := range all {
		switch {
		case !strings.HasPrefix(t.ID, strings.ToLower(what)) && t.Name != what:
		case t.Standing(now) == "good":
			good = append(good, t.ID)
		default:
			spent = append(spent, t.ID)
		}
	}
	if len(good) == 0 {
		good = spent
	}
	switch len(good) {
	case 0:
		return "", status.Errorf(codes.NotFound, "no token is meant by %.80q: see rollcall enrol tokens --all", what)
	case 1:
		return good[0], nil
	}
	return "", status.Errorf(codes.FailedPrecondition, "%.80q means %d tokens: name one by its id, see rollcall enrol tokens", what, len(good))
}
