package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// methods lists every method that is registered, with a slash in front.
func (r *running) methods() []string {
	r.t.Helper()
	srv, err := r.srv.grpcServer()
	if err != nil {
		r.t.Fatal(err)
	}
	defer srv.Stop()
	var all []string
	for service, info := range srv.GetServiceInfo() {
		for _, m := range info.Methods {
			all = append(all, "/"+service+"/"+m.Name)
		}
	}
	slices.Sort(all)
	return all
}

// TestClass02AnUnknownKeyReachesNoDecoder sends garbage to every method there is,
// and to some that are not: whoever's message were decoded would hear that it is
// garbage. Only Enrol is for strangers.
func TestClass02AnUnknownKeyReachesNoDecoder(t *testing.T) {
	r := start(t)
	stranger := r.stranger(5)
	nobody, err := grpc.NewClient(r.addr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, // a stranger trusts anybody
	})))
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	garbage := strings.Repeat("\xff", 100_000)
	send := func(conn *grpc.ClientConn, method string) error {
		st, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method, grpc.ForceCodecV2(raw{}))
		if err != nil {
			return err
		}
		if err := st.SendMsg(&garbage); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		_ = st.CloseSend() // the answer says more
		var got string
		return st.RecvMsg(&got)
	}
	methods := r.methods()
	if len(methods) < 30 {
		t.Fatalf("only %d methods", len(methods))
	}
	unknown := []string{"/rollcall.v1.Agents/Run", "/rollcall.v1.Admin/Exec", "/grpc.health.v1.Health/Check", "/x/y", "/"}
	for _, m := range methods { // CVE-2026-33186: without the slash, some checks of some servers do not apply
		unknown = append(unknown, m[1:], "/"+m, m+"/")
	}
	refused := []codes.Code{codes.PermissionDenied, codes.Unauthenticated, codes.ResourceExhausted}
	for name, conn := range map[string]*grpc.ClientConn{"an unknown key": stranger.conn, "nobody": nobody} {
		for _, m := range methods {
			if m == rollcallv1.Agents_Enrol_FullMethodName && name == "an unknown key" {
				continue
			}
			if err := anew(func() error { return send(conn, m) }); !slices.Contains(refused, status.Code(err)) {
				t.Errorf("%s: %s: %v, want a refusal", name, m, err)
			}
		}
		for _, m := range unknown {
			err := anew(func() error { return send(conn, m) })
			if code := status.Code(err); code != codes.Unimplemented && code != codes.Internal && !slices.Contains(refused, code) || errors.Is(err, io.EOF) {
				t.Errorf("%s: %q: %v, want a refusal", name, m, err)
			}
			if err != nil && strings.Contains(err.Error(), "unmarshal") {
				t.Errorf("%s: %q: its message was decoded: %v", name, m, err)
			}
		}
	}
}

// TestClass26ThePublicPortSpeaksGRPCAlone: no reflection, no health, no channelz,
// and nothing for a browser.
func TestClass26ThePublicPortSpeaksGRPCAlone(t *testing.T) {
	r := start(t)
	for _, m := range r.methods() {
		if !strings.HasPrefix(m, "/rollcall.v1.") {
			t.Errorf("%s is served", m)
		}
	}
	c, err := tls.Dial("tcp", r.addr, &tls.Config{InsecureSkipVerify: true}) // without ALPN, as an old browser
	if err == nil {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(2 * time.Second))
		_, _ = io.WriteString(c, "GET /debug/pprof/ HTTP/1.1\r\nHost: x\r\n\r\n")
		if b, _ := io.ReadAll(io.LimitReader(c, 1000)); strings.HasPrefix(string(b), "HTTP/1") {
			t.Errorf("HTTP/1.1 is answered: %q", b)
		}
	}
	h2 := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}, ForceAttemptHTTP2: true}
	defer h2.CloseIdleConnections()
	for _, path := range []string{"/", "/metrics", "/debug/pprof/", "/debug/vars", "/debug/requests", "/phpinfo.php", "/rollcall.v1.Admin/Status"} {
		res, err := (&http.Client{Transport: h2, Timeout: 5 * time.Second}).Get("https://" + r.addr + path)
		if err != nil {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(res.Body, 1000))
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK && res.Header.Get("Grpc-Status") == "" || len(b) > 0 && strings.Contains(string(b), "<") || err != nil && len(b) > 0 {
			t.Errorf("%s: a browser gets %s %q", path, res.Status, b)
		}
	}
}

// metricsRoutes is all that the listener for figures answers, on a loopback
// address.
var metricsRoutes = map[string]int{
	"GET /metrics": 200, "HEAD /metrics": 200, "POST /metrics": 405, "GET /": 404, "GET /metrics/": 404, "GET /debug/vars": 404,
	"GET /debug/pprof/": 404, "GET /debug/pprof/cmdline": 404, "GET /debug/requests": 404, "GET /backup": 404, "POST /operator": 404, "GET /phpinfo.php": 404,
}

func TestClass26TheFiguresHaveOneRoute(t *testing.T) {
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := port.Addr().String()
	if err := port.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, func(c *Config) { c.Metrics = addr })
	waitFor(t, "the figures", func() bool {
		c, err := net.Dial("tcp", addr)
		return err == nil && c.Close() == nil
	})
	for route, want := range metricsRoutes {
		method, path, _ := strings.Cut(route, " ")
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != want || res.Body.Close() != nil {
			t.Errorf("%s: %s, want %d", route, res.Status, want)
		}
	}
}

// TestClass30EveryMethodSurvivesMessagesThatMakeNoSense: an admin, and an enrolled
// machine, send every method what a broken or hostile client might; the server
// goes on.
func TestClass30EveryMethodSurvivesMessagesThatMakeNoSense(t *testing.T) {
	r := start(t)
	m, ola := r.machine(1), r.operator("ola", auth.Everywhere(auth.Roles...)...) // kari may log herself out
	var nonsense []string
	for field := 1; field <= 12; field++ {
		for _, value := range []string{"\x00", "../../etc", strings.Repeat("%", 300), "\xff\xfe", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
			nonsense = append(nonsense, string(protowire.AppendString(protowire.AppendTag(nil, protowire.Number(field), protowire.BytesType), value)))
		}
		nonsense = append(nonsense, string(protowire.AppendVarint(protowire.AppendTag(nil, protowire.Number(field), protowire.VarintType), 1<<64-1)))
	}
	nonsense = append(nonsense, "", "\xff", strings.Repeat("\x0a\x00", 5000))
	for _, method := range r.methods() {
		conn := r.kari.conn
		if strings.Contains(method, ".Agents/") {
			conn = m.conn
		}
		for _, text := range nonsense {
			if strings.HasSuffix(method, "/EndLogins") || strings.HasSuffix(method, "Account/Login") { // ends logins, or takes none
				conn = r.operator("eva", auth.Grant{Role: auth.Viewer}).conn
			}
			err := func() error {
				st, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method, grpc.ForceCodecV2(raw{}))
				if err != nil {
					return err
				}
				if err := st.SendMsg(&text); err != nil && !errors.Is(err, io.EOF) {
					return err
				}
				_ = st.CloseSend() // the answer says more
				var got string
				return st.RecvMsg(&got)
			}()
			if code := status.Code(err); code == codes.Unavailable || code == codes.DeadlineExceeded {
				t.Fatalf("%s with %.60q: %v", method, text, err)
			}
		}
	}
	if strings.Contains(r.logs.String(), "panic") {
		t.Errorf("a call panicked: %.2000s", r.logs.String())
	}
	if _, err := ola.Status(t.Context(), &rollcallv1.StatusRequest{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	key, err := identity.LoadKey(r.cfg.KeyFile())
	if err != nil || fmt.Sprint(key) != fmt.Sprint(r.srv.key) {
		t.Errorf("the server's key is another: %v", err)
	}
}
