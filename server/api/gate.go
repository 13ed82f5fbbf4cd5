package api

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
)

// gate says who may call a method: agents by their key, or operators who hold one
// of the roles.
type gate struct {
	keys  who
	roles []auth.Role
	whole bool // the role must be held everywhere: what the method does is not bound to a site
}

// who of the machines may call a method.
type who string

const (
	anyKey    who = "any key"      // shows a certificate, enrolled or not
	agentOnly who = "enrolled key" // the key is enrolled
	knowing   who = "a password"   // no machine: who knows an operator's password
)

// sited is the gate of a method that keeps within the sites where the caller holds
// one of the roles: it reads and writes CIs by Service.view and Service.items only.
func sited(roles ...auth.Role) gate { return gate{roles: roles} }

// gates holds who may call each method: the one place where permission is
// written down. A method that is not here is refused, and a test fails.
var gates = map[string]gate{
	rollcallv1.Agents_Enrol_FullMethodName:  {keys: anyKey},
	rollcallv1.Agents_Submit_FullMethodName: {keys: agentOnly},
	rollcallv1.Agents_Upload_FullMethodName: {keys: agentOnly},
	rollcallv1.Agents_Rotate_FullMethodName: {keys: agentOnly},

	// Machines sign what is carried; whose they are decides who may carry it.
	rollcallv1.Courier_CarryEnrolment_FullMethodName: sited(auth.Worker, auth.Approver),
	rollcallv1.Courier_CarryReport_FullMethodName:    sited(auth.Worker, auth.Approver),
	rollcallv1.Courier_CarryContents_FullMethodName:  sited(auth.Worker, auth.Approver),

	rollcallv1.Items_List_FullMethodName:     sited(auth.Viewer), // part of every role
	rollcallv1.Items_Get_FullMethodName:      sited(auth.Viewer),
	rollcallv1.Items_History_FullMethodName:  sited(auth.Viewer),
	rollcallv1.Items_Changes_FullMethodName:  sited(auth.Viewer),
	rollcallv1.Items_First_FullMethodName:    sited(auth.Viewer),
	rollcallv1.Items_Complete_FullMethodName: sited(auth.Viewer),
	rollcallv1.Items_FileLog_FullMethodName:  sited(auth.Viewer),
	rollcallv1.Items_Compare_FullMethodName:  sited(auth.Helpdesk, auth.Worker, auth.ChangeManager, auth.Auditor),
	rollcallv1.Items_Why_FullMethodName:      sited(auth.Helpdesk, auth.Worker, auth.ChangeManager, auth.Auditor),
	rollcallv1.Items_Set_FullMethodName:      sited(auth.Worker),
	rollcallv1.Items_File_FullMethodName:     sited(auth.Worker, auth.ChangeManager, auth.Restorer, auth.Auditor),
	rollcallv1.Items_Manifest_FullMethodName: sited(auth.Restorer),
	rollcallv1.Items_Content_FullMethodName:  sited(auth.Restorer),

	rollcallv1.Identity_Same_FullMethodName:  sited(auth.Viewer),
	rollcallv1.Identity_Merge_FullMethodName: sited(auth.Worker), // no key changes hands
	rollcallv1.Identity_Split_FullMethodName: sited(auth.Worker),

	// All machines get a policy; that it only takes away, and whose word it is, is for
	// the machines to see: whoever publishes it adds nothing to it.
	rollcallv1.Policies_PublishPolicy_FullMethodName: {roles: []auth.Role{auth.Admin}, whole: true},
	rollcallv1.Policies_PolicyStatus_FullMethodName:  sited(auth.Viewer),

	rollcallv1.Radar_Shared_FullMethodName: sited(auth.Worker, auth.Auditor),

	rollcallv1.Admin_Status_FullMethodName:         sited(auth.Viewer),
	rollcallv1.Admin_NewToken_FullMethodName:       sited(auth.Approver, auth.Admin),
	rollcallv1.Admin_Pending_FullMethodName:        sited(auth.Approver, auth.Admin, auth.Auditor),
	rollcallv1.Admin_Approve_FullMethodName:        sited(auth.Approver),
	rollcallv1.Admin_Refuse_FullMethodName:         sited(auth.Approver),
	rollcallv1.Admin_Revoke_FullMethodName:         sited(auth.Approver, auth.Admin),
	rollcallv1.Keys_Tokens_FullMethodName:          sited(auth.Approver, auth.Admin, auth.Auditor),
	rollcallv1.Keys_Withdraw_FullMethodName:        sited(auth.Approver, auth.Admin),
	rollcallv1.Keys_Forks_FullMethodName:           sited(auth.Approver, auth.Admin, auth.Auditor),
	rollcallv1.Keys_Keep_FullMethodName:            sited(auth.Approver),
	rollcallv1.Keys_Revocable_FullMethodName:       sited(auth.Approver, auth.Admin),
	rollcallv1.Keys_RevokeMany_FullMethodName:      sited(auth.Approver, auth.Admin),
	rollcallv1.Admin_Sites_FullMethodName:          sited(auth.Viewer),
	rollcallv1.Admin_SetSite_FullMethodName:        sited(auth.Admin),
	rollcallv1.Admin_RemoveSite_FullMethodName:     sited(auth.Admin),
	rollcallv1.Admin_Operators_FullMethodName:      sited(auth.Admin, auth.Auditor),
	rollcallv1.Admin_AddOperator_FullMethodName:    sited(auth.Admin),
	rollcallv1.Admin_RemoveOperator_FullMethodName: sited(auth.Admin),

	rollcallv1.Evidence_Prove_FullMethodName: sited(auth.Auditor),
	rollcallv1.Recovery_Erase_FullMethodName: sited(auth.Admin),

	rollcallv1.Evidence_Checkpoint_FullMethodName:  sited(auth.Viewer),
	rollcallv1.Evidence_Consistency_FullMethodName: sited(auth.Viewer),
	rollcallv1.Evidence_Inclusion_FullMethodName:   {roles: []auth.Role{auth.Auditor}, whole: true},
	rollcallv1.Evidence_Leaves_FullMethodName:      {roles: []auth.Role{auth.Auditor}, whole: true},
	rollcallv1.Evidence_Cosign_FullMethodName:      {roles: []auth.Role{auth.Auditor}, whole: true},
	// How one logs in oneself; of others, EndLogins asks for an admin.
	rollcallv1.Account_Login_FullMethodName:       {keys: knowing},
	rollcallv1.Account_Logout_FullMethodName:      sited(auth.Viewer),
	rollcallv1.Account_SetPassword_FullMethodName: sited(auth.Viewer),
	rollcallv1.Account_EndLogins_FullMethodName:   sited(auth.Viewer),

	rollcallv1.Trail_Actions_FullMethodName: sited(auth.Auditor),

	rollcallv1.Reports_ListReports_FullMethodName: sited(auth.Viewer),
	rollcallv1.Reports_RunReport_FullMethodName:   sited(auth.Viewer), // or as reportIs says
	rollcallv1.Reports_Values_FullMethodName:      sited(auth.Viewer),

	// Whoever may ask what differs may keep how she asks; what machines should have
	// in common is for those who answer for them.
	rollcallv1.Saved_Filters_FullMethodName:        sited(auth.Viewer),
	rollcallv1.Saved_SaveFilter_FullMethodName:     sited(auth.Helpdesk, auth.Worker, auth.ChangeManager, auth.Auditor),
	rollcallv1.Saved_RemoveFilter_FullMethodName:   sited(auth.Helpdesk, auth.Worker, auth.ChangeManager, auth.Auditor),
	rollcallv1.Saved_Baselines_FullMethodName:      sited(auth.Viewer),
	rollcallv1.Saved_Deviations_FullMethodName:     sited(auth.Viewer),
	rollcallv1.Saved_SetBaseline_FullMethodName:    sited(auth.Worker, auth.ChangeManager),
	rollcallv1.Saved_RemoveBaseline_FullMethodName: sited(auth.Worker, auth.ChangeManager),

	// Who may confirm is who may call what was proposed.
	rollcallv1.Proposals_ListProposals_FullMethodName: sited(auth.Viewer),
	rollcallv1.Proposals_Confirm_FullMethodName:       sited(auth.Viewer),
	rollcallv1.Proposals_Decline_FullMethodName:       sited(auth.Viewer),
}

// reportIs names reports that tell what only some may ask: who may call the method
// may run the report, within the same sites. Every other report tells what every
// role may see.
var reportIs = map[string]string{
	"waiting-keys":   rollcallv1.Admin_Pending_FullMethodName,
	"shared-secrets": rollcallv1.Radar_Shared_FullMethodName,
}

// maxCall is how long a call may take.
const maxCall = 10 * time.Minute

type callerKey struct{}

// caller is who makes a call.
type caller struct {
	key      ed25519.PublicKey // agents
	exporter []byte
	passed   bool // it showed its pass in the handshake
	addr     string
	request  string        // names the call: in the log of the server, in its leaf, in what the caller is told
	operator auth.Operator // operators
	session  string        // hash of the session that the operator uses; empty: her login token
	scope    cmdb.Scope    // where the operator may call this method
	second   *second       // who confirmed the call, where it needs two people
	glass    *glass        // the reason to do alone what needs two people
}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// Tap decides about every call when its headers have come, before a byte of its
// message is read: an unknown key never reaches a decoder. It also bounds how
// long a call may take, so that a machine that stops in the middle of an upload
// does not hold memory for ever.
func (s *Service) Tap(ctx context.Context, info *tap.Info) (next context.Context, err error) {
	next = ctx
	// The library does not recover from panics here.
	defer func() { err = s.told(next, info.FullMethodName, cmp.Or(panicked(recover()), err)) }()
	most := maxCall
	if gates[info.FullMethodName].keys == anyKey {
		most = enrolWithin
	}
	limited, stop := context.WithTimeout(ctx, most)
	context.AfterFunc(limited, stop) // ends with the call, which ends ctx
	if next, err = s.admit(limited, info.FullMethodName); err == nil {
		err = s.makeRoom(next, info.FullMethodName)
	}
	s.tellDoors(next, info.FullMethodName, err)
	if err != nil {
		stop() // the library leaves the context of a refused call as it is
	}
	return next, err
}

// makeRoom refuses a call for which there is no room now.
func (s *Service) makeRoom(ctx context.Context, method string) error {
	switch method {
	case rollcallv1.Agents_Submit_FullMethodName:
		return s.load().report(ctx, identity.IDOf(callerOf(ctx).key).String(), s.Now())
	case rollcallv1.Agents_Enrol_FullMethodName:
		return s.load().enrol(ctx, s.Now)
	}
	return nil
}

func (s *Service) tellDoors(ctx context.Context, method string, err error) {
	if s.Doors == nil {
		return
	}
	addr := callerOf(ctx).addr
	switch {
	case errors.Is(err, store.ErrBusy): // the caller cannot help it
	case err != nil:
		s.Doors.Refused(addr)
	case gates[method].keys != anyKey:
		s.Doors.Known(addr)
	}
}

// Unary turns the errors of single calls, and panics, into what the caller may
// know.
func (s *Service) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (res any, err error) {
	defer func() { err = s.told(ctx, info.FullMethod, cmp.Or(panicked(recover()), err)) }()
	res, err = next(ctx, req)
	if n, ok := isProposal(err); ok {
		return nil, s.propose(ctx, info.FullMethod, n)
	}
	return res, err
}

// Stream does the same for streams.
func (s *Service) Stream(srv any, st grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer func() { err = s.told(st.Context(), info.FullMethod, cmp.Or(panicked(recover()), err)) }()
	return next(srv, st)
}

// panicked makes an error of a panic, so that one bad call never ends the server.
func panicked(v any) error {
	if v == nil {
		return nil
	}
	return fmt.Errorf("panic: %v\n%s", v, debug.Stack())
}

// told logs what is worth a line and returns what the caller may know.
func (s *Service) told(ctx context.Context, method string, err error) error {
	if err == nil {
		return nil
	}
	out, fault := toStatus(err)
	c := callerOf(ctx)
	switch {
	case fault:
		s.Log.Error("call failed", "method", method, "from", c.addr, "request", c.request, "err", err)
		return asRequest(out, c)
	case status.Code(out) == codes.PermissionDenied || status.Code(out) == codes.Unauthenticated:
		if more, ok := s.limits().line(); ok {
			s.Log.Warn("call refused", "method", method, "from", c.addr, "operator", c.operator.Name, "request", c.request, "err", err, "not_logged_before", more)
			return asRequest(out, c)
		}
	}
	return out
}

// asRequest adds to what an operator is told under which name the server's log has
// more, so that a complaint can be found.
func asRequest(err error, c caller) error {
	if c.operator.Name == "" || c.request == "" {
		return err
	}
	st := status.Convert(err).Proto()
	st.Message += " (request " + c.request + ")"
	return status.ErrorProto(st)
}

// admit decides whether a call may go on and puts the caller into the context.
func (s *Service) admit(ctx context.Context, method string) (context.Context, error) {
	need, ok := gates[method]
	if !ok {
		return ctx, status.Errorf(codes.Unimplemented, "there is no method %q", method)
	}
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ctx, status.Error(codes.Unauthenticated, "no connection")
	}
	c := caller{addr: p.Addr.String(), request: newID()}
	ctx = context.WithValue(ctx, callerKey{}, c)
	var err error
	switch need.keys {
	case "":
		c, err = s.person(ctx, c, need)
	case knowing:
		c, err = s.byPassword(ctx, c)
	default:
		c, err = s.agent(ctx, p, c, need.keys)
	}
	return context.WithValue(ctx, callerKey{}, c), err
}

func (s *Service) agent(ctx context.Context, p *peer.Peer, c caller, need who) (caller, error) {
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return c, status.Error(codes.Unauthenticated, "TLS is needed")
	}
	key, err := identity.PeerKey(info.State)
	if err != nil {
		return c, status.Errorf(codes.Unauthenticated, "an agent's certificate is needed: %v", err)
	}
	c.key = key
	id, ok := identity.OpenPass(s.Key, info.State.ServerName)
	c.passed = ok && id == identity.IDOf(key)
	if need == anyKey {
		if !s.limits().enrol(auth.HostOf(c.addr), cmp.Or(s.EnrolmentsPerHost, enrolmentsPerHost)) {
			return c, status.Error(codes.ResourceExhausted, "too many attempts from this address: wait a minute")
		}
		c.exporter, err = info.State.ExportKeyingMaterial(identity.ExporterLabel, nil, 32)
		return c, err
	}
	if s.Doors != nil {
		s.Doors.Shows(c.addr, identity.IDOf(key))
	}
	return c, s.view2(ctx, func(v enrol.View) error {
		_, err := v.Key(identity.IDOf(key))
		return err
	})
}

func (s *Service) view2(ctx context.Context, fn func(enrol.View) error) error {
	return s.Engine.View(ctx, func(r store.Reader) error { return fn(enrol.At(r, s.Tenant)) })
}

func (s *Service) person(ctx context.Context, c caller, need gate) (caller, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	name, secret, ok := bearer(md.Get("authorization"))
	err := auth.ErrWho
	if ok {
		c, err = s.whoIs(ctx, c, name, secret)
	}
	// Only failures are bounded, for the sake of the log: a secret of 128 bits
	// needs no bound, and whoever fails often from a school's one address must
	// not lock its operators out.
	if errors.Is(err, auth.ErrWho) && !s.limits().failure(auth.HostOf(c.addr)) {
		return c, status.Error(codes.ResourceExhausted, "too many failed logins from this address: wait a minute")
	}
	if err != nil {
		return c, err
	}
	if c.glass, err = breakGlass(c.operator, md.Get(glassHeader)); err != nil {
		return c, err
	}
	if len(c.operator.Sites(need.roles...)) == 0 {
		return c, c.operator.Denied(need.roles...)
	}
	if scope := scopeOf(c.operator, need.roles...); !need.whole || scope.All() {
		c.scope = scope
		return c, nil
	}
	return c, fmt.Errorf("this concerns all sites, your role is bound to some: %w", c.operator.Denied(need.roles...))
}

// scopeOf gives where an operator holds one of the roles.
func scopeOf(o auth.Operator, roles ...auth.Role) cmdb.Scope {
	return cmdb.Within(o.Sites(roles...)...)
}

// whoIs finds the operator whose login token or session it is.
func (s *Service) whoIs(ctx context.Context, c caller, name string, secret []byte) (caller, error) {
	_, uses := s.logins()
	o, err := auth.Check(ctx, s.Engine, s.Tenant, name, secret)
	if errors.Is(err, auth.ErrWho) {
		var open auth.Session
		o, open, err = auth.CheckSession(ctx, s.Engine, s.Tenant, name, secret, s.Now(), s.idle(), uses)
		c.session = open.Hash
	}
	if err == nil {
		c.operator = o
		uses.Note(o.Name, c.session, s.Now())
	}
	return c, err
}

// bearer reads the metadata "authorization: Bearer NAME:SECRET-HEX".
func bearer(words []string) (name string, secret []byte, ok bool) {
	if len(words) != 1 || len(words[0]) > 200 {
		return "", nil, false
	}
	login, ok := strings.CutPrefix(words[0], "Bearer ")
	if !ok {
		return "", nil, false
	}
	name, digits, _ := strings.Cut(login, ":")
	secret, err := hex.DecodeString(digits)
	if err != nil || len(secret) != 16 || auth.CheckName(name) != nil {
		return "", nil, false
	}
	return name, secret, true
}
