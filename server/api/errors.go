package api

import (
	"context"
	"errors"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/auth"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/ingest"
	"rollcall/server/query"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// classes maps the errors that domain packages define to wire codes. What is not
// listed is a fault of the server: its text goes to the log, not to the caller.
var classes = []struct {
	err  error
	code codes.Code
}{
	{auth.ErrDenied, codes.PermissionDenied},
	{auth.ErrWho, codes.Unauthenticated},
	{auth.ErrInvalid, codes.InvalidArgument},
	{auth.ErrNotFound, codes.NotFound},
	{cmdb.ErrNotFound, codes.NotFound},
	{cmdb.ErrNoFile, codes.NotFound},
	{cmdb.ErrInvalid, codes.InvalidArgument},
	{cmdb.ErrTaken, codes.AlreadyExists},
	{cmdb.ErrScope, codes.PermissionDenied},
	{enrol.ErrUnknown, codes.PermissionDenied},
	{enrol.ErrToken, codes.PermissionDenied},
	{enrol.ErrState, codes.FailedPrecondition},
	{identity.ErrTooLarge, codes.ResourceExhausted},
	{identity.ErrEnvelope, codes.InvalidArgument},
	{identity.ErrSignature, codes.PermissionDenied},
	{ingest.ErrMalformed, codes.InvalidArgument},
	{ingest.ErrRealm, codes.FailedPrecondition},
	{ingest.ErrKey, codes.PermissionDenied},
	{ingest.ErrQuota, codes.ResourceExhausted},
	{ingest.ErrContent, codes.InvalidArgument},
	{fact.ErrEncoding, codes.InvalidArgument},
	{store.ErrBusy, codes.Unavailable},
	{store.ErrClosed, codes.Unavailable},
	{store.ErrCorrupt, codes.DataLoss},
	{context.Canceled, codes.Canceled},
	{context.DeadlineExceeded, codes.DeadlineExceeded},
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
			return status.Error(c.code, err.Error()), c.code == codes.DataLoss
		}
	}
	return status.Error(codes.Internal, "the server failed; its log says why"), true
}
