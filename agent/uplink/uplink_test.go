package uplink

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a server that says what a test wants it to.
type fake struct {
	rollcallv1.UnimplementedAgentsServer
	rollcallv1.UnimplementedItemsServer
	key     identity.Key
	enrol   func(context.Context, *rollcallv1.EnrolRequest) (*rollcallv1.EnrolReply, error)
	submit  func([]byte) (*rollcallv1.SubmitReply, error)
	stored  map[fact.Digest][]byte
	content func(*rollcallv1.ContentRequest, grpc.ServerStreamingServer[rollcallv1.ContentReply]) error
	sets    [][]byte
	auth    string

	manifest *rollcallv1.ManifestReply // instead of one of the sets
}

func (f *fake) Enrol(ctx context.Context, r *rollcallv1.EnrolRequest) (*rollcallv1.EnrolReply, error) {
	return f.enrol(ctx, r)
}

func (f *fake) Submit(_ context.Context, r *rollcallv1.SubmitRequest) (*rollcallv1.SubmitReply, error) {
	return f.submit(r.GetEnvelope())
}

func (f *fake) Upload(st grpc.ClientStreamingServer[rollcallv1.UploadRequest, rollcallv1.UploadReply]) error {
	var d fact.Digest
	for {
		r, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return st.SendAndClose(&rollcallv1.UploadReply{Stored: uint32(len(f.stored))})
		}
		if err != nil {
			return err
		}
		if len(r.GetDigest()) > 0 {
			copy(d[:], r.GetDigest())
			f.stored[d] = nil
		}
		if len(r.GetData()) > 64<<10 {
			return status.Error(codes.InvalidArgument, "part too large")
		}
		f.stored[d] = append(f.stored[d], r.GetData()...)
	}
}

func (f *fake) Manifest(ctx context.Context, r *rollcallv1.ManifestRequest) (*rollcallv1.ManifestReply, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	f.auth = strings.Join(md.Get("authorization"), ",")
	if f.manifest != nil {
		return f.manifest, nil
	}
	return &rollcallv1.ManifestReply{Ci: "id", Name: r.GetCi(), Revision: 7, RecordedMs: 1000, Sets: f.sets}, nil
}

func (f *fake) Content(r *rollcallv1.ContentRequest, st grpc.ServerStreamingServer[rollcallv1.ContentReply]) error {
	return f.content(r, st)
}

func key(t testing.TB) identity.Key {
	t.Helper()
	k, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// serve starts the fake on loopback and returns a client that trusts it.
func serve(t *testing.T, f *fake) *Client {
	t.Helper()
	f.key = key(t)
	f.stored = map[fact.Digest][]byte{}
	cfg, err := identity.ServerTLS(f.key)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(cfg)), grpc.MaxRecvMsgSize(8<<20), grpc.MaxSendMsgSize(64<<20))
	rollcallv1.RegisterAgentsServer(s, f)
	rollcallv1.RegisterItemsServer(s, f)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	pin, err := identity.PinOf(identity.Public(f.key))
	if err != nil {
		t.Fatal(err)
	}
	return &Client{Addresses: []string{l.Addr().String()}, Pins: []string{pin}, Key: key(t), Timeout: 10 * time.Second}
}

func connect(t *testing.T, c *Client) *Session {
	t.Helper()
	s, err := c.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func tokenOf(f *fake) identity.Token {
	return identity.Token{ID: "0a0b", Secret: []byte("0123456789abcdef"), Server: identity.Public(f.key), Name: "kari"}
}

func TestEnrolProvesTheTokenOnThisConnectionOnly(t *testing.T) {
	f := &fake{}
	var exporter []byte
	f.enrol = func(ctx context.Context, r *rollcallv1.EnrolRequest) (*rollcallv1.EnrolReply, error) {
		p, _ := peer.FromContext(ctx)
		info, ok := p.AuthInfo.(credentials.TLSInfo)
		if !ok {
			return nil, errors.New("no TLS")
		}
		pub, err := identity.PeerKey(info.State)
		if err != nil {
			return nil, err
		}
		exporter, err = info.State.ExportKeyingMaterial(identity.ExporterLabel, nil, 32)
		if err != nil {
			return nil, err
		}
		want := identity.Proof(identity.HashSecret(tokenOf(f).Secret), exporter, pub)
		if !bytes.Equal(want, r.GetProof()) || !bytes.Equal(r.GetTokenId(), []byte{10, 11}) {
			return nil, status.Error(codes.PermissionDenied, "bad proof")
		}
		return &rollcallv1.EnrolReply{Outcome: rollcallv1.EnrolReply_ENROLLED, Ci: "ci-1", Realm: identity.RealmOf(identity.Public(f.key))}, nil
	}
	c := serve(t, f)
	a, err := connect(t, c).Enrol(t.Context(), tokenOf(f), Hello{Hostname: "pc07\x1b[31m"})
	if err != nil || a.CI != "ci-1" {
		t.Fatalf("Enrol = %+v, %v", a, err)
	}
	first := exporter
	if _, err := connect(t, c).Enrol(t.Context(), tokenOf(f), Hello{}); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first, exporter) {
		t.Error("two connections have one exporter value: a proof could be replayed")
	}
}

func TestEnrolRefusesAnswersThatMakeNoSense(t *testing.T) {
	f := &fake{}
	c := serve(t, f)
	realm := identity.RealmOf(identity.Public(f.key))
	for name, r := range map[string]*rollcallv1.EnrolReply{
		"another realm": {Outcome: rollcallv1.EnrolReply_ENROLLED, Ci: "ci-1", Realm: make([]byte, 16)},
		"no CI":         {Outcome: rollcallv1.EnrolReply_ENROLLED, Realm: realm},
		"CI with path":  {Outcome: rollcallv1.EnrolReply_ENROLLED, Ci: "../x\x1b", Realm: realm},
		"no outcome":    {Realm: realm},
		"odd outcome":   {Outcome: 77, Realm: realm},
	} {
		f.enrol = func(context.Context, *rollcallv1.EnrolRequest) (*rollcallv1.EnrolReply, error) { return r, nil }
		if a, err := connect(t, c).Enrol(t.Context(), tokenOf(f), Hello{}); !errors.Is(err, ErrReply) {
			t.Errorf("%s: %+v, %v, want ErrReply", name, a, err)
		}
	}
}

func TestAServerWithAnotherKeyGetsNoApplicationByte(t *testing.T) {
	other := key(t)
	cfg, err := identity.ServerTLS(other)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var got atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		n, _ := io.Copy(io.Discard, conn)
		got.Store(n)
		_ = conn.Close()
	}()
	c := &Client{Addresses: []string{l.Addr().String()}, Pins: []string{"sha256:" + strings.Repeat("0", 64)}, Key: key(t)}
	_, err = c.Connect(t.Context())
	if !errors.Is(err, identity.ErrPin) || errors.Is(err, ErrAway) {
		t.Errorf("Connect: %v, want ErrPin", err)
	}
	<-done
	if got.Load() != 0 {
		t.Errorf("the other server got %d application bytes", got.Load())
	}
}

func TestAddressesAreTriedInOrder(t *testing.T) {
	f := &fake{submit: func([]byte) (*rollcallv1.SubmitReply, error) {
		return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_SEEN}, nil
	}}
	c := serve(t, f)
	good := c.Addresses[0]
	c.Addresses = []string{"127.0.0.1:1", good, "127.0.0.1:2"}
	s := connect(t, c)
	if _, err := s.Submit(t.Context(), []byte("x")); err != nil || s.Address() != good {
		t.Errorf("Submit at %s: %v", s.Address(), err)
	}
	c.Addresses = []string{"127.0.0.1:1", "127.0.0.1:2"}
	if _, err := c.Connect(t.Context()); !errors.Is(err, ErrAway) || !strings.Contains(err.Error(), "127.0.0.1:2") {
		t.Errorf("Connect: %v, want ErrAway that names both", err)
	}
}

func TestOnlyAGenuineReceiptAcknowledges(t *testing.T) {
	f := &fake{}
	c := serve(t, f)
	envelope := []byte("an envelope")
	good := identity.Receipt{Envelope: sha256.Sum256(envelope), Index: 1, At: 2}.Sign(f.key)
	recorded := func(raw []byte) *rollcallv1.SubmitReply {
		return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_RECORDED, Receipt: raw}
	}
	f.submit = func([]byte) (*rollcallv1.SubmitReply, error) { return recorded(good), nil }
	a, err := connect(t, c).Submit(t.Context(), envelope)
	if err != nil || !bytes.Equal(a.Raw, good) || a.Receipt.Index != 1 {
		t.Fatalf("Submit = %+v, %v", a, err)
	}
	for name, r := range map[string]*rollcallv1.SubmitReply{
		"no receipt":        recorded(nil),
		"cut receipt":       recorded(good[:len(good)-1]),
		"long receipt":      recorded(append(bytes.Clone(good), 0)),
		"another envelope":  recorded(identity.Receipt{Envelope: sha256.Sum256([]byte("x"))}.Sign(f.key)),
		"another key":       recorded(identity.Receipt{Envelope: sha256.Sum256(envelope)}.Sign(key(t))),
		"no outcome":        {},
		"odd outcome":       {Outcome: 99},
		"nothing missing":   {Outcome: rollcallv1.SubmitReply_NEED_CONTENT},
		"short digest":      {Outcome: rollcallv1.SubmitReply_NEED_CONTENT, Missing: [][]byte{{1}}},
		"long digest":       {Outcome: rollcallv1.SubmitReply_NEED_CONTENT, Missing: [][]byte{make([]byte, 33)}},
		"everything wanted": {Outcome: rollcallv1.SubmitReply_NEED_CONTENT, Missing: make([][]byte, maxMissing+1)},
	} {
		f.submit = func([]byte) (*rollcallv1.SubmitReply, error) { return r, nil }
		if a, err := connect(t, c).Submit(t.Context(), envelope); !errors.Is(err, ErrReply) {
			t.Errorf("%s: %+v, %v, want ErrReply", name, a, err)
		}
	}
}

func TestErrorsTellWhatToDo(t *testing.T) {
	f := &fake{}
	c := serve(t, f)
	for code, want := range map[codes.Code]error{
		codes.Unavailable: ErrAway, codes.ResourceExhausted: ErrBusy, codes.Internal: ErrBusy, codes.PermissionDenied: ErrKey,
		codes.Unauthenticated: ErrKey, codes.InvalidArgument: ErrRejected, codes.FailedPrecondition: ErrRejected, codes.Unimplemented: ErrReply,
	} {
		f.submit = func([]byte) (*rollcallv1.SubmitReply, error) { return nil, status.Error(code, "because\x1b[2J\n") }
		_, err := connect(t, c).Submit(t.Context(), []byte("x"))
		if !errors.Is(err, want) || strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%v: %q, want %v", code, err, want)
		}
	}
	f.submit = func([]byte) (*rollcallv1.SubmitReply, error) {
		return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_SEEN, Receipt: make([]byte, 2<<20)}, nil
	}
	if _, err := connect(t, c).Submit(t.Context(), []byte("x")); err == nil {
		t.Error("a reply of 2 MiB was taken")
	}
}

func TestASilentServerEndsWithTheExchange(t *testing.T) {
	f := &fake{}
	c := serve(t, f)
	hang := make(chan struct{})
	defer close(hang)
	f.submit = func([]byte) (*rollcallv1.SubmitReply, error) { <-hang; return &rollcallv1.SubmitReply{}, nil }
	c.Timeout = 50 * time.Millisecond
	if _, err := connect(t, c).Submit(t.Context(), []byte("x")); !errors.Is(err, ErrAway) {
		t.Errorf("Submit: %v, want ErrAway", err)
	}
}

func TestAnUploadPartFitsTheBufferThatIsMeantForIt(t *testing.T) {
	part := &rollcallv1.UploadRequest{Digest: make([]byte, 32), Size: 1 << 40, Data: make([]byte, partSize)}
	if n := proto.Size(part); n > 32<<10 {
		t.Errorf("a part has %d bytes: the buffer for more than 32 KiB has 1 MiB", n)
	}
}

func TestUploadSendsWholeContentsInParts(t *testing.T) {
	f := &fake{}
	c := serve(t, f)
	have := map[fact.Digest][]byte{}
	var want []fact.Digest
	for _, n := range []int{0, 1, partSize, partSize + 1, 3*partSize - 1} {
		b := bytes.Repeat([]byte{byte(n)}, n)
		d := fact.Digest(sha256.Sum256(b))
		have[d], want = b, append(want, d)
	}
	if err := connect(t, c).Upload(t.Context(), want, func(d fact.Digest) ([]byte, error) { return have[d], nil }); err != nil {
		t.Fatal(err)
	}
	for d, b := range have {
		if !bytes.Equal(f.stored[d], b) {
			t.Errorf("content of %d bytes arrived as %d", len(b), len(f.stored[d]))
		}
	}
	gone := errors.New("gone")
	if err := connect(t, c).Upload(t.Context(), want, func(fact.Digest) ([]byte, error) { return nil, gone }); !errors.Is(err, gone) {
		t.Errorf("Upload: %v, want the reader's error", err)
	}
}

func TestAServerMayDemandADayAndNoMore(t *testing.T) {
	b := Backoff{Rand: func(n int64) int64 { return n - 1 }}
	if got := b.Next(bounded(1<<32 - 1)); got > MaxRetry+MaxRetry/10 {
		t.Errorf("Next = %v", got)
	}
	if got := b.Next(-time.Hour); got < MinWait || got > MaxWait {
		t.Errorf("Next(-1h) = %v", got)
	}
}

func TestBackoffSpreadsOverADoublingRange(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	b := Backoff{Rand: r.Int64N}
	for i := range 100 {
		bound := MaxWait
		if i < 8 {
			bound = min(MaxWait, 10*time.Second<<i)
		}
		if got := b.Next(0); got < MinWait || got > bound {
			t.Errorf("attempt %d: %v, want %v to %v", i, got, MinWait, bound)
		}
	}
	b.Reset()
	if got := b.Next(0); got > 10*time.Second {
		t.Errorf("after Reset: %v", got)
	}
	if got := b.Next(time.Hour); got < time.Hour || got > 66*time.Minute {
		t.Errorf("with a demand of 1h: %v", got)
	}
}

func TestARestoreFetchesWhatItAskedForAndNothingElse(t *testing.T) {
	f := &fake{sets: [][]byte{fact.NewSet([]fact.Fact{{Path: "etc/motd", Value: "x"}}).Encode()}}
	c := serve(t, f)
	c.Key = nil
	s := connect(t, c)
	ctx := Authorized(t.Context(), tokenOf(f))
	m, err := s.Manifest(ctx, "pc07", time.Time{})
	if err != nil || m.Name != "pc07" || len(m.Sets) != 1 {
		t.Fatalf("Manifest = %+v, %v", m, err)
	}
	if want := "Bearer 0a0b:" + hex.EncodeToString(tokenOf(f).Secret); f.auth != want {
		t.Errorf("authorization = %q, want %q", f.auth, want)
	}
	good := bytes.Repeat([]byte("a"), 100_000)
	digest := sha256.Sum256(good)
	sum := md5.Sum(good)
	sumText := hex.EncodeToString(sum[:])
	type reply = rollcallv1.ContentReply
	tests := []struct {
		name    string
		replies []*reply
		ok      bool
	}{
		{"in two parts", []*reply{{Digest: digest[:], Size: 100_000, Data: good[:60_000]}, {Data: good[60_000:]}}, true},
		{"by md5", []*reply{{Md5: sumText, Size: 100_000, Data: good}}, true},
		{"cut", []*reply{{Digest: digest[:], Size: 100_000, Data: good[:60_000]}}, false},
		{"too much", []*reply{{Digest: digest[:], Size: 60_000, Data: good}}, false},
		{"changed", []*reply{{Digest: digest[:], Size: 3, Data: []byte("abc")}}, false},
		{"not asked for", []*reply{{Digest: hashOf("abc"), Size: 3, Data: []byte("abc")}}, false},
		{"huge", []*reply{{Digest: digest[:], Size: 1 << 40}}, false},
		{"empty parts for ever", []*reply{{Digest: digest[:], Size: 3}, {}, {}}, false},
	}
	for _, tt := range tests {
		f.content = func(_ *rollcallv1.ContentRequest, st grpc.ServerStreamingServer[reply]) error {
			for _, r := range tt.replies {
				if err := st.Send(r); err != nil {
					return err
				}
			}
			return nil
		}
		n := 0
		err := s.Contents(ctx, "pc07", time.Time{}, []fact.Digest{digest}, []string{sumText}, func(_ fact.Digest, _ string, b []byte) error {
			n += len(b)
			return nil
		})
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrReply) || (n == len(good)) != tt.ok {
			t.Errorf("%s: %d bytes, %v", tt.name, n, err)
		}
	}
	f.sets = [][]byte{[]byte("\x01\x05bad")}
	if _, err := s.Manifest(ctx, "pc07", time.Time{}); !errors.Is(err, ErrReply) {
		t.Errorf("Manifest of bad bytes: %v, want ErrReply", err)
	}
}

func hashOf(s string) []byte {
	d := sha256.Sum256([]byte(s))
	return d[:]
}

// A hostile server may say anything: the agent gives an error or an answer, and
// goes on.
func TestRandomRepliesDoNoHarm(t *testing.T) {
	f := &fake{}
	c := serve(t, f)
	r := rand.New(rand.NewPCG(3, 4))
	f.submit = func([]byte) (*rollcallv1.SubmitReply, error) {
		b := make([]byte, r.IntN(200))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return &rollcallv1.SubmitReply{
			Outcome: rollcallv1.SubmitReply_Outcome(r.IntN(8)), Receipt: b, Missing: [][]byte{b}, RetryAfterS: r.Uint32(), ServerTimeMs: int64(r.Uint64()),
		}, nil
	}
	s := connect(t, c)
	for i := range 300 {
		a, err := s.Submit(t.Context(), fmt.Append(nil, i))
		if a.Outcome == rollcallv1.SubmitReply_RECORDED || a.Retry > MaxRetry || err != nil && !errors.Is(err, ErrReply) {
			t.Fatalf("Submit = %+v, %v", a, err)
		}
	}
}

// A refusal may say when to try again; a hostile one cannot silence an agent.
func TestARefusalTellsWhenToTryAgain(t *testing.T) {
	f := &fake{}
	c := serve(t, f)
	for told, want := range map[time.Duration]time.Duration{0: 0, 90 * time.Second: 90 * time.Second, -time.Hour: 0, 400 * 24 * time.Hour: MaxRetry} {
		f.submit = func([]byte) (*rollcallv1.SubmitReply, error) {
			st, err := status.New(codes.ResourceExhausted, "busy").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(told)})
			if err != nil {
				return nil, err
			}
			return nil, st.Err()
		}
		_, err := connect(t, c).Submit(t.Context(), []byte("x"))
		if !errors.Is(err, ErrBusy) || RetryAfter(err) != want {
			t.Errorf("told %v: %v with %v, want ErrBusy with %v", told, err, RetryAfter(err), want)
		}
	}
	if RetryAfter(ErrBusy) != 0 {
		t.Error("an error without a time has one")
	}
}
