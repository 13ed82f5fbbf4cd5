// Package api is the surface of the server: the gRPC services for agents and for
// operators, who may call what, and how errors look from outside.
//
// Each call passes the same gate (gate.go): agents are known by the key of their
// TLS certificate, operators by their token, and the permission of every method
// stands in one table. What the calls do is left to the packages below.
package api

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/cmdb"
	"rollcall/server/compare"
	"rollcall/server/index"
	"rollcall/server/ingest"
	"rollcall/server/store"

	"google.golang.org/grpc"
)

// Backlog tells how far a derived copy is behind.
type Backlog interface {
	// Backlog returns the number of revisions not yet in the mirror, and the
	// reason if it has stopped.
	Backlog(ctx context.Context) (n uint64, stopped error)
}

// Service answers agents and operators. All fields but Doors and Condition must
// be set.
type Service struct {
	rollcallv1.UnimplementedAgentsServer
	rollcallv1.UnimplementedItemsServer
	rollcallv1.UnimplementedAdminServer
	rollcallv1.UnimplementedEvidenceServer
	rollcallv1.UnimplementedKeysServer
	rollcallv1.UnimplementedProposalsServer
	rollcallv1.UnimplementedRadarServer
	rollcallv1.UnimplementedPoliciesServer
	rollcallv1.UnimplementedAccountServer
	rollcallv1.UnimplementedRecoveryServer
	rollcallv1.UnimplementedSavedServer
	rollcallv1.UnimplementedTrailServer
	rollcallv1.UnimplementedReportsServer
	rollcallv1.UnimplementedIdentityServer
	rollcallv1.UnimplementedCourierServer

	Engine    store.Engine
	Writer    store.Updater // for what operators write
	Ingest    *ingest.Service
	Sets      *cmdb.Sets
	Presence  *cmdb.Presence
	Mirror    Backlog
	Tenant    string
	Key       identity.Key
	Addresses []string // host:port that tokens name
	SRV       string   // name of the SRV record that enrolment tokens name instead; empty: none
	// NextPin gives the pin of the key that the server will have, "" if none is
	// announced. Tokens carry it; nothing else tells a machine.
	NextPin   func() (string, error)
	Version   string
	Started   time.Time
	Now       func() time.Time
	Log       *slog.Logger
	Size      func() int64 // bytes of the store on disk
	Metrics   *Metrics
	Warnings  []string         // that hold as long as the server runs, worst first
	Doors     Doors            // told who is known; nil: nobody
	Condition func() Condition // whether anything is taken in; nil: it is
	Proofs    LogKey
	// Observations tells who sees a machine at a site that has one of these cards; nil:
	// nobody does.
	Observations func(site string, macs []string) []cmdb.Observation
	Index        *index.Index // nil: every question reads every CI
	Eraser       Eraser

	EnrolmentsPerHost int // requests for admission a minute that an address may make; 0: 60

	SessionLife time.Duration // of a login by password; 0: 8 hours
	QueryTime   time.Duration // of the filter of one question; 0: 10 seconds
	MostTraced  int           // revisions that First reads; 0: 500,000
	SessionIdle time.Duration // it ends when it is not used for so long; 0: 30 minutes

	libraryOnce sync.Once
	library     *compare.Library // of files that comparisons read before
	limiter     limiter
	loginsOnce  sync.Once
	hasher      *auth.Hasher
	uses        *auth.Uses
	under       *load
	underOnce   sync.Once
	reports     atomic.Int32 // that are being made
}

// Register adds the services to a server.
func (s *Service) Register(g grpc.ServiceRegistrar) {
	rollcallv1.RegisterAgentsServer(g, s)
	rollcallv1.RegisterItemsServer(g, s)
	rollcallv1.RegisterAdminServer(g, s)
	rollcallv1.RegisterEvidenceServer(g, s)
	rollcallv1.RegisterKeysServer(g, s)
	rollcallv1.RegisterProposalsServer(g, s)
	rollcallv1.RegisterRadarServer(g, s)
	rollcallv1.RegisterAccountServer(g, s)
	rollcallv1.RegisterRecoveryServer(g, s)
	rollcallv1.RegisterSavedServer(g, s)
	rollcallv1.RegisterTrailServer(g, s)
	rollcallv1.RegisterReportsServer(g, s)
	rollcallv1.RegisterIdentityServer(g, s)
	rollcallv1.RegisterPoliciesServer(g, s)
	rollcallv1.RegisterCourierServer(g, s)
}

// view shows a snapshot as the operator who calls may see it.
func (s *Service) view(ctx context.Context, fn func(r store.Reader, items cmdb.View) error) error {
	scope := callerOf(ctx).scope
	return s.Engine.View(ctx, func(r store.Reader) error { return fn(r, cmdb.At(r, s.Tenant, s.Sets, scope)) })
}

// items is what the operator who calls may change in a transaction.
func (s *Service) items(ctx context.Context, tx store.Tx) cmdb.Writer {
	return cmdb.In(tx, s.Tenant, callerOf(ctx).scope)
}

func when(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
