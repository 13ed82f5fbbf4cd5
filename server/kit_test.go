package server

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/internal/sim"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// running is a server in this process, reached over TLS.
type running struct {
	t    testing.TB
	cfg  Config
	srv  *Server
	addr string
	logs *logs
	stop func() error // tells Run to end, and returns what it returned
	end  func() error // waits for the end
	kari *operator    // who may do everything

	fails bool // Run must return an error
}

// logs keeps what the server logs.
type logs struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// folder makes the data folder of a server. Its path is short enough for a
// socket whatever the test's name is.
func folder(t testing.TB) Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "rc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	cfg := Defaults()
	cfg.Data, cfg.Listen, cfg.Metrics = dir+"/data", "127.0.0.1:0", ""
	if made, err := Init(t.Context(), cfg); err != nil || !made {
		t.Fatalf("Init: %v, %v", made, err)
	}
	return cfg
}

// start runs a server on a new folder until the test ends.
func start(t testing.TB, change ...func(*Config)) *running {
	t.Helper()
	cfg := folder(t)
	for _, c := range change {
		c(&cfg)
	}
	return startOn(t, cfg)
}

func startOn(t testing.TB, cfg Config) *running {
	t.Helper()
	r := &running{t: t, cfg: cfg, logs: &logs{}}
	var err error
	r.srv, err = New(t.Context(), cfg, "test", slog.New(slog.NewTextHandler(r.logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() { done <- r.srv.Run(ctx, func(a net.Addr) { ready <- a }) }()
	r.end = sync.OnceValue(func() error { return <-done })
	r.stop = func() error {
		cancel()
		return r.end()
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil && !r.fails {
			t.Errorf("Run = %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%.4000s", r.logs.String())
		}
	})
	select {
	case a := <-ready:
		r.addr = a.String()
	case err := <-done:
		done <- err
		t.Fatal(err)
	}
	r.kari = r.operator("kari", auth.Everywhere(auth.Roles...)...)
	return r
}

// operator is a person with a login.
type operator struct {
	rollcallv1.ItemsClient
	rollcallv1.AdminClient
	rollcallv1.EvidenceClient
	rollcallv1.KeysClient
	rollcallv1.ProposalsClient
	rollcallv1.RadarClient
	rollcallv1.AccountClient
	rollcallv1.TrailClient
	rollcallv1.ReportsClient
	rollcallv1.IdentityClient
	conn  *grpc.ClientConn
	token identity.Token
}

// operator admits an operator through the socket, as rollcall-server does.
func (r *running) operator(name string, grants ...auth.Grant) *operator {
	r.t.Helper()
	var text string
	var err error
	for range 100 { // the socket is not there at once
		cfg := r.cfg
		cfg.Addresses = nil
		if text, err = AddOperator(r.t.Context(), cfg, name, grants...); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	token, err := identity.ParseToken(identity.LoginPrefix, text)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.as(token)
}

// as is a person with a login token, or with that of a session.
func (r *running) as(token identity.Token) *operator {
	r.t.Helper()
	conn := r.dial(nil, grpc.WithPerRPCCredentials(bearer("Bearer "+token.ID+":"+hex.EncodeToString(token.Secret))))
	return &operator{
		rollcallv1.NewItemsClient(conn), rollcallv1.NewAdminClient(conn), rollcallv1.NewEvidenceClient(conn),
		rollcallv1.NewKeysClient(conn), rollcallv1.NewProposalsClient(conn), rollcallv1.NewRadarClient(conn),
		rollcallv1.NewAccountClient(conn), rollcallv1.NewTrailClient(conn), rollcallv1.NewReportsClient(conn),
		rollcallv1.NewIdentityClient(conn), conn, token,
	}
}

// bearer shows a login with each call.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": string(b)}, nil
}

func (b bearer) RequireTransportSecurity() bool { return true }

// dial opens a connection, with an agent's key or without one.
func (r *running) dial(key identity.Key, more ...grpc.DialOption) *grpc.ClientConn {
	r.t.Helper()
	conn, _ := r.dialState(key, more...)
	return conn
}

// visit opens a connection that shows a machine's pass and that its caller closes.
func (r *running) visit(m *machine) *grpc.ClientConn {
	r.t.Helper()
	pin, err := identity.PinOf(identity.Public(r.srv.key))
	if err != nil {
		r.t.Fatal(err)
	}
	cfg, err := identity.ClientTLS([]string{pin}, m.Key)
	if err != nil {
		r.t.Fatal(err)
	}
	cfg.ServerName = identity.PassName(identity.IDOf(identity.Public(m.Key)), m.pass)
	conn, err := grpc.NewClient("passthrough:///"+r.addr, grpc.WithAuthority(cfg.ServerName), grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
	if err != nil {
		r.t.Fatal(err)
	}
	return conn
}

// dialState also gives what the handshake agreed on.
func (r *running) dialState(key identity.Key, more ...grpc.DialOption) (*grpc.ClientConn, *handshake) {
	r.t.Helper()
	pin, err := identity.PinOf(identity.Public(r.srv.key))
	if err != nil {
		r.t.Fatal(err)
	}
	cfg, err := identity.ClientTLS([]string{pin}, key)
	if err != nil {
		r.t.Fatal(err)
	}
	h := &handshake{TransportCredentials: credentials.NewTLS(cfg)}
	conn, err := grpc.NewClient("passthrough:///"+r.addr, append(more, grpc.WithTransportCredentials(h))...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn, h
}

// handshake keeps the state of the newest connection.
type handshake struct {
	credentials.TransportCredentials
	mu    sync.Mutex
	state tls.ConnectionState
}

func (h *handshake) ClientHandshake(ctx context.Context, authority string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, c)
	if t, ok := info.(credentials.TLSInfo); ok {
		h.mu.Lock()
		h.state = t.State
		h.mu.Unlock()
	}
	return conn, info, err
}

func (h *handshake) Clone() credentials.TransportCredentials { return h }

func (h *handshake) exporter(t testing.TB) []byte {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	b, err := h.state.ExportKeyingMaterial(identity.ExporterLabel, nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// machine is a simulated agent and its connection.
type machine struct {
	*sim.Machine
	rollcallv1.AgentsClient
	conn  *grpc.ClientConn
	ci    string
	acked []Acknowledged
	pass  []byte
}

// machine enrols a machine over the wire, with a token from kari.
func (r *running) machine(number uint64) *machine {
	r.t.Helper()
	m := r.stranger(number)
	reply, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{}))
	if err != nil || reply.GetOutcome() != rollcallv1.EnrolReply_ENROLLED {
		r.t.Fatalf("enrol: %v, %v", reply.GetOutcome(), err)
	}
	m.ci = reply.GetCi()
	return m
}

// stranger is a machine that is not enrolled.
func (r *running) stranger(number uint64) *machine {
	r.t.Helper()
	m, err := sim.NewMachine(number, identity.Public(r.srv.key))
	if err != nil {
		r.t.Fatal(err)
	}
	m.Install(40, 5)
	conn := r.dial(m.Key)
	return &machine{Machine: m, AgentsClient: rollcallv1.NewAgentsClient(conn), conn: conn}
}

func (r *running) token(req *rollcallv1.NewTokenRequest) identity.Token {
	r.t.Helper()
	reply, err := r.kari.NewToken(r.t.Context(), req)
	if err != nil {
		r.t.Fatal(err)
	}
	token, err := identity.ParseToken(identity.EnrolPrefix, reply.GetToken())
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

// enrol asks for admission over a connection of its own, whose exporter it knows.
func (r *running) enrol(m *machine, token identity.Token) (*rollcallv1.EnrolReply, error) {
	r.t.Helper()
	conn, h := r.dialState(m.Key)
	defer conn.Close()
	conn.Connect()
	for conn.GetState().String() != "READY" {
		if !conn.WaitForStateChange(r.t.Context(), conn.GetState()) {
			r.t.Fatal("no connection")
		}
	}
	id, err := hex.DecodeString(token.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return rollcallv1.NewAgentsClient(conn).Enrol(r.t.Context(), &rollcallv1.EnrolRequest{
		TokenId: id, Proof: identity.Proof(identity.HashSecret(token.Secret), h.exporter(r.t), identity.Public(m.Key)),
		Hostname: m.Name, AgentVersion: "test", Facts: fact.NewSet(slices.Concat(m.Facts["id"], m.Facts["net"])).Encode(),
	})
}

// report sends a report that must be recorded.
func (m *machine) report(t testing.TB, full bool) *rollcallv1.SubmitReply {
	t.Helper()
	env, err := m.Report(full)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
	if err != nil || reply.GetOutcome() != rollcallv1.SubmitReply_RECORDED {
		t.Fatalf("report: %v, %v", reply.GetOutcome(), err)
	}
	m.acked = append(m.acked, Acknowledged{env, reply.GetReceipt()})
	if reply.GetPass() != nil {
		m.pass = reply.GetPass()
	}
	return reply
}

// wantWhole ends a test that broke something: the data folder of a server that
// has stopped must pass CheckAll, with all that was acknowledged.
func wantWhole(t *testing.T, cfg Config, known Known) {
	t.Helper()
	rep, err := CheckAll(t.Context(), cfg, known)
	if err != nil {
		t.Errorf("CheckAll: %v", err)
	}
	for _, f := range rep.Faults {
		t.Errorf("CheckAll: %s", f)
	}
}

// rotate gives the machine a new key and returns it.
func (m *machine) rotate(t testing.TB, r *running) (identity.Key, error) {
	t.Helper()
	next := mustKey(t)
	statement, err := identity.SealRotation(m.Key, next, r.srv.service.Ingest.RealmID(), m.ci)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Rotate(t.Context(), &rollcallv1.RotateRequest{Statement: statement})
	return next, err
}

// fork lets a copy of the machine report something that does not follow.
func (m *machine) fork(t testing.TB) {
	t.Helper()
	m.report(t, true)
	if _, err := m.Report(true); err != nil { // that of another place, which is never sent
		t.Fatal(err)
	}
	env, err := m.Report(true)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
	if err != nil || reply.GetOutcome() != rollcallv1.SubmitReply_QUARANTINED {
		t.Fatalf("a report that does not follow: %v, %v, want QUARANTINED", reply.GetOutcome(), err)
	}
}

func wantCode(t testing.TB, what string, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("%s: %v (%v), want %v", what, got, err, want)
	}
}

// withLogin adds a header as it is.
func withLogin(ctx context.Context, words ...string) context.Context {
	for _, w := range words {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", w)
	}
	return ctx
}

// scrape reads the figures for Prometheus.
func scrape(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, res.Status, err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// anew makes a call again, on a new connection, if the server has just ended the
// one it was made on, as it does after so many refusals (refusalsUntil).
func anew(call func() error) error {
	err := call()
	if status.Code(err) == codes.Unavailable {
		err = call()
	}
	return err
}
