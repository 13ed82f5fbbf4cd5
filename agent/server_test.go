package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"rollcall/agent/uplink"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// fakeServer keeps one machine's chain as a server must: it takes what continues
// it, and nothing else.
type fakeServer struct {
	rollcallv1.UnimplementedAgentsServer
	t   *testing.T
	key identity.Key

	mu       sync.Mutex
	away     bool
	mood     func(*rollcallv1.Body) (*rollcallv1.SubmitReply, error) // what it says instead, once
	head     [32]byte
	seq      uint64
	sets     map[string]fact.Set
	contents map[fact.Digest][]byte
	receipts map[[32]byte][]byte
	reports  []*rollcallv1.Report
	ticks    int
	got      bytes.Buffer // everything that came, unpacked
	address  string

	asked   map[identity.KeyID]bool // keys that asked for admission
	pending bool                    // an operator has to approve
	trust   string                  // class that receipts tell
	policy  []byte                  // that an operator published

	policyHas *uint64 // version that the machine says it has
	realm     []byte
	speaks    identity.KeyID // the key that is enrolled; zero: any
	knows     [][]byte       // statements of rotation that were taken
	lose      func() error   // what happens to the answer to a rotation
}

func startServer(t *testing.T) *fakeServer {
	t.Helper()
	k, err := identity.NewKey()
	must(t, err)
	s := &fakeServer{t: t, key: k, realm: identity.RealmOf(identity.Public(k)), contents: map[fact.Digest][]byte{}, receipts: map[[32]byte][]byte{}, asked: map[identity.KeyID]bool{}, sets: map[string]fact.Set{}}
	cfg, err := identity.ServerTLS(k)
	must(t, err)
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(cfg)), grpc.MaxRecvMsgSize(8<<20))
	rollcallv1.RegisterAgentsServer(g, s)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.address = l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	t.Cleanup(func() { g.Stop(); must(t, <-done) })
	return s
}

// dial is the way to the server, which may be cut.
func (s *fakeServer) dial() *uplink.Client {
	return &uplink.Client{Timeout: 20 * time.Second, Dial: func(ctx context.Context, address string) (net.Conn, error) {
		s.mu.Lock()
		away := s.away
		s.mu.Unlock()
		if away {
			return nil, errors.New("no route to host")
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}}
}

func (s *fakeServer) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func (s *fakeServer) token(t *testing.T) identity.Token {
	t.Helper()
	pin, err := identity.PinOf(identity.Public(s.key))
	must(t, err)
	return identity.Token{ID: "0102", URLs: []string{s.address}, Pins: []string{pin}, Secret: identity.NewSecret(), Server: identity.Public(s.key)}
}

func (s *fakeServer) Enrol(ctx context.Context, _ *rollcallv1.EnrolRequest) (*rollcallv1.EnrolReply, error) {
	p, _ := peer.FromContext(ctx)
	pub, err := identity.PeerKey(p.AuthInfo.(credentials.TLSInfo).State)
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[identity.IDOf(pub)] = true
	if s.pending {
		return &rollcallv1.EnrolReply{Outcome: rollcallv1.EnrolReply_PENDING, Note: "a token that needs it", Realm: s.realm}, nil
	}
	return &rollcallv1.EnrolReply{Outcome: rollcallv1.EnrolReply_ENROLLED, Ci: "ci-1", Realm: s.realm}, nil
}

// caller refuses a key that is not enrolled, as a server does before it reads.
func (s *fakeServer) caller(ctx context.Context) error {
	p, _ := peer.FromContext(ctx)
	pub, err := identity.PeerKey(p.AuthInfo.(credentials.TLSInfo).State)
	if err == nil && s.speaks != (identity.KeyID{}) && identity.IDOf(pub) != s.speaks {
		err = status.Error(codes.PermissionDenied, "the key is not enrolled")
	}
	return err
}

func (s *fakeServer) Rotate(ctx context.Context, r *rollcallv1.RotateRequest) (*rollcallv1.RotateReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.caller(ctx); err != nil {
		return nil, err
	}
	rot, err := identity.OpenRotation(r.GetStatement())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	next := identity.IDOf(rot.New)
	if next != s.speaks {
		if rot.Old != s.speaks || rot.CI != "ci-1" {
			return nil, status.Error(codes.FailedPrecondition, "not the key of this CI")
		}
		s.speaks, s.knows = next, append(s.knows, r.GetStatement())
	}
	if lose := s.lose; lose != nil {
		s.lose = nil
		if err := lose(); err != nil {
			return nil, err
		}
	}
	return &rollcallv1.RotateReply{Ci: "ci-1", KeyId: s.speaks.String()}, nil
}

// Submit passes the policy on to every machine that takes one, whatever version it has.
func (s *fakeServer) Submit(ctx context.Context, r *rollcallv1.SubmitRequest) (*rollcallv1.SubmitReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var body rollcallv1.Body
	reply, err := s.submit(ctx, r, &body)
	if err == nil && body.Policy != nil {
		s.policyHas, reply.Policy = body.Policy, s.policy
	}
	return reply, err
}

func (s *fakeServer) submit(ctx context.Context, r *rollcallv1.SubmitRequest, body *rollcallv1.Body) (*rollcallv1.SubmitReply, error) {
	if err := s.caller(ctx); err != nil {
		return nil, err
	}
	env, err := identity.OpenEnvelope(r.GetEnvelope())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if s.speaks != (identity.KeyID{}) && env.KeyID != s.speaks {
		return nil, status.Error(codes.PermissionDenied, "the envelope is of another key")
	}
	if err := proto.Unmarshal(env.Body, body); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	hash := sha256.Sum256(r.GetEnvelope())
	if old, again := s.receipts[hash]; again {
		return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_RECORDED, Receipt: old}, nil
	}
	if mood := s.mood; mood != nil {
		s.mood = nil
		return mood(body)
	}
	if len(s.receipts) > 0 && !bytes.Equal(body.GetPrev(), s.head[:]) || body.GetSeq() <= s.seq {
		s.t.Errorf("report %d after %d does not continue the chain", body.GetSeq(), s.seq)
		return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_QUARANTINED}, nil
	}
	if len(body.GetPayload()) == 0 {
		s.ticks++
		state := stateOf(s.sets).Digest()
		if !bytes.Equal(body.GetState(), state[:]) {
			return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_NEED_FULL}, nil
		}
		s.seq = body.GetSeq()
		return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_SEEN}, nil
	}
	return s.record(body, hash)
}

func (s *fakeServer) record(body *rollcallv1.Body, hash [32]byte) (*rollcallv1.SubmitReply, error) {
	d, err := zstd.NewReader(nil)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	plain, err := d.DecodeAll(body.GetPayload(), nil)
	if err != nil {
		return nil, err
	}
	s.got.Write(plain)
	var rep rollcallv1.Report
	if err := proto.Unmarshal(plain, &rep); err != nil {
		return nil, err
	}
	next := map[string]fact.Set{}
	if !rep.GetFull() {
		maps.Copy(next, s.sets)
	}
	missing := map[fact.Digest]bool{}
	for _, b := range rep.GetDeltas() {
		delta, err := fact.DecodeDelta(b)
		if err != nil {
			return nil, err
		}
		set, err := delta.Apply(next[sectionOf(delta)])
		if err != nil {
			return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_NEED_FULL}, nil
		}
		if next[sectionOf(delta)] = set; len(set) == 0 {
			delete(next, sectionOf(delta))
		}
		for _, f := range delta.Put {
			if file, err := fact.ParseFile(f.Value); f.Section() == "etc" && err == nil && file.HasContent() && s.contents[file.Digest] == nil {
				missing[file.Digest] = true
			}
		}
	}
	if len(missing) > 0 {
		r := &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_NEED_CONTENT}
		for d := range missing {
			r.Missing = append(r.Missing, d[:])
		}
		return r, nil
	}
	if state := stateOf(next).Digest(); !bytes.Equal(state[:], body.GetState()) {
		s.t.Errorf("report %d leads to another state", body.GetSeq())
	}
	s.sets, s.head, s.seq = next, hash, body.GetSeq()
	s.reports = append(s.reports, &rep)
	s.receipts[hash] = identity.Receipt{Envelope: hash, Index: uint64(len(s.reports)), At: 1}.Sign(s.key)
	return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_RECORDED, Receipt: s.receipts[hash], Trust: s.trust}, nil
}

func (s *fakeServer) Upload(st grpc.ClientStreamingServer[rollcallv1.UploadRequest, rollcallv1.UploadReply]) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var d fact.Digest
	n := uint32(0)
	for {
		r, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return st.SendAndClose(&rollcallv1.UploadReply{Stored: n})
		}
		if err != nil {
			return err
		}
		if len(r.GetDigest()) > 0 {
			copy(d[:], r.GetDigest())
			s.contents[d] = []byte{}
			n++
		}
		s.contents[d] = append(s.contents[d], r.GetData()...)
		s.got.Write(r.GetData())
	}
}
