package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/enrol"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// rule is who may call a method, written down a second time, apart from the
// server's own table.
type rule struct {
	keys  string // "any" or "enrolled": for machines
	roles string // for operators: the roles, or "every"
	whole bool   // only with a role that holds everywhere

	// ask makes a request about one of the two places of the world; nil: an empty
	// request, whose answer may tell of everything that the caller sees.
	ask func(p *spot) proto.Message
	// refused is how a call may also end that is not let in, where the answer must
	// not tell that there is anything.
	refused codes.Code
	// through is how a call ends that was let in and is about something in the
	// caller's scope; OK unless given.
	through codes.Code
}

// matrix holds every method. One that is not here fails the tests: write down who
// may call it, and a request that names something of one place.
var matrix = map[string]rule{
	"Agents/Enrol":  {keys: "any"},
	"Agents/Submit": {keys: "enrolled"},
	"Agents/Upload": {keys: "enrolled"},
	"Agents/Rotate": {keys: "enrolled"},

	"Courier/CarryEnrolment": {roles: "operator approver", ask: func(p *spot) proto.Message { return p.request }},
	"Courier/CarryReport": {roles: "operator approver", ask: func(p *spot) proto.Message {
		return &rollcallv1.CarryReportRequest{Envelope: p.report}
	}},
	"Courier/CarryContents": {
		roles: "operator approver", refused: codes.PermissionDenied, through: codes.InvalidArgument, // no content follows
		ask: func(p *spot) proto.Message {
			id, _ := identity.ParseKeyID(p.key)
			return &rollcallv1.CarryContentsRequest{KeyId: id[:]}
		},
	},

	"Keys/Tokens":   {roles: "approver admin auditor", ask: func(*spot) proto.Message { return &rollcallv1.TokensRequest{All: true} }},
	"Keys/Withdraw": {roles: "approver admin", through: codes.NotFound, ask: func(*spot) proto.Message { return &rollcallv1.WithdrawRequest{Token: "nobody"} }},
	"Keys/Forks":    {roles: "approver admin auditor", ask: func(p *spot) proto.Message { return &rollcallv1.ForksRequest{Key: p.ci} }},
	"Keys/Keep":     {roles: "approver", through: codes.FailedPrecondition, ask: func(p *spot) proto.Message { return &rollcallv1.KeepRequest{Key: p.ci} }}, // it is in no quarantine

	"Keys/Revocable": {roles: "approver admin", ask: func(p *spot) proto.Message { return &rollcallv1.RevocableRequest{Filter: "ci = " + p.ci} }},
	"Keys/RevokeMany": {
		roles: "approver admin", through: codes.NotFound, // it fits another filter
		ask: func(p *spot) proto.Message {
			id, _ := identity.ParseKeyID(p.key)
			return &rollcallv1.RevokeManyRequest{Filter: "name = nobody", Reason: "gone", Keys: enrol.KeyList{id}.Encode()}
		},
	},

	"Items/List":     {roles: "every"},
	"Items/Changes":  {roles: "every"},
	"Items/First":    {roles: "every", ask: func(p *spot) proto.Message { return &rollcallv1.FirstRequest{Condition: "name = *"} }},
	"Items/Complete": {roles: "every", ask: func(p *spot) proto.Message { return &rollcallv1.CompleteRequest{Kind: "ci"} }},
	"Items/Get":      {roles: "every", ask: func(p *spot) proto.Message { return &rollcallv1.GetRequest{Ci: p.ci} }},
	"Items/History":  {roles: "every", ask: func(p *spot) proto.Message { return &rollcallv1.HistoryRequest{Ci: p.ci} }},
	"Items/FileLog":  {roles: "every", ask: func(p *spot) proto.Message { return &rollcallv1.FileLogRequest{Ci: p.ci, Path: "/etc/motd"} }},
	"Items/Compare": {
		roles: "helpdesk operator change-manager auditor", through: codes.InvalidArgument, // a group is empty
		ask: func(p *spot) proto.Message {
			return &rollcallv1.CompareRequest{Broken: "ci = " + p.ci, Working: "name = nobody"}
		},
	},
	"Items/Why":      {roles: "helpdesk operator change-manager auditor", ask: func(p *spot) proto.Message { return &rollcallv1.WhyRequest{Ci: p.ci} }},
	"Items/File":     {roles: "operator change-manager restorer auditor", ask: func(p *spot) proto.Message { return &rollcallv1.FileRequest{Ci: p.ci, Path: "/etc/motd"} }},
	"Items/Manifest": {roles: "restorer", ask: func(p *spot) proto.Message { return &rollcallv1.ManifestRequest{Ci: p.ci} }},
	"Items/Content":  {roles: "restorer", ask: func(p *spot) proto.Message { return &rollcallv1.ContentRequest{Ci: p.ci} }},
	"Items/Set":      {roles: "operator", ask: func(p *spot) proto.Message { return &rollcallv1.SetRequest{Ci: p.ci} }}, // changes nothing

	"Identity/Same": {roles: "every", ask: func(p *spot) proto.Message { return &rollcallv1.SameRequest{Ci: p.ci} }},
	"Identity/Merge": {roles: "operator", through: codes.InvalidArgument, ask: func(p *spot) proto.Message { // with itself
		return &rollcallv1.MergeRequest{Ci: p.ci, Into: p.ci}
	}},
	"Identity/Split": {roles: "operator", through: codes.InvalidArgument, ask: func(p *spot) proto.Message { return &rollcallv1.SplitRequest{Ci: p.ci} }}, // it is whole

	"Evidence/Prove":       {roles: "auditor", ask: func(p *spot) proto.Message { return &rollcallv1.ProveRequest{Ci: p.ci} }},
	"Evidence/Checkpoint":  {roles: "every"},
	"Evidence/Consistency": {roles: "every"},
	"Evidence/Inclusion":   {roles: "auditor", whole: true, through: codes.InvalidArgument}, // a tree of no leaves
	"Evidence/Leaves":      {roles: "auditor", whole: true},
	"Evidence/Cosign":      {roles: "auditor", whole: true, through: codes.InvalidArgument}, // no key

	"Reports/ListReports": {roles: "every"},
	"Reports/RunReport":   {roles: "every", ask: func(*spot) proto.Message { return &rollcallv1.RunReportRequest{Name: "inventory"} }},
	"Reports/Values":      {roles: "every", ask: func(*spot) proto.Message { return &rollcallv1.ValuesRequest{Subject: "site"} }},
	"Trail/Actions":       {roles: "auditor"},
	"Account/Login":       {keys: "password"},
	"Account/Logout":      {roles: "every", through: codes.FailedPrecondition}, // a token is no session
	"Account/SetPassword": {roles: "every", through: codes.InvalidArgument},    // too short
	"Account/EndLogins": {
		roles: "admin", through: codes.NotFound,
		ask: func(*spot) proto.Message { return &rollcallv1.EndLoginsRequest{Name: "nobody"} },
	},

	"Recovery/Erase": {
		roles: "admin", through: codes.FailedPrecondition, // it waits for a second person
		ask: func(p *spot) proto.Message { return &rollcallv1.EraseRequest{Ci: p.ci, Reason: "the law"} },
	},

	"Saved/Filters":   {roles: "every"},
	"Saved/Baselines": {roles: "every"},
	"Saved/SaveFilter": {roles: "helpdesk operator change-manager auditor", ask: func(p *spot) proto.Message {
		return &rollcallv1.SaveFilterRequest{Filter: &rollcallv1.SavedFilter{Name: "of-" + p.ci, Site: p.site, Text: "name = x"}}
	}},
	"Saved/RemoveFilter": {roles: "helpdesk operator change-manager auditor", through: codes.NotFound, ask: func(*spot) proto.Message {
		return &rollcallv1.RemoveFilterRequest{Name: "none"}
	}},
	"Saved/SetBaseline": {roles: "operator change-manager", ask: func(p *spot) proto.Message {
		return &rollcallv1.SetBaselineRequest{Name: "of-" + p.ci, Site: p.site, Filter: "ci = " + p.ci, Reason: "a test"}
	}},
	"Saved/RemoveBaseline": {roles: "operator change-manager", through: codes.NotFound, ask: func(*spot) proto.Message {
		return &rollcallv1.RemoveBaselineRequest{Name: "none"}
	}},
	"Saved/Deviations": {roles: "every", through: codes.NotFound, ask: func(*spot) proto.Message {
		return &rollcallv1.DeviationsRequest{Name: "none"}
	}},

	"Proposals/ListProposals": {roles: "every"},
	"Proposals/Confirm": {
		roles: "admin", refused: codes.NotFound, through: codes.FailedPrecondition, // it is not what was seen
		ask: func(p *spot) proto.Message { return &rollcallv1.ConfirmRequest{Id: p.proposal, Digest: []byte("x")} },
	},
	"Proposals/Decline": {
		roles: "every", through: codes.NotFound, // declining would be for good: that it is hidden, Confirm shows
	},
	"Radar/Shared": {roles: "operator auditor"},

	"Policies/PublishPolicy": {roles: "admin", whole: true, through: codes.InvalidArgument}, // it is none
	"Policies/PolicyStatus":  {roles: "every"},

	"Admin/Status": {roles: "every"},
	"Admin/NewToken": {
		roles: "approver admin", through: codes.InvalidArgument, // there is no such class
		ask: func(p *spot) proto.Message { return &rollcallv1.NewTokenRequest{Site: p.site, Class: "toaster"} },
	},
	"Admin/Pending": {roles: "approver admin auditor", ask: func(*spot) proto.Message { return &rollcallv1.PendingRequest{All: true} }},
	"Admin/Approve": {
		roles: "approver", through: codes.InvalidArgument,
		ask: func(p *spot) proto.Message { return &rollcallv1.DecideRequest{Key: p.waits, Class: "toaster"} },
	},
	"Admin/Refuse":     {roles: "approver", through: codes.NotFound, ask: func(p *spot) proto.Message { return &rollcallv1.DecideRequest{Key: p.key} }}, // it does not wait
	"Admin/Revoke":     {roles: "approver admin", through: codes.NotFound, ask: func(p *spot) proto.Message { return &rollcallv1.DecideRequest{Key: p.waits} }},
	"Admin/Sites":      {roles: "every"},
	"Admin/SetSite":    {roles: "admin", ask: func(p *spot) proto.Message { return &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: p.site}} }},
	"Admin/RemoveSite": {roles: "admin", through: codes.InvalidArgument, ask: func(p *spot) proto.Message { return &rollcallv1.RemoveSiteRequest{Path: p.site} }},
	"Admin/Operators":  {roles: "admin auditor"},
	"Admin/AddOperator": {
		roles: "admin", through: codes.InvalidArgument,
		ask: func(p *spot) proto.Message {
			return &rollcallv1.AddOperatorRequest{Name: "Bad Name", Grants: []*rollcallv1.Grant{{Role: "viewer", Site: p.site}}}
		},
	},
	"Admin/RemoveOperator": {
		roles: "admin", through: codes.NotFound,
		ask: func(p *spot) proto.Message { return &rollcallv1.RemoveOperatorRequest{Name: "nobody"} },
	},
}

// spot is a site with a CI that has reported, a machine that waits, and an
// operator, all of them named so that they are found in any answer.
type spot struct {
	site, ci, name, key, waits string
	proposal                   string // that somebody becomes admin there
	canaries                   []string

	report  []byte // the next one of the CI
	request *rollcallv1.CarryEnrolmentRequest
}

// world is a server with two such places.
type world struct {
	*running
	own, other *spot
	callers    map[auth.Grant]*operator
}

func newWorld(t *testing.T) *world {
	r := start(t)
	w := &world{running: r}
	r.site("elm")
	w.own, w.other = w.spot(1, "elm/own-place"), w.spot(11, "elm/other-place")
	return w
}

func (r *running) site(path string) {
	r.t.Helper()
	if _, err := r.kari.SetSite(r.t.Context(), &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: path, Title: "title of " + path}}); err != nil {
		r.t.Fatal(err)
	}
}

func (w *world) spot(number uint64, site string) *spot {
	w.t.Helper()
	w.site(site)
	p := &spot{site: site, name: strings.ReplaceAll(site, "/", "-") + "-pc"}
	m := w.stranger(number)
	m.Name = p.name
	reply, err := w.enrol(m, w.token(&rollcallv1.NewTokenRequest{Site: site, Name: "token of " + site}))
	if err != nil || reply.GetOutcome() != rollcallv1.EnrolReply_ENROLLED {
		w.t.Fatalf("enrol: %v, %v", reply.GetOutcome(), err)
	}
	m.ci, p.ci, p.key = reply.GetCi(), reply.GetCi(), identity.IDOf(identity.Public(m.Key)).String()
	m.keep(w.t, map[string]string{"motd": "welcome to " + site, "hosts": "127.0.0.1 localhost\n"})
	p.report = m.next(w.t)
	p.request = w.request(w.stranger(number+2), w.token(&rollcallv1.NewTokenRequest{Site: site, NeedsApproval: true}))
	waits := w.stranger(number + 1)
	waits.Name = p.name + "-waits"
	if _, err := w.enrol(waits, w.token(&rollcallv1.NewTokenRequest{Site: site, NeedsApproval: true})); err != nil {
		w.t.Fatal(err)
	}
	p.waits = identity.IDOf(identity.Public(waits.Key)).String()
	boss := strings.ReplaceAll(site, "/", "-") + "-boss"
	by := w.operator(boss, auth.Grant{Role: auth.Admin, Site: site})
	_, err = by.AddOperator(w.t.Context(), &rollcallv1.AddOperatorRequest{
		Name: "x", Grants: []*rollcallv1.Grant{{Role: "admin", Site: site}},
	})
	wantCode(w.t, "making an admin alone", err, codes.FailedPrecondition)
	list, err := by.ListProposals(w.t.Context(), &rollcallv1.ListProposalsRequest{})
	if err != nil || len(list.GetProposals()) != 1 {
		w.t.Fatalf("%d proposals, %v, want 1", len(list.GetProposals()), err)
	}
	p.proposal = list.GetProposals()[0].GetId()
	p.canaries = []string{site, p.name, p.ci, p.key, p.waits, boss, p.proposal}
	return p
}

// state tells everything that a call could have changed.
func (w *world) state() string {
	w.t.Helper()
	return fmt.Sprint(len(w.leaves()))
}

// callNamed calls a method by its name with a request of its own, and returns what came
// back, in the wire's form, with the text of the error.
func callNamed(ctx context.Context, conn *grpc.ClientConn, short string, req proto.Message) (answer string, err error) {
	desc, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName("rollcall.v1." + strings.ReplaceAll(short, "/", ".")))
	if err != nil {
		return "", err
	}
	kind, err := protoregistry.GlobalTypes.FindMessageByName(desc.(protoreflect.MethodDescriptor).Output().FullName())
	if err != nil {
		return "", err
	}
	if req == nil {
		in, err := protoregistry.GlobalTypes.FindMessageByName(desc.(protoreflect.MethodDescriptor).Input().FullName())
		if err != nil {
			return "", err
		}
		req = in.New().Interface()
	}
	st, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/rollcall.v1."+short)
	if err != nil {
		return "", err
	}
	if err := st.SendMsg(req); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if err := st.CloseSend(); err != nil {
		return "", err
	}
	var b bytes.Buffer
	for {
		reply := kind.New().Interface()
		switch err := st.RecvMsg(reply); {
		case errors.Is(err, io.EOF):
			return b.String(), nil
		case err != nil:
			return b.String(), err
		}
		wire, err := proto.Marshal(reply)
		if err != nil {
			return "", err
		}
		b.Write(wire)
	}
}

// TestClass06EveryMethodEveryRoleEverySite walks all registered methods as every
// role, held at the caller's own site, at another, and everywhere.
func TestClass06EveryMethodEveryRoleEverySite(t *testing.T) {
	w := newWorld(t)
	for _, short := range eachMethod(t) {
		rule, ok := matrix[short]
		if !ok {
			t.Errorf("%s is not in the matrix (server/matrix_test.go): who may call it, and about which place?", short)
			continue
		}
		if rule.keys != "" {
			continue
		}
		w.askAs(t, short, rule)
	}
}

func (w *world) askAs(t *testing.T, short string, rule rule) {
	t.Helper()
	for _, role := range auth.Roles {
		for where, site := range map[string]string{"own": w.own.site, "other": w.other.site, "all": ""} {
			caller := w.caller(auth.Grant{Role: role, Site: site})
			allowed := rule.roles == "every" || slices.Contains(strings.Fields(rule.roles), string(role))
			allowed = allowed && (site == "" || !rule.whole)
			before := w.state()
			var req proto.Message
			if rule.ask != nil {
				req = rule.ask(w.own)
			}
			answer, err := callNamed(t.Context(), caller.conn, short, req)
			what := fmt.Sprintf("%s of %s at %q", short, role, where)
			switch {
			case !allowed && rule.refused != 0 && status.Code(err) == rule.refused:
			case !allowed:
				wantCode(t, what, err, codes.PermissionDenied)
			case where != "other" || rule.ask == nil || short == "Items/Complete" || short == "Admin/Pending":
				wantCode(t, what, err, rule.through)
			}
			if allowed && where == "other" {
				w.hides(t, what, rule, answer, err)
			}
			if after := w.state(); after != before && (!allowed || where == "other") {
				t.Errorf("%s changed something", what)
			}
		}
	}
}

// hides checks that nothing about the own place is in an answer for the other.
func (w *world) hides(t *testing.T, what string, rule rule, answer string, err error) {
	t.Helper()
	for _, canary := range w.own.canaries {
		if strings.Contains(answer, canary) {
			t.Errorf("%s: the answer tells of %s", what, canary)
		}
	}
	if err == nil {
		return
	}
	var named []string // by the request itself: they may come back
	if rule.ask != nil {
		named = append(named, fmt.Sprint(rule.ask(w.own)))
	}
	for _, canary := range w.own.canaries {
		if strings.Contains(status.Convert(err).Message(), canary) && !strings.Contains(fmt.Sprint(named), canary) {
			t.Errorf("%s: the error tells of %s: %v", what, canary, err)
		}
	}
}

// caller is an operator with one grant; each is admitted once.
func (w *world) caller(g auth.Grant) *operator {
	w.t.Helper()
	if w.callers == nil {
		w.callers = map[auth.Grant]*operator{}
	}
	if w.callers[g] == nil {
		w.callers[g] = w.operator(fmt.Sprint("caller", len(w.callers)), g)
	}
	return w.callers[g]
}

// TestWhoMayCallWhat asks every method as nobody, as a machine, and as operators
// whose login is not valid.
func TestWhoMayCallWhat(t *testing.T) {
	r := start(t)
	callers := []struct {
		name string
		is   []string
		conn *grpc.ClientConn
		ctx  context.Context
	}{
		{"nobody", nil, r.dial(nil), t.Context()},
		{"a wrong secret", nil, r.dial(nil), withLogin(t.Context(), "Bearer kari:"+strings.Repeat("00", 16))},
		{"an unknown operator", nil, r.dial(nil), withLogin(t.Context(), "Bearer nobody:"+strings.Repeat("00", 16))},
		{"an unknown key", []string{"any"}, r.stranger(77).conn, t.Context()},
		{"an agent", []string{"any", "enrolled"}, r.machine(1).conn, t.Context()},
		{"kari", []string{""}, r.kari.conn, t.Context()},
	}
	methods := eachMethod(t)
	for _, short := range methods {
		need, ok := matrix[short]
		if !ok {
			t.Errorf("%s is not in the matrix", short)
		}
		for _, c := range callers {
			ctx, stop := context.WithTimeout(c.ctx, 20*time.Second)
			err := anew(func() error { return call(ctx, c.conn, "/rollcall.v1."+short) })
			stop()
			// A call that is let in goes on to fail, or not, for another reason:
			// an empty Enrol with a token that admits nobody.
			code, through := status.Code(err), slices.Contains(c.is, need.keys)
			refused := code == codes.PermissionDenied || code == codes.Unauthenticated || code == codes.ResourceExhausted
			if short == "Agents/Enrol" && through {
				refused = !strings.Contains(err.Error(), "does not admit") && !errors.Is(err, io.EOF)
			}
			if through == refused || code == codes.Internal || code == codes.Unimplemented {
				t.Errorf("%s calls %s: %v", c.name, short, err)
			}
		}
	}
	if len(methods) != len(matrix) {
		t.Errorf("%d methods, %d in the matrix", len(methods), len(matrix))
	}
}
