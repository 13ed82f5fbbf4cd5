package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/ingest"
	"rollcall/server/store"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// What machines without a line send comes by operators, who carry files. Each record
// of a file is one call, and is judged as if the machine itself had called: by its
// signature, its chain, its quota. The operator's scope says for which machines she
// may carry; the others are as unknown as they are to her elsewhere.

// carrier names who carried something, where the address of a machine would stand.
func carrier(ctx context.Context) string { return "carried by operator " + callerOf(ctx).operator.Name }

// CarryEnrolment admits a machine whose request came in a file.
func (s *Service) CarryEnrolment(ctx context.Context, req *rollcallv1.CarryEnrolmentRequest) (*rollcallv1.CarryEnrolmentReply, error) {
	q, err := s.carriedRequest(ctx, req)
	if err != nil {
		return nil, err
	}
	var key enrol.Key
	err = s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		var news bool
		if key, news, err = s.admitMachine(tx, q); err != nil {
			return nothing, err
		}
		if seen, err := s.carries(ctx, tx, key); err != nil || !seen {
			return nothing, cmp.Or(err, enrol.ErrToken)
		}
		if !news {
			return nothing, nil
		}
		e := OfKey(evidence.Enrol, key)
		e.By = "key " + key.ID
		return e, nil
	})
	reply := &rollcallv1.CarryEnrolmentReply{Outcome: rollcallv1.EnrolReply_REFUSED}
	if errors.Is(err, enrol.ErrToken) {
		s.Log.Warn("enrolment refused", "from", q.Source, "key", identity.IDOf(q.Public).String(), "err", err)
		reply.Note = enrol.ErrToken.Error()
		return reply, nil
	}
	if err != nil {
		return nil, err
	}
	switch key.State {
	case enrol.Enrolled:
		reply.Outcome, reply.Ci = rollcallv1.EnrolReply_ENROLLED, key.CI
		s.Log.Info("machine enrolled", "key", key.ID, "ci", key.CI, "by", key.By, "from", q.Source)
		reply.Answer, err = s.answer(&rollcallv1.CarriedAnswer{Word: rollcallv1.CarriedAnswer_ENROLLED, Ci: key.CI}, key.Public)
	case enrol.Pending:
		reply.Outcome, reply.Note = rollcallv1.EnrolReply_PENDING, "it needs "+needs(key)
	default:
		reply.Note = "the key is " + string(key.State)
	}
	return reply, err
}

// carries tells whether the operator may carry for the machine of a key.
func (s *Service) carries(ctx context.Context, tx store.Tx, key enrol.Key) (bool, error) {
	if key.CI == "" {
		return callerOf(ctx).scope.Sees(key.Site), nil
	}
	_, err := s.items(ctx, tx).CI(key.CI)
	if errors.Is(err, cmdb.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// carriedRequest verifies and reads a request that came in a file.
func (s *Service) carriedRequest(ctx context.Context, req *rollcallv1.CarryEnrolmentRequest) (enrol.Request, error) {
	pub := ed25519.PublicKey(req.GetPublic())
	body, err := identity.OpenStatement(pub, identity.TypeCarriedEnrolment, req.GetStatement())
	if err != nil && !errors.Is(err, identity.ErrSignature) {
		return enrol.Request{}, status.Errorf(codes.InvalidArgument, "request for admission: %v", err)
	}
	if err != nil {
		return enrol.Request{}, err
	}
	var c rollcallv1.CarriedEnrolment
	var asked rollcallv1.CarriedEnrolment_Asked
	err = proto.Unmarshal(body, &c)
	if err == nil {
		err = proto.Unmarshal(c.GetAsked(), &asked)
	}
	if err != nil {
		return enrol.Request{}, status.Errorf(codes.InvalidArgument, "request for admission: %v", err)
	}
	if !bytes.Equal(asked.GetRealm(), s.realm()) {
		return enrol.Request{}, fmt.Errorf("request for admission: %w", ingest.ErrRealm)
	}
	facts, err := enrolFacts(asked.GetFacts())
	if err == nil && len(asked.GetTokenId()) > maxTokenID {
		err = enrol.ErrToken
	}
	return enrol.Request{
		TokenID: fmt.Sprintf("%x", asked.GetTokenId()), Proof: c.GetProof(), Exporter: identity.CarriedBinding(c.GetAsked()), Public: pub,
		Hostname: asked.GetHostname(), Facts: facts, Source: carrier(ctx), Version: asked.GetAgentVersion(), Heard: s.Presence.Last,
	}, err
}

// answer signs what a file tells a machine.
func (s *Service) answer(a *rollcallv1.CarriedAnswer, to ed25519.PublicKey) ([]byte, error) {
	id := identity.IDOf(to)
	a.Realm, a.KeyId = s.realm(), id[:]
	body, err := proto.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("answer to key %s: %w", id, err)
	}
	return identity.SignStatement(s.Key, identity.TypeCarriedAnswer, body), nil
}

// refusals are the errors of a report that will be the same whenever it comes.
var refusals = []error{
	identity.ErrSignature, identity.ErrEnvelope, identity.ErrTooLarge, ingest.ErrMalformed, ingest.ErrRealm, enrol.ErrUnknown, enrol.ErrTrust,
}

func isRefusal(err error) bool {
	for _, r := range refusals {
		if errors.Is(err, r) {
			return true
		}
	}
	return false
}

// CarryReport takes one envelope out of a file in.
func (s *Service) CarryReport(ctx context.Context, req *rollcallv1.CarryReportRequest) (*rollcallv1.CarryReportReply, error) {
	done, err := s.load().work(ctx, s.Now)
	if err != nil {
		return nil, err
	}
	defer done()
	c, err := s.Ingest.Place(ctx, callerOf(ctx).scope, req.GetEnvelope())
	if isRefusal(err) {
		return &rollcallv1.CarryReportReply{Standing: rollcallv1.CarryReportReply_REFUSED, Note: err.Error(), Seq: c.Seq}, nil
	}
	if err != nil {
		return nil, err
	}
	reply := &rollcallv1.CarryReportReply{Seq: c.Seq, Here: c.Here, Ci: c.Key.CI, Receipt: c.Receipt}
	err = s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		ci, err := items.CI(c.Key.CI)
		reply.Name = ci.Name
		return err
	})
	switch c.Place {
	case ingest.Already:
		reply.Standing = rollcallv1.CarryReportReply_ALREADY
	case ingest.Behind:
		reply.Standing = rollcallv1.CarryReportReply_GAP
	case ingest.Overtaken:
		reply.Standing = rollcallv1.CarryReportReply_OVERTAKEN
	case ingest.Tick:
		reply.Standing, reply.Note = rollcallv1.CarryReportReply_REFUSED, "it says nothing but that nothing has changed"
	default:
		if err == nil {
			err = s.acceptCarried(ctx, c, req, reply)
		}
	}
	return reply, err
}

// acceptCarried takes in what may stand next, and says to the operator, and to the
// machine where that has to act, what became of it.
func (s *Service) acceptCarried(ctx context.Context, c ingest.Carried, req *rollcallv1.CarryReportRequest, reply *rollcallv1.CarryReportReply) (err error) {
	res, err := s.Ingest.AcceptCarried(ctx, c, carrier(ctx), req.GetEnvelope())
	s.Metrics.submitted(res, err)
	all := ""
	switch {
	case isRefusal(err):
		reply.Standing, reply.Note = rollcallv1.CarryReportReply_REFUSED, err.Error()
		all, err = reply.Note, nil
	case err != nil:
		return err
	case res.Outcome == ingest.Recorded:
		reply.Standing, reply.Receipt = rollcallv1.CarryReportReply_RECORDED, res.Receipt
	case res.Outcome == ingest.NeedFull:
		reply.Standing, all = rollcallv1.CarryReportReply_NEED_FULL, "the server has another state"
	case res.Outcome == ingest.Resend:
		reply.Standing, all = rollcallv1.CarryReportReply_NEED_FULL, "the server has lost more than is kept here"
	case res.Outcome == ingest.NeedContent && req.GetBare():
		reply.Standing, all = rollcallv1.CarryReportReply_NEED_FULL, "a file changed before its content was kept"
	case res.Outcome == ingest.NeedContent:
		reply.Standing = rollcallv1.CarryReportReply_NEED_CONTENT
		for _, d := range res.Missing {
			reply.Missing = append(reply.Missing, d[:])
		}
	default:
		reply.Standing = rollcallv1.CarryReportReply_QUARANTINED
		s.Log.Warn("report quarantined: the key speaks from two places", "ci", res.CI, "key", c.Key.ID, "from", carrier(ctx))
	}
	if all != "" {
		reply.Note = all
		reply.Answer, err = s.answer(&rollcallv1.CarriedAnswer{Word: rollcallv1.CarriedAnswer_SEND_ALL, Envelope: c.Hash[:], Note: all}, c.Key.Public)
	}
	return err
}

// CarryContents takes contents out of a file in, for a machine that the first message
// names. It answers after they are on disk.
func (s *Service) CarryContents(st grpc.ClientStreamingServer[rollcallv1.CarryContentsRequest, rollcallv1.UploadReply]) error {
	ctx := st.Context()
	if err := s.Ingest.Writer.Ready(); err != nil {
		return err // before a content is read
	}
	first, err := st.Recv()
	if err != nil {
		return status.Error(codes.InvalidArgument, "contents: there is none")
	}
	if len(first.GetKeyId()) != len(identity.KeyID{}) {
		return status.Error(codes.InvalidArgument, "contents: it is not said whose they are")
	}
	id := identity.KeyID(first.GetKeyId())
	key, err := s.Ingest.CarriedKey(ctx, callerOf(ctx).scope, id)
	if err != nil {
		return err
	}
	leave, ok := s.limits().upload(ctx, key.ID)
	if !ok {
		return status.Error(codes.ResourceExhausted, "too many uploads at once: try again later")
	}
	defer leave()
	part := first
	stored, err := s.takeContents(ctx, id, key.TrustClass(), func() (*rollcallv1.UploadRequest, error) {
		if part == nil {
			if part, err = st.Recv(); err != nil {
				return nil, err
			}
		}
		p := part.GetPart()
		part = nil
		return p, nil
	})
	if err != nil {
		return err
	}
	return st.SendAndClose(&rollcallv1.UploadReply{Stored: stored})
}
