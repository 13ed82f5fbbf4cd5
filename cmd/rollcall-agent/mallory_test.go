package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/internal/policy"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// mallory is a server that has the right key and the worst of intentions: it
// stands for one that was taken over. It keeps account of what it was given.
type mallory struct {
	rollcallv1.UnimplementedAgentsServer
	rollcallv1.UnimplementedItemsServer
	key     identity.Key
	address string
	canary  []byte        // must never come here
	wanted  []fact.Digest // files that no report names: it asks for them
	hang    time.Duration // how long a call that never ends lasts here

	mu      sync.Mutex
	rnd     *rand.Rand
	act     string // what it does; see acts, wireActs and restoreActs
	named   map[fact.Digest]bool
	calls   map[string]int
	damages []string // what it should not have been given
}

// acts are what it does to a report. The empty one is to behave.
var acts = []string{
	"", "outcome that does not exist", "no receipt", "receipt for another report", "receipt by another key", "receipt with a tail",
	"need nothing", "need a list too long", "need what nobody has", "need what was not named", "need short digests", "need without end",
	"full without end", "seen", "quarantined", "wait for ever", "unknown fields", "an error of each kind", "a giant reply", "never ends",
	"stored less", "upload refused", "upload unread", "a policy that is none", "a policy of its own", "anything",
}

func startMallory(t *testing.T, seed uint64, canary string) *mallory {
	t.Helper()
	key, err := identity.NewKey()
	must(t, err)
	m := &mallory{
		key: key, canary: []byte(canary), hang: 300 * time.Millisecond, rnd: rand.New(rand.NewPCG(seed, 0)),
		named: map[fact.Digest]bool{}, calls: map[string]int{},
	}
	cfg, err := identity.ServerTLS(key)
	must(t, err)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	m.address = lis.Addr().String()
	wire := &wire{Listener: lis, m: m, tls: cfg.Clone()}
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(cfg)), grpc.MaxRecvMsgSize(8<<20), grpc.MaxSendMsgSize(64<<20))
	rollcallv1.RegisterAgentsServer(g, m)
	rollcallv1.RegisterItemsServer(g, m)
	done := make(chan error, 1)
	go func() { done <- g.Serve(wire) }()
	t.Cleanup(func() { g.Stop(); must(t, <-done); wire.wait() })
	return m
}

func (m *mallory) token(t *testing.T, prefix string) string {
	t.Helper()
	pin, err := identity.PinOf(identity.Public(m.key))
	must(t, err)
	text, err := identity.Token{
		ID: "0102", URLs: []string{m.address}, Pins: []string{pin}, Secret: identity.NewSecret(), Server: identity.Public(m.key),
	}.Encode(prefix)
	must(t, err)
	return text
}

// play makes it do one act from now on.
func (m *mallory) play(act string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.act = act
}

// doing returns the act of this moment, and counts it.
func (m *mallory) doing(call string, choices []string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	act := m.act
	if act == "anything" {
		act = choices[m.rnd.IntN(len(choices))]
	}
	m.calls[call+": "+act]++
	return act
}

func (m *mallory) random(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rnd.IntN(n)
}

func (m *mallory) noise(n int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.rnd.Uint32())
	}
	return b
}

func (m *mallory) damage(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.damages = append(m.damages, fmt.Sprintf(format, args...))
}

// unknown adds fields of a later version, or of none.
func (m *mallory) unknown(msg proto.Message, fields int) {
	b := msg.ProtoReflect().GetUnknown()
	for i := range fields {
		b = protowire.AppendTag(b, protowire.Number(1000+i), protowire.BytesType)
		b = protowire.AppendBytes(b, m.noise(20))
	}
	msg.ProtoReflect().SetUnknown(b)
}

const nasty = "\x1b]0;owned\x07\x1b[31m\u202e$(reboot)\n../../../../etc/passwd\x00%s%n"

// fault is an error as bad servers give them.
func (m *mallory) fault() error {
	return status.Error(codes.Code(m.random(20)), strings.Repeat(nasty, 1+m.random(60)))
}

func (m *mallory) Enrol(context.Context, *rollcallv1.EnrolRequest) (*rollcallv1.EnrolReply, error) {
	r := &rollcallv1.EnrolReply{Outcome: rollcallv1.EnrolReply_ENROLLED, Ci: "ci-1", Realm: identity.RealmOf(identity.Public(m.key))}
	switch m.doing("enrol", []string{"", "path", "outcome", "realm", "refused", "pending", "error", "unknown"}) {
	case "path":
		r.Ci = "../../../../etc/cron.d/owned"
	case "outcome":
		r.Outcome = 77
	case "realm":
		r.Realm = m.noise(100_000)
	case "refused":
		r.Outcome, r.Note = rollcallv1.EnrolReply_REFUSED, strings.Repeat(nasty, 5000)
	case "pending":
		r.Outcome, r.RetryAfterS, r.Note = rollcallv1.EnrolReply_PENDING, 1<<32-1, nasty
	case "error":
		return nil, m.fault()
	case "unknown":
		m.unknown(r, 1000)
	}
	return r, nil
}

// read notes which contents a report names, and looks for the canary.
func (m *mallory) read(envelope []byte) error {
	env, err := identity.OpenEnvelope(envelope)
	if err != nil {
		return err
	}
	var body rollcallv1.Body
	if err := proto.Unmarshal(env.Body, &body); err != nil || len(body.GetPayload()) == 0 {
		return err
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		return err
	}
	defer d.Close()
	plain, err := d.DecodeAll(body.GetPayload(), nil)
	if err != nil {
		return err
	}
	if bytes.Contains(plain, m.canary) {
		m.damage("a report holds the canary")
	}
	var rep rollcallv1.Report
	if err := proto.Unmarshal(plain, &rep); err != nil {
		return err
	}
	for _, b := range rep.GetDeltas() {
		delta, err := fact.DecodeDelta(b)
		if err != nil {
			return err
		}
		for _, f := range delta.Put {
			if file, err := fact.ParseFile(f.Value); f.Section() == "etc" && err == nil && file.HasContent() {
				m.mu.Lock()
				m.named[file.Digest] = true
				m.mu.Unlock()
			}
		}
	}
	return nil
}

func (m *mallory) namedDigests() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out [][]byte
	for d := range m.named {
		out = append(out, bytes.Clone(d[:]))
	}
	slices.SortFunc(out, bytes.Compare)
	return out
}

func (m *mallory) Submit(ctx context.Context, req *rollcallv1.SubmitRequest) (*rollcallv1.SubmitReply, error) {
	if err := m.read(req.GetEnvelope()); err != nil {
		m.damage("a report that cannot be read: %v", err)
	}
	receipt := identity.Receipt{Envelope: sha256.Sum256(req.GetEnvelope()), Index: 1, At: 1}
	good := &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_RECORDED, Receipt: receipt.Sign(m.key), ServerTimeMs: -1 << 63}
	need := func(digests ...[]byte) (*rollcallv1.SubmitReply, error) {
		return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_NEED_CONTENT, Missing: digests, RetryAfterS: 1<<32 - 1}, nil
	}
	switch m.doing("submit", acts) {
	case "outcome that does not exist":
		good.Outcome = rollcallv1.SubmitReply_Outcome(m.random(1 << 30))
	case "no receipt":
		good.Receipt = nil
	case "receipt for another report":
		receipt.Envelope[0] ^= 1
		good.Receipt = receipt.Sign(m.key)
	case "receipt by another key":
		other, err := identity.NewKey()
		if err != nil {
			return nil, err
		}
		good.Receipt = receipt.Sign(other)
	case "receipt with a tail":
		good.Receipt = append(good.Receipt, m.noise(500_000)...)
	case "need nothing":
		return need()
	case "need a list too long":
		return need(m.many(120_000)...)
	case "need what nobody has":
		return need(m.many(29_999)...)
	case "need what was not named":
		return need(m.secret())
	case "need short digests":
		return need([]byte("../../../etc/shadow"), nil, m.noise(31), m.noise(5000))
	case "need without end", "stored less", "upload refused", "upload unread":
		return need(m.namedDigests()...)
	case "full without end":
		good = &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_NEED_FULL}
	case "seen":
		good = &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_SEEN, Missing: m.many(100)}
	case "quarantined":
		good = &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_QUARANTINED}
	case "wait for ever":
		good = &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_SEEN, RetryAfterS: 1<<32 - 1, ServerTimeMs: 1<<63 - 1}
	case "a policy that is none":
		good.Policy = m.noise(m.random(900_000))
	case "a policy of its own":
		b, err := policy.Sign(m.key, fmt.Appendf(nil, "realm = %x\nversion = 9\nfrom = 2026-01-01\nuntil = 2026-12-31\nskip = etc\n", identity.RealmOf(identity.Public(m.key))))
		if err != nil {
			return nil, err
		}
		good.Policy = b
	case "unknown fields":
		m.unknown(good, 20_000)
	case "an error of each kind":
		return nil, m.fault()
	case "a giant reply":
		good.Receipt = m.noise(3 << 20)
	case "never ends":
		return nil, m.wait(ctx)
	}
	return good, nil
}

// wait is a call that never ends, as long as the test has patience.
func (m *mallory) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-time.After(m.hang):
	}
	return errors.New("gone")
}

func (m *mallory) many(n int) [][]byte {
	noise, out := m.noise(32*n), make([][]byte, n)
	for i := range out {
		out[i] = noise[32*i : 32*i+32]
	}
	return out
}

func (m *mallory) secret() []byte {
	d := m.wanted[m.random(len(m.wanted))]
	return d[:]
}

func (m *mallory) Upload(st grpc.ClientStreamingServer[rollcallv1.UploadRequest, rollcallv1.UploadReply]) error {
	act := m.doing("upload", []string{"", "stored less", "upload refused", "upload unread"})
	if act == "upload refused" {
		return m.fault()
	}
	if act == "upload unread" {
		return m.wait(st.Context())
	}
	stored, content := uint32(0), []byte(nil)
	var digest fact.Digest
	check := func() {
		m.mu.Lock()
		named := m.named[digest]
		m.mu.Unlock()
		if stored > 0 && (!named || sha256.Sum256(content) != digest || bytes.Contains(content, m.canary)) {
			m.damage("an upload of %s (named: %v) begins with %.60q", digest, named, content)
		}
	}
	for {
		r, err := st.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				check()
				if act == "stored less" {
					stored = 0
				}
				return st.SendAndClose(&rollcallv1.UploadReply{Stored: stored})
			}
			return err
		}
		if len(r.GetDigest()) > 0 {
			check()
			copy(digest[:], r.GetDigest())
			stored, content = stored+1, nil
		}
		content = append(content, r.GetData()...)
	}
}
