package api

import (
	"context"
	"errors"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/auth"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/index"
	"rollcall/server/ingest"
	"rollcall/server/query"
	"rollcall/server/report"
	"rollcall/server/store"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// classes maps the errors that domain packages define to wire codes. What is not
// listed is a fault of the server: its text goes to the log, not to the caller.
var classes = []class{
	{auth.ErrDenied, codes.PermissionDenied},
	{auth.ErrWho, codes.Unauthenticated},
	{auth.ErrInvalid, codes.InvalidArgument},
	{auth.ErrNotFound, codes.NotFound},
	{auth.ErrProposal, codes.FailedPrecondition},
	{auth.ErrBusy, codes.ResourceExhausted},
	{cmdb.ErrNotFound, codes.NotFound},
	{cmdb.ErrNoFile, codes.NotFound},
	{cmdb.ErrNoName, codes.NotFound},
	{cmdb.ErrInvalid, codes.InvalidArgument},
	{cmdb.ErrTaken, codes.AlreadyExists},
	{cmdb.ErrScope, codes.PermissionDenied},
	{enrol.ErrUnknown, codes.PermissionDenied},
	{enrol.ErrToken, codes.PermissionDenied},
	{enrol.ErrState, codes.FailedPrecondition},
	{evidence.ErrNotFound, codes.NotFound},
	{evidence.ErrErased, codes.NotFound},
	{evidence.ErrCheckpoint, codes.InvalidArgument},
	{evidence.ErrOld, codes.FailedPrecondition},
	{evidence.ErrFork, codes.FailedPrecondition},
	{evidence.ErrWitnesses, codes.ResourceExhausted},
	{enrol.ErrInvalid, codes.InvalidArgument},
	{enrol.ErrSecondPerson, codes.FailedPrecondition},
	{enrol.ErrTrust, codes.FailedPrecondition},
	{enrol.ErrKeys, codes.InvalidArgument},
	{enrol.ErrRate, codes.ResourceExhausted},
	{identity.ErrRotation, codes.InvalidArgument},
	{identity.ErrTooLarge, codes.ResourceExhausted},
	{identity.ErrEnvelope, codes.InvalidArgument},
	{identity.ErrSignature, codes.PermissionDenied},
	{ingest.ErrMalformed, codes.InvalidArgument},
	{ingest.ErrRealm, codes.FailedPrecondition},
	{ingest.ErrKey, codes.PermissionDenied},
	{ingest.ErrQuota, codes.ResourceExhausted},
	{ingest.ErrContent, codes.InvalidArgument},
	{fact.ErrEncoding, codes.InvalidArgument},
	{query.ErrCost, codes.InvalidArgument},
	{query.ErrPast, codes.InvalidArgument},
	{report.ErrNotFound, codes.NotFound},
	{report.ErrParam, codes.InvalidArgument},
	{report.ErrCost, codes.ResourceExhausted},
	{index.ErrCost, codes.InvalidArgument},
	{store.ErrBusy, codes.ResourceExhausted},
	{store.ErrClosed, codes.Unavailable},
	{store.ErrReadOnly, codes.ResourceExhausted},
	{store.ErrCorrupt, codes.DataLoss},
	{context.Canceled, codes.Canceled},
	{context.DeadlineExceeded, codes.DeadlineExceeded},
}

type class struct {
	err  error
	code codes.Code
}

// patience is when to try again after errors that pass by themselves. An error may
// know better: see retryAfter.
var patience = []struct {
	err   error
	after time.Duration
}{
	{store.ErrReadOnly, time.Minute},
	{store.ErrBusy, 10 * time.Second},
	{store.ErrClosed, 10 * time.Second},
}

// retryAfter tells when the same call may succeed; 0: it is not known, or never.
func retryAfter(err error) time.Duration {
	var own interface{ RetryAfter() time.Duration }
	if errors.As(err, &own) {
		return own.RetryAfter()
	}
	for _, p := range patience {
		if errors.Is(err, p.err) {
			return p.after
		}
	}
	return 0
}

// withRetry makes the status of an error that passes. The time stands in it as
// google.rpc.RetryInfo, the usual form, so that no client needs a rule of its own.
func withRetry(code codes.Code, text string, after time.Duration) error {
	st := status.New(code, text)
	if after > 0 {
		if told, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(after)}); err == nil {
			st = told
		}
	}
	return st.Err()
}

// toStatus turns an error into what the caller is told, and tells whether it is
// the server's own fault.
func toStatus(err error) (told error, fault bool) {
	if err == nil {
		return nil, false
	}
	if _, ok := status.FromError(err); ok {
		return err, false
	}
	var syntax *query.SyntaxError
	if errors.As(err, &syntax) {
		return status.Error(codes.InvalidArgument, err.Error()), false
	}
	for _, c := range classes {
		if errors.Is(err, c.err) {
			return withRetry(c.code, err.Error(), retryAfter(err)), c.code == codes.DataLoss
		}
	}
	return status.Error(codes.Internal, "the server failed; its log says why"), true
}
