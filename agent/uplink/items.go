package uplink

import (
	"context"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// Bounds of what a restore fetches.
const (
	maxManifest = 64 << 20 // bytes of an encoded manifest
	maxContent  = 17 << 20 // bytes of one content: 16 MiB and the frame of age
	batch       = 500      // contents asked for in one call
)

// Manifest is what a CI's /etc was like at some time.
type Manifest struct {
	CI       string
	Name     string
	Recorded time.Time // server time of the revision
	Revision uint64
	Report   string     // hexadecimal hash of the envelope it came with
	Sets     []fact.Set // sections etc and conffile, checked
	// Signer is the key of the machine that signed a report of exactly this
	// state; nil if the server shows no report.
	Signer ed25519.PublicKey
}

// Authorized returns a context that shows an operator's login token on calls.
func Authorized(ctx context.Context, token identity.Token) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token.ID+":"+hex.EncodeToString(token.Secret))
}

// Manifest fetches the manifest of a CI (id or name) at a time; the zero time
// means now.
func (s *Session) Manifest(ctx context.Context, ci string, at time.Time) (Manifest, error) {
	ctx, cancel := s.call(ctx)
	defer cancel()
	reply := &rollcallv1.ManifestReply{}
	err := s.conn.Invoke(ctx, itemsManifest, &rollcallv1.ManifestRequest{Ci: ci, AtMs: millis(at)}, reply, grpc.MaxCallRecvMsgSize(maxManifest))
	if err != nil {
		return Manifest{}, classify(fmt.Sprintf("manifest of %q", ci), err)
	}
	m := Manifest{
		CI: shown(reply.GetCi()), Name: shown(reply.GetName()), Recorded: time.UnixMilli(reply.GetRecordedMs()),
		Revision: reply.GetRevision(), Report: shown(reply.GetReport()),
	}
	for _, b := range reply.GetSets() {
		set, err := fact.DecodeSet(b)
		if err == nil && len(set) > 0 {
			err = set.Check(set[0].Section())
		}
		if err != nil {
			return Manifest{}, fmt.Errorf("manifest of %q: %w: %w", ci, ErrReply, err)
		}
		m.Sets = append(m.Sets, set)
	}
	if len(reply.GetEnvelope()) == 0 {
		return m, nil
	}
	if m.Signer, err = signer(reply, m.Sets); err != nil {
		return Manifest{}, fmt.Errorf("manifest of %q: %w: %w", ci, ErrReply, err)
	}
	return m, nil
}

// Contents fetches contents by SHA-256, and package defaults by the MD5 that
// dpkg records (hexadecimal), and hands each to take after checking it against
// the name under which it was asked for. What the server does not have is left
// out.
func (s *Session) Contents(ctx context.Context, ci string, at time.Time, want []fact.Digest, md5s []string,
	take func(d fact.Digest, md5 string, content []byte) error,
) error {
	for len(want) > 0 || len(md5s) > 0 {
		req := &rollcallv1.ContentRequest{Ci: ci, AtMs: millis(at)}
		n := min(len(want), batch)
		for _, d := range want[:n] {
			req.Digests = append(req.Digests, d[:])
		}
		m := min(len(md5s), batch)
		req.Md5S = md5s[:m]
		want, md5s = want[n:], md5s[m:]
		if err := s.contents(ctx, req, take); err != nil {
			return err
		}
	}
	return nil
}

// The methods of the service Items that a machine calls. Their generated client is not
// used: the rest of that service, which only operators call, would come with it, and
// is left out of the agent's program by the tag agentwire.
const (
	itemsManifest = "/rollcall.v1.Items/Manifest"
	itemsContent  = "/rollcall.v1.Items/Content"
)

func (s *Session) openContent(ctx context.Context, req *rollcallv1.ContentRequest) (grpc.ServerStreamingClient[rollcallv1.ContentReply], error) {
	stream, err := s.conn.NewStream(ctx, &grpc.StreamDesc{StreamName: "Content", ServerStreams: true}, itemsContent)
	if err != nil {
		return nil, err
	}
	x := &grpc.GenericClientStream[rollcallv1.ContentRequest, rollcallv1.ContentReply]{ClientStream: stream}
	if err := x.SendMsg(req); err != nil {
		return nil, err
	}
	return x, x.CloseSend()
}

func (s *Session) contents(ctx context.Context, req *rollcallv1.ContentRequest, take func(fact.Digest, string, []byte) error) error {
	ctx, cancel := s.call(ctx) // frees the stream when take fails
	defer cancel()
	stream, err := s.openContent(ctx, req)
	if err != nil {
		return classify("fetch contents", err)
	}
	asked := map[string]bool{}
	for _, d := range req.GetDigests() {
		asked[string(d)] = true
	}
	for _, m := range req.GetMd5S() {
		asked[m] = true
	}
	for {
		first, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return classify("fetch contents", err)
		}
		b, err := assemble(first, stream)
		if err != nil {
			return err
		}
		d, sum, err := checked(first, b, asked)
		if err != nil {
			return err
		}
		if err := take(d, sum, b); err != nil {
			return err
		}
	}
}

func assemble(first *rollcallv1.ContentReply, stream grpc.ServerStreamingClient[rollcallv1.ContentReply]) ([]byte, error) {
	size := first.GetSize()
	if size > maxContent {
		return nil, fmt.Errorf("fetch contents: %w: a content of %d bytes", ErrReply, size)
	}
	b := first.GetData()
	for uint64(len(b)) < size {
		part, err := stream.Recv()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, classify("fetch contents", err)
		}
		if err != nil || len(part.GetData()) == 0 {
			return nil, fmt.Errorf("fetch contents: %w: a content was cut off", ErrReply)
		}
		b = append(b, part.GetData()...)
	}
	if uint64(len(b)) != size {
		return nil, fmt.Errorf("fetch contents: %w: %d bytes, %d were announced", ErrReply, len(b), size)
	}
	return b, nil
}

// checked makes sure that a content is what was asked for. MD5 is what dpkg
// records; that it can be forged costs nothing, since a package default only
// serves as the common ancestor of a merge whose result is shown.
func checked(first *rollcallv1.ContentReply, b []byte, asked map[string]bool) (fact.Digest, string, error) {
	sum := md5.Sum(b)
	switch hash := sha256.Sum256(b); {
	case len(first.GetDigest()) > 0 && string(first.GetDigest()) == string(hash[:]) && asked[string(hash[:])]:
		return hash, first.GetMd5(), nil
	case len(first.GetDigest()) == 0 && first.GetMd5() == hex.EncodeToString(sum[:]) && asked[first.GetMd5()]:
		return fact.Digest{}, first.GetMd5(), nil
	}
	return fact.Digest{}, "", fmt.Errorf("fetch contents: %w: a content is not the one that was asked for", ErrReply)
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
