package uplink

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// fuzzKey is the same in every run, so that a committed corpus stays what it was.
var fuzzKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

func encoded(f *testing.F, m proto.Message) []byte {
	f.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	return b
}

// FuzzSubmitReply: only a receipt that the pinned key signed for this envelope
// counts, and nothing is asked of an agent beyond bounds.
func FuzzSubmitReply(f *testing.F) {
	envelope := []byte("an envelope")
	good := identity.Receipt{Envelope: sha256.Sum256(envelope), Index: 3, At: 4}.Sign(fuzzKey)
	other := identity.Receipt{Index: 3, At: 4}.Sign(fuzzKey)
	for _, r := range []*rollcallv1.SubmitReply{
		{Outcome: rollcallv1.SubmitReply_RECORDED, Receipt: good, ServerTimeMs: 1},
		{Outcome: rollcallv1.SubmitReply_RECORDED, Receipt: other},
		{Outcome: rollcallv1.SubmitReply_NEED_CONTENT, Missing: [][]byte{good[:32], nil}, RetryAfterS: 1<<32 - 1},
		{Outcome: rollcallv1.SubmitReply_RESEND, Have: []byte("short")},
		{Outcome: 99},
	} {
		f.Add(encoded(f, r))
	}
	s := &Session{server: identity.Public(fuzzKey)}
	f.Fuzz(func(t *testing.T, b []byte) {
		var reply rollcallv1.SubmitReply
		if proto.Unmarshal(b, &reply) != nil {
			return
		}
		a, err := s.answer(envelope, &reply)
		switch {
		case err != nil:
			if !errors.Is(err, ErrReply) {
				t.Errorf("%v is no ErrReply", err)
			}
		case a.Retry < 0 || a.Retry > MaxRetry || len(a.Missing) > maxMissing:
			t.Errorf("beyond bounds: %s, %d", a.Retry, len(a.Missing))
		case a.Outcome == rollcallv1.SubmitReply_RECORDED && a.Receipt.Envelope != sha256.Sum256(envelope):
			t.Error("a receipt for another report counts")
		case a.Outcome == rollcallv1.SubmitReply_NEED_CONTENT && len(a.Missing) == 0:
			t.Error("it asks for nothing, and that counts")
		}
	})
}

// FuzzEnrolReply: what is shown or remembered is inert and bounded.
func FuzzEnrolReply(f *testing.F) {
	token := identity.Token{Server: identity.Public(fuzzKey)}
	realm := identity.RealmOf(token.Server)
	for _, r := range []*rollcallv1.EnrolReply{
		{Outcome: rollcallv1.EnrolReply_ENROLLED, Ci: "01jd", Realm: realm},
		{Outcome: rollcallv1.EnrolReply_ENROLLED, Ci: "../../etc", Realm: realm},
		{Outcome: rollcallv1.EnrolReply_PENDING, Realm: realm, Note: "\x1b]0;x\x07", RetryAfterS: 1<<32 - 1},
		{Outcome: rollcallv1.EnrolReply_REFUSED, Realm: []byte("x")},
	} {
		f.Add(encoded(f, r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var reply rollcallv1.EnrolReply
		if proto.Unmarshal(b, &reply) != nil {
			return
		}
		a, err := admission(token, &reply)
		if err != nil {
			if !errors.Is(err, ErrReply) {
				t.Errorf("%v is no ErrReply", err)
			}
			return
		}
		if a.Retry > MaxRetry || len(a.Note) > 3*maxText || a.Note != fact.Escape(shown(reply.GetNote())) && a.Note != shown(reply.GetNote()) {
			t.Errorf("note or wait beyond bounds: %q, %s", a.Note, a.Retry)
		}
		if a.Outcome == rollcallv1.EnrolReply_ENROLLED && (a.CI == "" || bytes.ContainsAny([]byte(a.CI), "/\x00\n\x1b")) {
			t.Errorf("CI %q", a.CI)
		}
	})
}

// parts is a stream of messages, each behind its length.
type parts struct {
	grpc.ClientStream
	rest []byte
}

func (p *parts) Recv() (*rollcallv1.ContentReply, error) {
	n, used := binary.Uvarint(p.rest)
	if used <= 0 || n > uint64(len(p.rest)-used) {
		return nil, io.EOF
	}
	var r rollcallv1.ContentReply
	err := proto.Unmarshal(p.rest[used:used+int(n)], &r)
	p.rest = p.rest[used+int(n):]
	return &r, err
}

func framed(f *testing.F, replies ...*rollcallv1.ContentReply) (all []byte) {
	for _, r := range replies {
		b := encoded(f, r)
		all = append(binary.AppendUvarint(all, uint64(len(b))), b...)
	}
	return all
}

// FuzzContentReply: a content is put together from its parts only if it is the one
// that was asked for, and never larger than what was announced and allowed.
func FuzzContentReply(f *testing.F) {
	want := sha256.Sum256([]byte("hello world"))
	f.Add(framed(f, &rollcallv1.ContentReply{Digest: want[:], Size: 11, Data: []byte("hello ")}, &rollcallv1.ContentReply{Data: []byte("world")}))
	f.Add(framed(f, &rollcallv1.ContentReply{Digest: want[:], Size: 12, Data: []byte("hello ")}, &rollcallv1.ContentReply{}))
	f.Add(framed(f, &rollcallv1.ContentReply{Md5: "5eb63bbbe01eeed093cb22bb8f5acdc3", Size: 11, Data: []byte("hello world")}))
	f.Add(framed(f, &rollcallv1.ContentReply{Size: 1 << 63}))
	asked := map[string]bool{string(want[:]): true, "5eb63bbbe01eeed093cb22bb8f5acdc3": true}
	f.Fuzz(func(t *testing.T, b []byte) {
		st := &parts{rest: b}
		for {
			first, err := st.Recv()
			if err != nil {
				return
			}
			content, err := assemble(first, st)
			if err != nil {
				return
			}
			if uint64(len(content)) != first.GetSize() || len(content) > maxContent {
				t.Errorf("%d bytes, announced %d", len(content), first.GetSize())
			}
			if _, _, err := checked(first, content, asked); err == nil && string(content) != "hello world" {
				t.Errorf("%q is taken for what was asked for", content)
			}
		}
	})
}

// FuzzServersWords: whatever a server says for an error is shown shortened and
// inert, and has a class.
func FuzzServersWords(f *testing.F) {
	f.Add(uint32(codes.Unavailable), "too many connections")
	f.Add(uint32(codes.PermissionDenied), strings.Repeat("\x1b]0;x\x07", 63)) // escaped it is longer than the bound, as it came it is not
	f.Add(uint32(99), strings.Repeat("%\xff", 400))
	f.Fuzz(func(t *testing.T, code uint32, text string) {
		if codes.Code(code) == codes.OK {
			return
		}
		err := classify("submit", status.Error(codes.Code(code), text))
		if words := err.Error(); len(words) > 3*maxText+100 || strings.ContainsAny(words, "\x1b\x00\n\u202e") {
			t.Errorf("%q is shown as %q", text, words)
		}
		known := 0
		for _, class := range []error{ErrAway, ErrBusy, ErrKey, ErrRejected, ErrReply} {
			if errors.Is(err, class) {
				known++
			}
		}
		if known != 1 {
			t.Errorf("%v has %d classes", err, known)
		}
	})
}
