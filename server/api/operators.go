package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/cmdb"
	"rollcall/server/evidence"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Operators lists who operates at the sites of the caller.
func (s *Service) Operators(ctx context.Context, _ *rollcallv1.OperatorsRequest) (*rollcallv1.OperatorsReply, error) {
	reply := &rollcallv1.OperatorsReply{}
	err := s.Engine.View(ctx, func(r store.Reader) error {
		all, err := auth.List(r, s.Tenant)
		for _, o := range all {
			grants, _ := within(callerOf(ctx).scope, o.Grants)
			if len(grants) == 0 && !callerOf(ctx).scope.All() {
				continue
			}
			wire, err := s.wireOperator(r, o, grants)
			if err != nil {
				return err
			}
			reply.Operators = append(reply.Operators, wire)
		}
		return err
	})
	return reply, err
}

// wireOperator tells about an operator what others may know: never a hash.
func (s *Service) wireOperator(r store.Reader, o auth.Operator, grants []auth.Grant) (*rollcallv1.Operator, error) {
	_, uses := s.logins()
	last, err := uses.Last(r, s.Tenant, o.Name)
	if err != nil {
		return nil, err
	}
	out := &rollcallv1.Operator{
		Name: o.Name, Role: auth.Words(grants), Grants: wireGrants(grants), CreatedMs: millis(o.Created), By: o.By, LastUsedMs: millis(last),
		Service: o.Service, HasToken: o.Hash != "", HasPassword: o.Password != "",
	}
	sessions, err := auth.Sessions(r, s.Tenant, o.Name)
	for _, open := range sessions {
		if open = uses.Latest(open); open.Lives(o, s.Now(), s.idle()) {
			out.Sessions = append(out.Sessions, &rollcallv1.Session{
				MadeMs: millis(open.Made), ExpiresMs: millis(open.Expires), LastUsedMs: millis(open.Seen), From: open.From,
			})
		}
	}
	return out, err
}

// within leaves the grants at sites of a scope, and tells whether these are all.
func within(scope cmdb.Scope, grants []auth.Grant) (in []auth.Grant, all bool) {
	for _, g := range grants {
		if scope.Sees(g.Site) {
			in = append(in, g)
		}
	}
	return in, len(in) == len(grants)
}

func wireGrants(grants []auth.Grant) []*rollcallv1.Grant {
	out := make([]*rollcallv1.Grant, len(grants))
	for i, g := range grants {
		out[i] = &rollcallv1.Grant{Role: string(g.Role), Site: g.Site}
	}
	return out
}

// grantsOf reads the grants of a request, each once.
func grantsOf(req *rollcallv1.AddOperatorRequest) []auth.Grant {
	var grants []auth.Grant
	if req.GetRole() != "" {
		grants = auth.Everywhere(auth.Role(req.GetRole()))
	}
	for _, g := range req.GetGrants() {
		if g := (auth.Grant{Role: auth.Role(g.GetRole()), Site: g.GetSite()}); !slices.Contains(grants, g) {
			grants = append(grants, g)
		}
	}
	return grants
}

// AddOperator admits an operator, or gives one new grants and a new login. An
// admin of some sites gives rights there only, and leaves operators alone who have
// rights elsewhere. Nobody gives herself a right that she does not have.
func (s *Service) AddOperator(ctx context.Context, req *rollcallv1.AddOperatorRequest) (*rollcallv1.AddOperatorReply, error) {
	c := callerOf(ctx)
	grants := grantsOf(req)
	if req.GetName() == c.operator.Name {
		for _, g := range grants {
			if !slices.Contains(c.operator.Grants, g) {
				return nil, status.Errorf(codes.FailedPrecondition, "you cannot give yourself %s: ask another admin, or use rollcall-server operator add on the server", g)
			}
		}
	}
	if err := s.makesAdmin(ctx, req, grants); err != nil {
		return nil, err
	}
	text, err := s.admitOperator(ctx, c.scope, NewOperator{Name: req.GetName(), Grants: grants, By: c.operator.Name, Service: req.GetService()})
	return &rollcallv1.AddOperatorReply{LoginToken: text}, err
}

// makesAdmin asks for a second person where somebody becomes admin, or an admin is
// given a new login: whoever gets that could act in her name.
func (s *Service) makesAdmin(ctx context.Context, req *rollcallv1.AddOperatorRequest, grants []auth.Grant) error {
	if err := auth.CheckName(req.GetName()); err != nil {
		return err
	}
	if req.GetName() == callerOf(ctx).operator.Name {
		return nil // she has these rights already
	}
	t := twice{
		what: fmt.Sprintf("make %s %s", req.GetName(), auth.Words(grants)),
		req:  &rollcallv1.AddOperatorRequest{Name: req.GetName(), Grants: wireGrants(grants), Service: req.GetService()},
	}
	n := 0
	for _, g := range grants {
		if err := g.Check(); err != nil {
			return err
		}
		if err := callerOf(ctx).scope.Check(g.Site); err != nil { // no use in proposing it
			return err
		}
		if g.Role == auth.Admin {
			t.site = g.Site
			n++
		}
	}
	switch n {
	case 0:
		return nil
	case 1:
		return s.twoPeople(ctx, t)
	}
	t.site = "" // of several sites: who is admin everywhere
	return s.twoPeople(ctx, t)
}

// NewOperator is an operator who is to be stored.
type NewOperator struct {
	Name    string
	Grants  []auth.Grant
	By      string // who wants it
	Service bool   // a program
}

// Admit stores an operator, as the server itself does it, and returns the login
// token, which nobody can get again. It is how the first admin gets in; another
// one made this way is noted as made alone.
func (s *Service) Admit(ctx context.Context, n NewOperator) (string, error) {
	isAdmin := func(g auth.Grant) bool { return g.Role == auth.Admin }
	if slices.ContainsFunc(n.Grants, isAdmin) {
		err := s.Engine.View(ctx, func(r store.Reader) error {
			all, err := auth.List(r, s.Tenant)
			if slices.ContainsFunc(all, func(o auth.Operator) bool { return slices.ContainsFunc(o.Grants, isAdmin) }) {
				c := caller{glass: &glass{reason: "done on the server itself", what: fmt.Sprintf("make %s %s", n.Name, auth.Words(n.Grants))}}
				ctx = context.WithValue(ctx, callerKey{}, c)
			}
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return s.admitOperator(ctx, cmdb.Everywhere, n)
}

func (s *Service) admitOperator(ctx context.Context, scope cmdb.Scope, n NewOperator) (string, error) {
	secret := identity.NewSecret()
	have, err := s.sessionsOf(ctx, n.Name)
	if err != nil {
		return "", err
	}
	err = s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		e := evidence.Entry{Kind: evidence.Operator, Detail: map[string]string{
			"do": "set", "operator": n.Name, "role": auth.Words(n.Grants), "service": strconv.FormatBool(n.Service),
		}}
		if callerOf(ctx).operator.Name == "" {
			e.By = n.By // through the socket in the data folder
		}
		if found, err := s.mayManage(tx, scope, n.Name); found && errors.Is(err, auth.ErrNotFound) {
			return e, fmt.Errorf("operator %s: the name is %w", n.Name, cmdb.ErrTaken)
		} else if err != nil {
			return e, err
		}
		for _, g := range n.Grants {
			if err := cmdb.In(tx, s.Tenant, scope).HasSite(g.Site); err != nil {
				return e, fmt.Errorf("grant %s: %w", g, err)
			}
		}
		if err := auth.CloseAll(tx, s.Tenant, have); err != nil {
			return e, err
		}
		if err := auth.Add(tx, s.Tenant, s.Now(), n.Name, n.Grants, n.By, secret, n.Service); err != nil {
			return e, err
		}
		if second := callerOf(ctx).second; second != nil {
			return e, auth.Vouch(tx, s.Tenant, n.Name, second.name)
		}
		return e, nil
	})
	if err != nil {
		return "", err
	}
	return s.token(n.Name, secret, identity.LoginPrefix, nil)
}

// mayManage returns an error unless all rights of the operator, if there is one of
// that name, lie in the scope: ErrNotFound if none does, else ErrDenied.
func (s *Service) mayManage(tx store.Tx, scope cmdb.Scope, name string) (found bool, err error) {
	o, found, err := auth.Get(tx, s.Tenant, name)
	if err != nil || !found {
		return false, err
	}
	switch in, all := within(scope, o.Grants); {
	case all:
		return true, nil
	case len(in) == 0:
		return true, fmt.Errorf("operator %.40q: %w", name, auth.ErrNotFound)
	}
	return true, fmt.Errorf("operator %s has rights %w: %w", name, cmdb.ErrScope, auth.ErrDenied)
}

// RemoveOperator ends an operator's access. Nobody removes herself, so that an
// admin always remains.
func (s *Service) RemoveOperator(ctx context.Context, req *rollcallv1.RemoveOperatorRequest) (*rollcallv1.RemoveOperatorReply, error) {
	if req.GetName() == callerOf(ctx).operator.Name {
		return nil, status.Error(codes.FailedPrecondition, "you cannot remove yourself: ask another admin")
	}
	have, err := s.sessionsOf(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	err = s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		e := evidence.Entry{Kind: evidence.Operator, Detail: map[string]string{"do": "remove", "operator": req.GetName()}}
		if _, err := s.mayManage(tx, callerOf(ctx).scope, req.GetName()); err != nil {
			return e, err
		}
		if err := auth.CloseAll(tx, s.Tenant, have); err != nil {
			return e, err
		}
		return e, auth.Remove(tx, s.Tenant, req.GetName())
	})
	return &rollcallv1.RemoveOperatorReply{}, err
}
