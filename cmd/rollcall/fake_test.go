package main

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/query"
	"rollcall/server/report/reporttest"
)

// fake answers operators over TLS on loopback, as the real server would, from
// what fakedata_test.go holds.
type fake struct {
	rollcallv1.UnimplementedItemsServer
	rollcallv1.UnimplementedAdminServer
	rollcallv1.UnimplementedRecoveryServer
	rollcallv1.UnimplementedKeysServer
	rollcallv1.UnimplementedProposalsServer
	rollcallv1.UnimplementedRadarServer
	rollcallv1.UnimplementedAccountServer
	rollcallv1.UnimplementedReportsServer

	kind   string
	fleet  *reporttest.Fleet // answers reports; nil: there are two canned ones
	token  string            // login of kari
	key    identity.Key
	secret []byte
	addr   string
	srv    *grpc.Server
	done   sync.WaitGroup
}

func newFake(kind string) (*fake, error) {
	key, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &fake{kind: kind, key: key, secret: identity.NewSecret(), addr: lis.Addr().String()}
	if f.token, err = f.login(key); err != nil {
		return nil, errors.Join(err, lis.Close())
	}
	switch kind {
	case "away":
		return f, lis.Close()
	case "other":
		if f.key, err = identity.NewKey(); err != nil {
			return nil, errors.Join(err, lis.Close())
		}
	}
	tls, err := identity.ServerTLS(f.key)
	if err != nil {
		return nil, errors.Join(err, lis.Close())
	}
	f.srv = grpc.NewServer(grpc.Creds(credentials.NewTLS(tls)), grpc.UnaryInterceptor(f.intercept))
	rollcallv1.RegisterItemsServer(f.srv, f)
	rollcallv1.RegisterAdminServer(f.srv, f)
	rollcallv1.RegisterRecoveryServer(f.srv, f)
	rollcallv1.RegisterKeysServer(f.srv, f)
	rollcallv1.RegisterProposalsServer(f.srv, f)
	rollcallv1.RegisterRadarServer(f.srv, f)
	rollcallv1.RegisterAccountServer(f.srv, f)
	rollcallv1.RegisterReportsServer(f.srv, f)
	rollcallv1.RegisterSavedServer(f.srv, saved{})
	rollcallv1.RegisterIdentityServer(f.srv, likened{})
	rollcallv1.RegisterPoliciesServer(f.srv, governed{})
	f.done.Go(func() { _ = f.srv.Serve(lis) }) // it ends with stop
	return f, nil
}

func (f *fake) stop() {
	if f.srv != nil {
		f.srv.Stop()
	}
	f.done.Wait()
}

// login makes a login token whose first address answers nobody, so that every
// script also tests that the second one is tried.
func (f *fake) login(key identity.Key) (string, error) {
	pin, err := identity.PinOf(identity.Public(key))
	if err != nil {
		return "", err
	}
	t := identity.Token{ID: "kari", URLs: []string{"127.0.0.1:1", f.addr}, Pins: []string{pin}, Secret: f.secret, Server: identity.Public(key)}
	return t.Encode(identity.LoginPrefix)
}

// intercept checks the login and, for a hostile server, poisons every answer.
func (f *fake) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if got, want := strings.Join(md.Get("authorization"), " "), "Bearer kari:"+hex.EncodeToString(f.secret); got != want || f.kind == "locked" {
		return nil, status.Error(codes.Unauthenticated, "the login is not valid: log in with 'rollcall login'")
	}
	if f.kind == "viewer" && info.FullMethod != rollcallv1.Admin_Status_FullMethodName {
		return nil, status.Error(codes.PermissionDenied, "kari is viewer, this needs operator: not allowed")
	}
	if f.kind == "slow" {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(3 * time.Second):
		}
	}
	reply, err := next(ctx, req)
	if f.kind != "hostile" {
		return reply, err
	}
	if err != nil {
		return nil, status.Error(status.Code(err), poison(status.Convert(err).Message()))
	}
	m := proto.Clone(reply.(proto.Message))
	poisonMessage(m.ProtoReflect())
	return m, nil
}

// known resolves the names of the three CIs.
func known(name string) error {
	for _, i := range items() {
		if i.GetName() == name || i.GetId() == name {
			return nil
		}
	}
	return status.Errorf(codes.NotFound, "CI %q: no such CI", name)
}

// selected evaluates a filter as far as the scripts need it: "name = X" and
// "class = X" alone; every other filter selects all.
func selected(filter string) ([]*rollcallv1.ItemSummary, error) {
	if filter == "" {
		return items(), nil
	}
	if _, err := query.Parse(filter, nil); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	var out []*rollcallv1.ItemSummary
	for _, i := range items() {
		field, value, _ := strings.Cut(filter, " = ")
		value = strings.Trim(value, `"`)
		if field == "name" && i.GetName() != value || field == "class" && i.GetClass() != value {
			continue
		}
		out = append(out, i)
	}
	return out, nil
}

func (f *fake) List(_ context.Context, req *rollcallv1.ListRequest) (*rollcallv1.ListReply, error) {
	found, err := selected(req.GetFilter())
	if err != nil {
		return nil, err
	}
	reply := &rollcallv1.ListReply{}
	if f.kind == "loop" {
		return &rollcallv1.ListReply{Items: found[:1], More: true}, nil
	}
	for _, i := range found {
		if i.GetName() <= req.GetAfter() {
			continue
		}
		// Pages of two, so that every list is asked for page by page.
		if len(reply.Items) == min(2, int(req.GetLimit())) {
			reply.More = true
			break
		}
		reply.Items = append(reply.Items, i)
	}
	if req.GetExplain() {
		reply.Notes = []string{"CI ci0badbad0badbad0badbad is left out"}
		reply.Steps = []*rollcallv1.QueryStep{{Term: req.GetFilter(), How: "posting", Among: 3, Looked: 1, Found: uint64(len(found)), TookUs: 12}}
	}
	return reply, nil
}

func (f *fake) Get(_ context.Context, req *rollcallv1.GetRequest) (*rollcallv1.GetReply, error) {
	if err := known(req.GetCi()); err != nil {
		return nil, err
	}
	reply := &rollcallv1.GetReply{
		Item: items()[1], Fields: map[string]string{"owner": "kari", "name": "room12-pc07"},
		Sets:       sets(req.GetSections()),
		Collectors: collectors(), AgentVersion: "0.1", KeyId: keyID, KeyWords: "acid-acorn-actor-adobe-agent-album-alder-alley",
		Measurements: fact.NewSet([]fact.Fact{{Path: "m/load", Value: "0.12"}}).Encode(),
	}
	if req.GetAtMs() == 0 {
		reply.Observations = []*rollcallv1.Observation{{Ci: "ci00000000000000000001", Name: "tjener", By: "leases nfs", LastMs: items()[1].GetLastSeenMs()}}
	}
	return reply, nil
}

func (f *fake) History(_ context.Context, req *rollcallv1.HistoryRequest) (*rollcallv1.ChangesReply, error) {
	if err := known(req.GetCi()); err != nil {
		return nil, err
	}
	return &rollcallv1.ChangesReply{Revisions: revisions()[:1], More: req.GetLimit() == 1}, nil
}

func (f *fake) Changes(_ context.Context, req *rollcallv1.ChangesRequest) (*rollcallv1.ChangesReply, error) {
	if _, err := selected(req.GetFilter()); err != nil {
		return nil, err
	}
	reply := &rollcallv1.ChangesReply{}
	for _, r := range revisions() {
		if r.GetRecordedMs() >= req.GetSinceMs() && (req.GetUntilMs() == 0 || r.GetRecordedMs() <= req.GetUntilMs()) {
			reply.Revisions = append(reply.Revisions, r)
		}
	}
	return reply, nil
}

func (f *fake) Set(_ context.Context, req *rollcallv1.SetRequest) (*rollcallv1.SetReply, error) {
	if err := known(req.GetCi()); err != nil {
		return nil, err
	}
	if _, ok := req.GetFields()["mac"]; ok {
		return nil, status.Error(codes.InvalidArgument, "field mac: not allowed: it is observed, not declared")
	}
	return &rollcallv1.SetReply{Item: items()[1], Revision: 15}, nil
}

func (f *fake) File(_ context.Context, req *rollcallv1.FileRequest) (*rollcallv1.FileReply, error) {
	if err := known(req.GetCi()); err != nil {
		return nil, err
	}
	reply, ok := files()[req.GetPath()]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "file %q of %s: no such CI: it was never there", req.GetPath(), req.GetCi())
	}
	return reply, nil
}

func (f *fake) FileLog(_ context.Context, req *rollcallv1.FileLogRequest) (*rollcallv1.FileLogReply, error) {
	if err := known(req.GetCi()); err != nil {
		return nil, err
	}
	return fileLog(), nil
}

func (f *fake) Compare(_ context.Context, req *rollcallv1.CompareRequest) (*rollcallv1.CompareReply, error) {
	for _, filter := range []string{req.GetBroken(), req.GetWorking()} {
		if _, err := selected(filter); err != nil {
			return nil, err
		}
	}
	return comparison(), nil
}

func (f *fake) Why(_ context.Context, req *rollcallv1.WhyRequest) (*rollcallv1.WhyReply, error) {
	if err := known(req.GetCi()); err != nil {
		return nil, err
	}
	return reasons(), nil
}

func (f *fake) Shared(_ context.Context, req *rollcallv1.SharedRequest) (*rollcallv1.SharedReply, error) {
	if _, err := selected(req.GetFilter()); err != nil {
		return nil, err
	}
	return shared(req.GetKinds()), nil
}

func (f *fake) First(_ context.Context, req *rollcallv1.FirstRequest) (*rollcallv1.FirstReply, error) {
	if _, err := selected(req.GetFilter()); err != nil {
		return nil, err
	}
	return firstReply(req.GetCondition(), int(req.GetLimit())), nil
}

func (f *fake) Manifest(_ context.Context, req *rollcallv1.ManifestRequest) (*rollcallv1.ManifestReply, error) {
	if err := known(req.GetCi()); err != nil {
		return nil, err
	}
	return manifest(), nil
}

func (f *fake) Complete(_ context.Context, req *rollcallv1.CompleteRequest) (*rollcallv1.CompleteReply, error) {
	words := map[string][]string{
		"ci": {"room12-pc07", "room12-pc08", "tjener"}, "site": {"elm", "elm/north", "elm/south"},
		"file": {"/etc/cups/cupsd.conf", "/etc/hosts"},
	}[req.GetKind()]
	reply := &rollcallv1.CompleteReply{}
	for _, w := range words {
		if strings.HasPrefix(w, req.GetPrefix()) {
			reply.Words = append(reply.Words, w)
		}
	}
	return reply, nil
}
