package uplink

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

const (
	maxSpread  = time.Hour
	maxMissing = 30_000   // contents that one reply may ask for
	partSize   = 31 << 10 // bytes of one upload message: for more than 32 KiB gRPC takes a buffer of 1 MiB
)

// Hello is what a machine says of itself when it asks for admission.
type Hello struct {
	Hostname string
	Facts    fact.Set // section id and the network cards, for the approver
	Version  string
	OneShot  bool // the key ends with this boot, after one report
}

// Admission is the answer to Enrol.
type Admission struct {
	Outcome rollcallv1.EnrolReply_Outcome
	CI      string
	Realm   []byte
	Retry   time.Duration
	Note    string // for people, inert
	Trust   string // class of the key: T0, only a claim, to T3; empty: not said
}

// Enrol asks for admission. The token's secret itself never leaves: the proof is
// bound to this connection and this key.
func (s *Session) Enrol(ctx context.Context, token identity.Token, h Hello) (Admission, error) {
	id, err := hex.DecodeString(token.ID)
	if err != nil || s.public == nil {
		return Admission{}, fmt.Errorf("enrol: %w", errors.Join(identity.ErrToken, err))
	}
	ctx, cancel := s.call(ctx)
	defer cancel()
	reply, err := rollcallv1.NewAgentsClient(s.conn).Enrol(ctx, &rollcallv1.EnrolRequest{
		TokenId: id, Proof: identity.Proof(identity.HashSecret(token.Secret), s.exporter, s.public),
		Hostname: fact.Value(h.Hostname), Facts: h.Facts.Encode(), AgentVersion: h.Version, OneShot: h.OneShot,
	})
	if err != nil {
		return Admission{}, classify("enrol", err)
	}
	return admission(token, reply)
}

func admission(token identity.Token, reply *rollcallv1.EnrolReply) (Admission, error) {
	a := Admission{
		Outcome: reply.GetOutcome(), CI: reply.GetCi(), Realm: reply.GetRealm(),
		Retry: bounded(reply.GetRetryAfterS()), Note: shown(reply.GetNote()),
	}
	a.Trust = trustClass(reply.GetTrust())
	realm := string(token.RealmID())
	switch {
	case a.Outcome == rollcallv1.EnrolReply_ENROLLED && !usableCI(a.CI):
		return Admission{}, fmt.Errorf("enrol: %w: no usable CI", ErrReply)
	case a.Outcome != rollcallv1.EnrolReply_REFUSED && string(a.Realm) != realm:
		return Admission{}, fmt.Errorf("enrol: %w: its realm is not that of the token", ErrReply)
	case a.Outcome < rollcallv1.EnrolReply_ENROLLED || a.Outcome > rollcallv1.EnrolReply_REFUSED:
		return Admission{}, fmt.Errorf("enrol: %w: outcome %d", ErrReply, a.Outcome)
	}
	return a, nil
}

// trustClass is a class that there is, or nothing.
func trustClass(said string) string {
	if len(said) == 2 && said[0] == 'T' && said[1] >= '0' && said[1] <= '3' {
		return said
	}
	return ""
}

func usableCI(ci string) bool { return ci != "" && len(ci) <= 128 && ci == fact.Name(ci) }

// Answer is what the server says to an envelope.
type Answer struct {
	Outcome    rollcallv1.SubmitReply_Outcome
	Receipt    identity.Receipt // verified; only with RECORDED
	Raw        []byte           // its binary form
	Missing    []fact.Digest    // with NEED_CONTENT
	Have       []byte           // with RESEND: hash of the newest report that the server has; empty: none
	Retry      time.Duration    // how long to wait before the next report; 0: as usual
	Spread     time.Duration    // over how long to spread the first report after a boot, an hour at most; 0: as usual
	Pass       []byte           // for Client.Pass; nil: the one there is goes on
	Policy     []byte           // a policy bundle that the server passes on; nil: none that is newer
	ServerTime time.Time
	CI         string // that the key speaks for, if the server says it
	Trust      string // class of the key, if the server says it
}

// Submit hands over one envelope. RECORDED is answered only with a receipt that
// the pinned server key signed for exactly these bytes; anything else that
// claims it is ErrReply.
func (s *Session) Submit(ctx context.Context, envelope []byte) (Answer, error) {
	ctx, cancel := s.call(ctx)
	defer cancel()
	reply, err := rollcallv1.NewAgentsClient(s.conn).Submit(ctx, &rollcallv1.SubmitRequest{Envelope: envelope})
	if err != nil {
		return Answer{}, classify("submit", err)
	}
	return s.answer(envelope, reply)
}

// answer takes from a reply what makes sense.
func (s *Session) answer(envelope []byte, reply *rollcallv1.SubmitReply) (a Answer, err error) {
	a = Answer{Outcome: reply.GetOutcome(), Retry: bounded(reply.GetRetryAfterS()), ServerTime: time.UnixMilli(reply.GetServerTimeMs())}
	if ci := reply.GetCi(); usableCI(ci) {
		a.CI = ci
	}
	a.Trust, a.Policy = trustClass(reply.GetTrust()), reply.GetPolicy()
	a.Spread = min(bounded(reply.GetBootSpreadS()), maxSpread)
	if len(reply.GetPass()) == identity.PassSize {
		a.Pass = reply.GetPass()
	}
	switch a.Outcome {
	case rollcallv1.SubmitReply_RECORDED:
		a.Raw = reply.GetReceipt()
		if a.Receipt, err = identity.OpenReceipt(s.server, a.Raw); err != nil {
			return Answer{}, fmt.Errorf("submit: %w: %w", ErrReply, err)
		}
		if a.Receipt.Envelope != sha256.Sum256(envelope) {
			return Answer{}, fmt.Errorf("submit: %w: the receipt is for another report", ErrReply)
		}
	case rollcallv1.SubmitReply_NEED_CONTENT:
		if a.Missing, err = digests(reply.GetMissing()); err != nil {
			return Answer{}, fmt.Errorf("submit: %w: %w", ErrReply, err)
		}
	case rollcallv1.SubmitReply_RESEND:
		if a.Have = reply.GetHave(); len(a.Have) != 0 && len(a.Have) != sha256.Size {
			return Answer{}, fmt.Errorf("submit: %w: a hash of %d bytes", ErrReply, len(a.Have))
		}
	case rollcallv1.SubmitReply_SEEN, rollcallv1.SubmitReply_NEED_FULL, rollcallv1.SubmitReply_QUARANTINED:
	default:
		return Answer{}, fmt.Errorf("submit: %w: outcome %d", ErrReply, a.Outcome)
	}
	return a, nil
}

func digests(raw [][]byte) ([]fact.Digest, error) {
	if len(raw) == 0 || len(raw) > maxMissing {
		return nil, fmt.Errorf("it asks for %d contents", len(raw))
	}
	out := make([]fact.Digest, len(raw))
	for i, b := range raw {
		if copy(out[i][:], b) != len(out[i]) || len(b) != len(out[i]) {
			return nil, fmt.Errorf("it asks for a digest of %d bytes", len(b))
		}
	}
	return out, nil
}

// Upload sends contents; read gives each, and its error ends the upload and is
// returned as it is.
func (s *Session) Upload(ctx context.Context, want []fact.Digest, read func(fact.Digest) ([]byte, error)) error {
	ctx, cancel := s.call(ctx) // frees the stream when read fails
	defer cancel()
	stream, err := rollcallv1.NewAgentsClient(s.conn).Upload(ctx)
	if err != nil {
		return classify("upload", err)
	}
	for _, d := range want {
		b, err := read(d)
		if err != nil {
			return err
		}
		if err := send(stream, d, b); err != nil {
			if errors.Is(err, io.EOF) { // the server ended the call: its error comes with the reply
				break
			}
			return classify("upload", err)
		}
	}
	reply, err := stream.CloseAndRecv()
	if err != nil {
		return classify("upload", err)
	}
	if int(reply.GetStored()) != len(want) {
		return fmt.Errorf("upload: %w: %d of %d contents stored", ErrReply, reply.GetStored(), len(want))
	}
	return nil
}

func send(stream grpc.ClientStreamingClient[rollcallv1.UploadRequest, rollcallv1.UploadReply], d fact.Digest, b []byte) error {
	req := &rollcallv1.UploadRequest{Digest: d[:], Size: uint64(len(b))}
	for {
		n := min(len(b), partSize)
		req.Data, b = b[:n], b[n:]
		if err := stream.Send(req); err != nil || len(b) == 0 {
			return err
		}
		req = &rollcallv1.UploadRequest{}
	}
}

func shown(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return fact.Escape(s)
}

// Rotate hands a statement of rotation over; next is the key that it leads to.
// The server may be told again.
func (s *Session) Rotate(ctx context.Context, statement []byte, next identity.KeyID) error {
	ctx, cancel := s.call(ctx)
	defer cancel()
	reply, err := rollcallv1.NewAgentsClient(s.conn).Rotate(ctx, &rollcallv1.RotateRequest{Statement: statement})
	if err != nil {
		return classify("rotate", err)
	}
	if reply.GetKeyId() != next.String() {
		return fmt.Errorf("rotate: %w: another key speaks", ErrReply)
	}
	return nil
}
