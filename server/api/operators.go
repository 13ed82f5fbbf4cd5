package api

import (
	"context"
	"fmt"
	"slices"

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
			reply.Operators = append(reply.Operators, &rollcallv1.Operator{
				Name: o.Name, Role: auth.Words(grants), Grants: wireGrants(grants), CreatedMs: millis(o.Created),
			})
		}
		return err
	})
	return reply, err
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
	text, err := s.login(ctx, c.scope, req.GetName(), grants, c.operator.Name)
	return &rollcallv1.AddOperatorReply{LoginToken: text}, err
}

// makesAdmin asks for a second person where somebody becomes admin who is not.
func (s *Service) makesAdmin(ctx context.Context, req *rollcallv1.AddOperatorRequest, grants []auth.Grant) error {
	if err := auth.CheckName(req.GetName()); err != nil {
		return err
	}
	var had []auth.Grant
	if err := s.Engine.View(ctx, func(r store.Reader) error {
		o, _, err := auth.Get(r, s.Tenant, req.GetName())
		had = o.Grants
		return err
	}); err != nil {
		return err
	}
	t := twice{
		what: fmt.Sprintf("make %s %s", req.GetName(), auth.Words(grants)),
		req:  &rollcallv1.AddOperatorRequest{Name: req.GetName(), Grants: wireGrants(grants)},
	}
	n := 0
	for _, g := range grants {
		if err := g.Check(); err != nil {
			return err
		}
		if err := callerOf(ctx).scope.Check(g.Site); err != nil { // no use in proposing it
			return err
		}
		if g.Role == auth.Admin && !slices.Contains(had, g) {
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

// Login stores an operator, as the server itself does it, and returns the login
// token, which nobody can get again. It is how the first admin gets in; another
// one made this way is noted as made alone.
func (s *Service) Login(ctx context.Context, name string, grants []auth.Grant, by string) (string, error) {
	isAdmin := func(g auth.Grant) bool { return g.Role == auth.Admin }
	if slices.ContainsFunc(grants, isAdmin) {
		err := s.Engine.View(ctx, func(r store.Reader) error {
			all, err := auth.List(r, s.Tenant)
			if slices.ContainsFunc(all, func(o auth.Operator) bool { return slices.ContainsFunc(o.Grants, isAdmin) }) {
				c := caller{glass: &glass{reason: "done on the server itself", what: fmt.Sprintf("make %s %s", name, auth.Words(grants))}}
				ctx = context.WithValue(ctx, callerKey{}, c)
			}
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return s.login(ctx, cmdb.Everywhere, name, grants, by)
}

func (s *Service) login(ctx context.Context, scope cmdb.Scope, name string, grants []auth.Grant, by string) (string, error) {
	secret := identity.NewSecret()
	err := s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		e := evidence.Entry{Kind: evidence.Operator, Detail: map[string]string{"do": "set", "operator": name, "role": auth.Words(grants)}}
		if callerOf(ctx).operator.Name == "" {
			e.By = by // through the socket in the data folder
		}
		if _, err := s.mayManage(tx, scope, name); err != nil {
			return e, err
		}
		for _, g := range grants {
			if err := cmdb.In(tx, s.Tenant, scope).HasSite(g.Site); err != nil {
				return e, fmt.Errorf("grant %s: %w", g, err)
			}
		}
		return e, auth.Add(tx, s.Tenant, s.Now(), name, grants, by, secret)
	})
	if err != nil {
		return "", err
	}
	return s.token(name, secret, identity.LoginPrefix, nil)
}

// mayManage returns an error unless all rights of the operator, if there is one of
// that name, lie in the scope.
func (s *Service) mayManage(tx store.Tx, scope cmdb.Scope, name string) (found bool, err error) {
	o, found, err := auth.Get(tx, s.Tenant, name)
	if err != nil || !found {
		return false, err
	}
	if _, all := within(scope, o.Grants); !all {
		return true, fmt.Errorf("operator %s has rights %w: %w", name, cmdb.ErrScope, auth.ErrDenied)
	}
	return true, nil
}

// RemoveOperator ends an operator's access. Nobody removes herself, so that an
// admin always remains.
func (s *Service) RemoveOperator(ctx context.Context, req *rollcallv1.RemoveOperatorRequest) (*rollcallv1.RemoveOperatorReply, error) {
	if req.GetName() == callerOf(ctx).operator.Name {
		return nil, status.Error(codes.FailedPrecondition, "you cannot remove yourself: ask another admin")
	}
	err := s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		e := evidence.Entry{Kind: evidence.Operator, Detail: map[string]string{"do": "remove", "operator": req.GetName()}}
		if _, err := s.mayManage(tx, callerOf(ctx).scope, req.GetName()); err != nil {
			return e, err
		}
		return e, auth.Remove(tx, s.Tenant, req.GetName())
	})
	return &rollcallv1.RemoveOperatorReply{}, err
}
