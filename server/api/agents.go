package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"rollcall/internal/fact"
	"rollcall/internal/failpoint"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/ingest"
	"rollcall/server/store"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Bounds of what a machine sends.
const (
	maxTokenID     = 64
	maxEnrolFacts  = 32 << 10
	maxUploadPart  = 64 << 10
	maxUploadBatch = 4 << 20 // bytes of contents held before they are stored
	maxUploadCount = 500     // contents held before they are stored
	pendingRetryS  = 60
)

// Enrol admits a machine, puts it on the list of those that wait, or refuses it.
func (s *Service) Enrol(ctx context.Context, req *rollcallv1.EnrolRequest) (*rollcallv1.EnrolReply, error) {
	c := callerOf(ctx)
	facts, err := enrolFacts(req.GetFacts())
	if err != nil {
		return nil, err
	}
	if len(req.GetTokenId()) > maxTokenID {
		return nil, enrol.ErrToken
	}
	q := enrol.Request{
		TokenID: fmt.Sprintf("%x", req.GetTokenId()), Proof: req.GetProof(), Exporter: c.exporter, Public: c.key,
		Hostname: req.GetHostname(), Facts: facts, Source: auth.HostOf(c.addr), Addr: addrOf(c.addr), Version: req.GetAgentVersion(),
		Heard: s.Presence.Last, OneShot: req.GetOneShot(),
	}
	var key enrol.Key
	err = s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		var news bool
		key, news, err = s.admitMachine(tx, q)
		if err != nil || !news {
			return nothing, err
		}
		e := OfKey(evidence.Enrol, key)
		e.By = "key " + key.ID
		return e, nil
	})
	if errors.Is(err, enrol.ErrToken) {
		s.Log.Warn("enrolment refused", "from", c.addr, "key", identity.IDOf(c.key).String(), "err", err)
		return nil, enrol.ErrToken
	}
	if err != nil {
		return nil, err
	}
	reply := &rollcallv1.EnrolReply{Realm: s.realm(), Trust: key.TrustClass()}
	switch key.State {
	case enrol.Enrolled:
		reply.Outcome, reply.Ci = rollcallv1.EnrolReply_ENROLLED, key.CI
		s.Log.Info("machine enrolled", "key", key.ID, "ci", key.CI, "by", key.By)
	case enrol.Pending:
		reply.Outcome, reply.RetryAfterS = rollcallv1.EnrolReply_PENDING, pendingRetryS
		reply.Note = "it needs " + needs(key) + "; see rollcall enrol pending"
	default:
		reply.Outcome, reply.Note = rollcallv1.EnrolReply_REFUSED, "the key is "+string(key.State)
	}
	return reply, nil
}

// admitMachine also tells whether that is news: the key was not known before, or
// was not admitted.
func (s *Service) admitMachine(tx store.Tx, q enrol.Request) (key enrol.Key, news bool, err error) {
	w := enrol.In(tx, s.Tenant, cmdb.In(tx, s.Tenant, cmdb.Everywhere))
	before, _, err := w.Known(identity.IDOf(q.Public))
	if err != nil {
		return enrol.Key{}, false, err
	}
	key, err = w.Admit(s.Now(), q)
	return key, before.State != key.State, err
}

// addrOf gives the address without its port; the zero one is in no network.
func addrOf(addr string) netip.Addr {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

func enrolFacts(b []byte) (fact.Set, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) > maxEnrolFacts {
		return nil, status.Errorf(codes.ResourceExhausted, "facts of %d bytes, at most %d", len(b), maxEnrolFacts)
	}
	set, err := fact.DecodeSet(b)
	if err != nil {
		return nil, err
	}
	for i, f := range set {
		err := f.Check()
		if i > 0 && set[i-1].Path >= f.Path {
			err = cmp.Or(err, fmt.Errorf("fact %.80q is out of order", f.Path))
		}
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
	}
	return set, nil
}

// Submit takes one envelope in.
func (s *Service) Submit(ctx context.Context, req *rollcallv1.SubmitRequest) (*rollcallv1.SubmitReply, error) {
	done, err := s.load().work(ctx, s.Now)
	if err != nil {
		return nil, err
	}
	defer done()
	res, err := s.Ingest.Accept(ctx, callerOf(ctx).key, auth.HostOf(callerOf(ctx).addr), req.GetEnvelope())
	s.Metrics.submitted(res, err)
	if err != nil {
		return nil, err
	}
	if res.Outcome == ingest.Quarantined {
		s.Log.Warn("report quarantined: the key speaks from two places", "ci", res.CI, "key", identity.IDOf(callerOf(ctx).key).String())
	}
	reply := &rollcallv1.SubmitReply{Receipt: res.Receipt, ServerTimeMs: s.Now().UnixMilli()}
	s.smoothTheWay(ctx, reply)
	if res.Policy != nil {
		if reply.Policy, err = s.newerPolicy(ctx, *res.Policy); err != nil {
			s.Log.Error("the published policy cannot be passed on", "err", err) // the report was taken
		}
	}
	switch res.Outcome {
	case ingest.Recorded:
		reply.Outcome, reply.Ci, reply.Trust = rollcallv1.SubmitReply_RECORDED, res.CI, res.Trust
		failpoint.Soon(failpoint.AfterAck)
	case ingest.Seen:
		reply.Outcome = rollcallv1.SubmitReply_SEEN
	case ingest.NeedFull:
		reply.Outcome = rollcallv1.SubmitReply_NEED_FULL
	case ingest.NeedContent:
		reply.Outcome = rollcallv1.SubmitReply_NEED_CONTENT
		for _, d := range res.Missing {
			reply.Missing = append(reply.Missing, d[:])
		}
	case ingest.Resend:
		reply.Outcome, reply.Have = rollcallv1.SubmitReply_RESEND, res.Have
	case ingest.Quarantined:
		reply.Outcome, reply.RetryAfterS = rollcallv1.SubmitReply_QUARANTINED, 6*60*60
	}
	return reply, nil
}

// Upload takes file contents in. It answers after they are on disk.
func (s *Service) Upload(st grpc.ClientStreamingServer[rollcallv1.UploadRequest, rollcallv1.UploadReply]) error {
	ctx := st.Context()
	key := identity.IDOf(callerOf(ctx).key)
	if err := s.Ingest.Writer.Ready(); err != nil {
		return err // before a content is read
	}
	leave, ok := s.limits().upload(ctx, key.String())
	if !ok {
		return status.Error(codes.ResourceExhausted, "too many uploads at once: try again later")
	}
	defer leave()
	var trust string
	err := s.view2(ctx, func(v enrol.View) error {
		k, err := v.Key(key)
		trust = k.TrustClass()
		return err
	})
	if err != nil {
		return err
	}
	stored, err := s.takeContents(ctx, key, trust, st.Recv)
	if err != nil {
		return err
	}
	return st.SendAndClose(&rollcallv1.UploadReply{Stored: stored})
}

// takeContents stores the contents that a stream brings for a key, until its end.
func (s *Service) takeContents(ctx context.Context, key identity.KeyID, trust string, recv func() (*rollcallv1.UploadRequest, error)) (stored uint32, err error) {
	var batch []cmdb.Content
	held := 0
	for {
		d, content, err := nextContent(recv)
		if err != nil && !errors.Is(err, io.EOF) {
			return stored, err
		}
		done := err != nil
		if !done {
			c, err := s.Ingest.CheckContent(key, d, content)
			if err != nil {
				return stored, err
			}
			if c.Sealed && trust == enrol.T0 {
				return stored, fmt.Errorf("upload: %w: nothing sealed is taken from it", enrol.ErrTrust)
			}
			batch, held = append(batch, c), held+len(content)
		}
		if done || held >= maxUploadBatch || len(batch) >= maxUploadCount {
			if err := s.Ingest.PutContents(ctx, key, batch); err != nil {
				return stored, err
			}
			stored += uint32(len(batch))
			batch, held = nil, 0
		}
		if done {
			return stored, nil
		}
	}
}

// nextContent puts the parts of one content together. It returns io.EOF after
// the last one.
func nextContent(recv func() (*rollcallv1.UploadRequest, error)) (fact.Digest, []byte, error) {
	first, err := recv()
	if err != nil {
		return fact.Digest{}, nil, err
	}
	if len(first.GetDigest()) != len(fact.Digest{}) || first.GetSize() > ingest.MaxContent {
		return fact.Digest{}, nil, status.Errorf(codes.InvalidArgument, "upload: no digest, or more than %d bytes", ingest.MaxContent)
	}
	d := fact.Digest(first.GetDigest())
	var content []byte
	for part := first; ; {
		if len(part.GetData()) > maxUploadPart || uint64(len(content)+len(part.GetData())) > first.GetSize() {
			return d, nil, status.Error(codes.InvalidArgument, "upload: a part is too large")
		}
		content = append(content, part.GetData()...)
		if uint64(len(content)) == first.GetSize() {
			return d, content, nil
		}
		if part, err = recv(); err != nil {
			return d, nil, status.Error(codes.InvalidArgument, "upload: it ends within a content")
		}
		if len(part.GetDigest()) != 0 || len(part.GetData()) == 0 {
			return d, nil, status.Error(codes.InvalidArgument, "upload: a part is missing")
		}
	}
}
