package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// call makes an empty call of any method, whatever its shape.
func call(ctx context.Context, conn *grpc.ClientConn, method string) error {
	st, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return err
	}
	if err := st.SendMsg(&rollcallv1.StatusRequest{}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := st.CloseSend(); err != nil {
		return err
	}
	for {
		if err := st.RecvMsg(&rollcallv1.StatusRequest{}); err != nil {
			return err
		}
	}
}

func TestUnknownMethodsLeadNowhere(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	for _, method := range []string{
		"/rollcall.v1.Agents/Run", "/rollcall.v1.Nothing/At", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"rollcall.v1.Admin/Status", "//rollcall.v1.Admin/Status", "/rollcall.v1.Admin/Status/", "/ROLLCALL.V1.ADMIN/STATUS", "/", "",
	} {
		for name, conn := range map[string]*grpc.ClientConn{"an agent": m.conn, "an admin": r.kari.conn} {
			err := call(t.Context(), conn, method)
			if errors.Is(err, io.EOF) || status.Code(err) == codes.OK {
				t.Errorf("%s gets an answer from %q", name, method)
			}
		}
	}
	if err := call(t.Context(), r.kari.conn, "/rollcall.v1.Admin/Status"); !errors.Is(err, io.EOF) {
		t.Errorf("the connection is spoilt: %v", err)
	}
}

// An unknown key, and one that is revoked, never reaches the decoder: not a byte
// of the message is looked at.
func TestAnUnknownKeyIsRefusedBeforeItsMessageIsRead(t *testing.T) {
	r := start(t)
	stranger, known := r.stranger(5), r.machine(6)
	garbage := strings.Repeat("\xff", 3<<20)
	send := func(m *machine, method string) error {
		st, err := m.conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, method, grpc.ForceCodecV2(raw{}))
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
	for _, method := range []string{rollcallv1.Agents_Submit_FullMethodName, rollcallv1.Agents_Upload_FullMethodName} {
		// Whose message is read is told that it is garbage.
		if err := send(known, method); status.Code(err) != codes.Internal && status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s of a known key: %v, want a complaint about the message", method, err)
		}
		wantCode(t, method+" of an unknown key", send(stranger, method), codes.PermissionDenied)
	}
	if _, err := r.kari.Revoke(t.Context(), &rollcallv1.DecideRequest{Key: known.ci}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "a revoked key, over the connection that it has", send(known, rollcallv1.Agents_Submit_FullMethodName), codes.PermissionDenied)
}

// raw sends text as the bytes of a message, and reads any message.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*string))}, nil
}

func (raw) Unmarshal(b mem.BufferSlice, v any) error {
	*v.(*string) = string(b.Materialize())
	return nil
}

func TestOnlyTLS13WithoutTickets(t *testing.T) {
	r := start(t)
	dial := func(cfg *tls.Config) (tls.ConnectionState, error) {
		cfg.InsecureSkipVerify = true // what is asked here is not who the server is
		cfg.NextProtos = []string{"h2"}
		c, err := (&tls.Dialer{Config: cfg}).DialContext(t.Context(), "tcp", r.addr)
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, _ = io.Copy(io.Discard, c) // tickets would come now
		return c.(*tls.Conn).ConnectionState(), nil
	}
	if _, err := dial(&tls.Config{MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 is accepted")
	}
	cache := tls.NewLRUClientSessionCache(10)
	for range 2 {
		st, err := dial(&tls.Config{ClientSessionCache: cache, ServerName: "rollcall"})
		if err != nil || st.Version != tls.VersionTLS13 || st.DidResume {
			t.Errorf("TLS %x, resumed %v, %v", st.Version, st.DidResume, err)
		}
	}
	if s, ok := cache.Get("rollcall"); ok && s != nil {
		t.Error("the server gives session tickets out")
	}
	if _, err := dial(&tls.Config{}); err != nil {
		t.Errorf("TLS 1.3: %v", err)
	}
	pin, err := identity.PinOf(identity.Public(mustKey(t)))
	if err != nil {
		t.Fatal(err)
	}
	other, err := identity.ClientTLS([]string{pin}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := (&tls.Dialer{Config: other}).DialContext(t.Context(), "tcp", r.addr); !errors.Is(err, identity.ErrPin) {
		t.Errorf("another pin: %v, %v", c, err)
	}
}

func mustKey(t testing.TB) identity.Key {
	t.Helper()
	k, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAttemptsToEnrolAreBounded(t *testing.T) {
	r := start(t)
	m := r.stranger(9)
	codesSeen := map[codes.Code]int{}
	for range 90 {
		_, err := m.Enrol(t.Context(), &rollcallv1.EnrolRequest{TokenId: []byte("x"), Proof: []byte("y")})
		codesSeen[status.Code(err)]++
	}
	if codesSeen[codes.PermissionDenied] < 50 || codesSeen[codes.PermissionDenied] > 75 || codesSeen[codes.ResourceExhausted] < 15 || len(codesSeen) != 2 {
		t.Errorf("90 attempts at once: %v", codesSeen)
	}
	if _, err := r.kari.Status(t.Context(), &rollcallv1.StatusRequest{}); err != nil {
		t.Errorf("an operator from the same address: %v", err)
	}
}

func TestFailedLoginsLockNobodyOut(t *testing.T) {
	r := start(t)
	c := rollcallv1.NewAdminClient(r.dial(nil))
	last := codes.OK
	for i := range 30 {
		_, err := c.Status(withLogin(t.Context(), fmt.Sprintf("Bearer kari:%032x", i)), &rollcallv1.StatusRequest{})
		last = status.Code(err)
	}
	if last != codes.ResourceExhausted {
		t.Errorf("after 30 failures: %v, want ResourceExhausted", last)
	}
	if _, err := r.kari.Status(t.Context(), &rollcallv1.StatusRequest{}); err != nil {
		t.Errorf("a valid login from the same address: %v", err)
	}
	if n := strings.Count(r.logs.String(), "call refused"); n == 0 || n > 15 {
		t.Errorf("%d lines in the log about 30 failures", n)
	}
}

func TestAPanicInACallEndsThatCallOnly(t *testing.T) {
	r := start(t)
	r.srv.service.Size = func() int64 { panic("planted secret") }
	_, err := r.kari.Status(t.Context(), &rollcallv1.StatusRequest{})
	wantCode(t, "a call that panics", err, codes.Internal)
	if strings.Contains(err.Error(), "planted") || !strings.Contains(r.logs.String(), "planted secret") {
		t.Errorf("the caller is told %q", err)
	}
	if _, err := r.kari.Sites(t.Context(), &rollcallv1.SitesRequest{}); err != nil {
		t.Errorf("the next call: %v", err)
	}
	// In the gate the library would let it end the process.
	log := r.srv.service.Log
	r.srv.service.Engine = nil
	_, err = r.kari.Sites(t.Context(), &rollcallv1.SitesRequest{})
	wantCode(t, "a gate that panics", err, codes.Internal)
	r.srv.service.Engine, r.srv.service.Log = r.srv.engine, log
	if _, err := r.kari.Sites(t.Context(), &rollcallv1.SitesRequest{}); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

func TestHeadersThatClaimAnotherAddressAreNotLookedAt(t *testing.T) {
	r := start(t)
	m := r.stranger(9)
	n := 0
	for i := range 90 {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-forwarded-for", fmt.Sprintf("198.51.100.%d", i), "forwarded", "for=198.51.100.1")
		if _, err := m.Enrol(ctx, &rollcallv1.EnrolRequest{}); status.Code(err) == codes.PermissionDenied {
			n++
		}
	}
	if n > 75 {
		t.Errorf("%d of 90 attempts were heard", n)
	}
}
