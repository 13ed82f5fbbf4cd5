package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"rollcall/internal/bundle"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// courier hands over what files hold, and gathers what goes back.
type courier struct {
	*server
	sticks *sticks
	answer ed25519.PublicKey // of the server that answers
	back   []bundle.Record
}

// maxCarries is how often the server may ask for contents of one report.
const maxCarries = 20

// carry hands over what there is of one machine, in order. The error is for what
// concerns all machines.
func (c *courier) carry(ctx context.Context, m *carried) (doc carriedJSON, err error) {
	doc = carriedJSON{Key: m.key.String(), Hostname: m.hostname, Refused: []refusedJSON{}, Gaps: []gapJSON{}}
	if m.request != nil {
		if err := c.enrol(ctx, m, &doc); err != nil {
			return doc, err
		}
		if doc.Enrolment != "enrolled" {
			doc.Left = len(m.reports)
			return doc, nil
		}
	}
	for i, r := range m.reports {
		reply, err := c.report(ctx, m, r)
		if later(err) {
			doc.Left, doc.Later = len(m.reports)-i, status.Convert(err).Message()
			return doc, nil
		}
		if err != nil {
			return doc, fmt.Errorf("import report %d of %s: %w", r.seq, doc.label(), err)
		}
		c.became(&doc, reply)
	}
	return doc, nil
}

// later tells whether the server says that it takes no more of a machine now.
func later(err error) bool { return status.Code(err) == codes.ResourceExhausted }

func (c *courier) enrol(ctx context.Context, m *carried, doc *carriedJSON) error {
	var p peer.Peer
	reply, err := c.CarryEnrolment(ctx, &rollcallv1.CarryEnrolmentRequest{Public: m.public, Statement: m.request}, grpc.Peer(&p))
	c.met(p)
	switch code := status.Code(err); {
	case code == codes.InvalidArgument || code == codes.FailedPrecondition:
		doc.Enrolment, doc.Note = "refused", status.Convert(err).Message()
		return nil
	case err != nil:
		return fmt.Errorf("import the request of %s: %w", doc.label(), err)
	}
	doc.CI, doc.Note = reply.GetCi(), reply.GetNote()
	switch reply.GetOutcome() {
	case rollcallv1.EnrolReply_ENROLLED:
		doc.Enrolment = "enrolled"
	case rollcallv1.EnrolReply_PENDING:
		doc.Enrolment = "pending"
	default:
		doc.Enrolment = "refused"
	}
	c.keep(bundle.Answer, reply.GetAnswer())
	return nil
}

// met notes the key of the server that answers: the connection has compared it with
// the pins.
func (c *courier) met(p peer.Peer) {
	if info, ok := p.AuthInfo.(credentials.TLSInfo); ok && c.answer == nil {
		if pub, err := identity.PeerKey(info.State); err == nil {
			c.answer = pub
		}
	}
}

func (c *courier) keep(k bundle.Kind, b []byte) {
	if len(b) > 0 {
		c.back = append(c.back, bundle.Record{Kind: k, Data: b})
	}
}

// report hands over one report, with the contents that the server asks for.
func (c *courier) report(ctx context.Context, m *carried, r carriedReport) (*rollcallv1.CarryReportReply, error) {
	envelope, err := c.sticks.read(r.spot)
	if err != nil {
		return nil, err
	}
	req := &rollcallv1.CarryReportRequest{Envelope: envelope}
	for range maxCarries {
		var p peer.Peer
		reply, err := c.CarryReport(ctx, req, grpc.Peer(&p))
		c.met(p)
		if err != nil || reply.GetStanding() != rollcallv1.CarryReportReply_NEED_CONTENT {
			return reply, err
		}
		sent, err := c.upload(ctx, m.key, reply.GetMissing())
		if err != nil {
			return nil, err
		}
		req.Bare = sent == 0
	}
	return nil, errors.New("the server asks for contents without end")
}

// partSize is how much of a content goes in one message.
const partSize = 31 << 10

// upload sends those of the contents that are in the files.
func (c *courier) upload(ctx context.Context, key identity.KeyID, missing [][]byte) (sent int, err error) {
	var stream grpc.ClientStreamingClient[rollcallv1.CarryContentsRequest, rollcallv1.UploadReply]
	for _, raw := range missing {
		var d fact.Digest
		n := copy(d[:], raw)
		at, ok := c.sticks.contents[d]
		if !ok || n != len(raw) || n != len(d) {
			continue
		}
		content, err := c.sticks.read(at)
		if err != nil {
			return sent, err
		}
		if stream == nil {
			if stream, err = c.CarryContents(ctx); err != nil {
				return sent, err
			}
		}
		part := &rollcallv1.UploadRequest{Digest: raw, Size: uint64(len(content))}
		for {
			n := min(len(content), partSize)
			part.Data, content = content[:n], content[n:]
			if stream.Send(&rollcallv1.CarryContentsRequest{KeyId: key[:], Part: part}) != nil {
				_, err := stream.CloseAndRecv() // says why
				return sent, err
			}
			if len(content) == 0 {
				break
			}
			part = &rollcallv1.UploadRequest{}
		}
		sent++
	}
	if stream == nil {
		return 0, nil
	}
	_, err = stream.CloseAndRecv()
	return sent, err
}

// became adds up what became of a report.
func (c *courier) became(doc *carriedJSON, reply *rollcallv1.CarryReportReply) {
	if reply.GetCi() != "" {
		doc.CI, doc.Name, doc.Here = reply.GetCi(), reply.GetName(), reply.GetHere()
	}
	c.keep(bundle.Receipt, reply.GetReceipt())
	c.keep(bundle.Answer, reply.GetAnswer())
	switch reply.GetStanding() {
	case rollcallv1.CarryReportReply_RECORDED:
		doc.Recorded++
		doc.Here = reply.GetSeq()
	case rollcallv1.CarryReportReply_ALREADY:
		doc.Already++
	case rollcallv1.CarryReportReply_GAP:
		doc.Left++
		if n := len(doc.Gaps); n > 0 && doc.Gaps[n-1].After == reply.GetHere() {
			return // it follows the one that was told of
		}
		doc.Gaps = append(doc.Gaps, gapJSON{After: reply.GetHere(), Before: reply.GetSeq()})
	case rollcallv1.CarryReportReply_NEED_FULL:
		doc.SendsAll = reply.GetNote()
		doc.Left++
	case rollcallv1.CarryReportReply_OVERTAKEN:
		doc.Overtaken++
	case rollcallv1.CarryReportReply_QUARANTINED:
		doc.Quarantined++
	default:
		doc.refuse(reply.GetSeq(), reply.GetNote())
	}
}
