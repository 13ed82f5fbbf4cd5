// Package server puts the server together: store, lanes, services, mirror and
// metrics, started and stopped as one. It owns the configuration, the data folder
// and the listeners; what is done with a report or a question is left to the
// packages below.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"regexp"
	"sync/atomic"
	"time"

	"rollcall/internal/fence"
	"rollcall/internal/identity"
	"rollcall/server/api"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/index"
	"rollcall/server/ingest"
	"rollcall/server/mirror"
	"rollcall/server/observer"
	"rollcall/server/sitesummary"
	"rollcall/server/store"
	"rollcall/server/store/bolt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// ErrNotInitialised is returned where there is no data folder to work on.
var ErrNotInitialised = errors.New("there is no server here yet: run 'rollcall-server init' first")

// Server is a server that is ready to run.
type Server struct {
	cfg      Config
	log      *slog.Logger
	engine   *bolt.Engine
	writer   *store.Writer
	feed     *store.ChangeFeed
	presence *cmdb.Presence
	service  *api.Service
	mirror   *mirror.Mirror
	registry *prometheus.Registry
	key      identity.Key
	room     *room
	logKey   identity.Key
	trouble  atomic.Pointer[error] // why no checkpoint is signed
	doors    *doors
	wake     chan struct{}
	stale    chan struct{} // the mirror shows what is gone
	eraser   *eraser
	index    *index.Index

	sitesummary *sitesummary.Service // nil: it is off
	observers   *observer.Service
	entries     *sitesummary.Keeper // nil: none are kept
}

// Init makes the data folder, the server's key and an empty store. It changes
// nothing where there is a server already, and tells.
func Init(ctx context.Context, cfg Config) (made bool, err error) {
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return false, fmt.Errorf("make data folder: %w", err)
	}
	if err := os.Chmod(cfg.Data, 0o700); err != nil {
		return false, fmt.Errorf("make data folder: %w", err)
	}
	_, made, err = identity.LoadOrMakeKey(cfg.KeyFile())
	if err != nil {
		return false, err
	}
	if _, _, err := identity.LoadOrMakeKey(cfg.LogKeyFile()); err != nil {
		return false, err
	}
	engine, err := bolt.Open(cfg.database(), bolt.Options{})
	if err != nil {
		return false, err
	}
	return made, errors.Join(store.Schema(ctx, engine), engine.Close())
}

// New opens what Init made. Close or Run must follow.
func New(ctx context.Context, cfg Config, version string, log *slog.Logger) (*Server, error) {
	key, err := identity.LoadKey(cfg.KeyFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open %s: %w", cfg.Data, ErrNotInitialised)
	}
	if err != nil {
		return nil, err
	}
	logKey, _, err := identity.LoadOrMakeKey(cfg.LogKeyFile()) // data folders of before have none
	if err != nil {
		return nil, err
	}
	engine, err := bolt.Open(cfg.database(), bolt.Options{})
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: log, engine: engine, key: key, logKey: logKey, registry: prometheus.NewRegistry(), wake: make(chan struct{}, 1), stale: make(chan struct{}, 1), room: newRoom(cfg, log)}
	if err := s.assemble(ctx, version); err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return s, nil
}

func (s *Server) assemble(ctx context.Context, version string) error {
	if err := store.Schema(ctx, s.engine); err != nil {
		return err
	}
	sets, err := cmdb.NewSets()
	if err != nil {
		return err
	}
	if s.presence, err = cmdb.LoadPresence(ctx, s.engine, s.cfg.Tenant, s.cfg.SilentAfter); err != nil {
		return err
	}
	metrics := api.NewMetrics(s.registry)
	s.feed = store.NewFeed(store.FeedConfig{Engine: s.engine})
	hooks := metrics.Hooks()
	hooks.Panicked = func(v any, stack []byte) { s.log.Error("operation panicked", "value", v, "stack", string(stack)) }
	failed := hooks.Failed
	hooks.Failed = func(ops int, err error) {
		failed(ops, err)
		s.room.Failed(err)
	}
	s.writer = store.NewWriter(store.Config{Engine: s.engine, Feed: s.feed, Hooks: hooks, Guard: s.room.Err})
	s.mirror = newMirror(s.cfg, s.engine, s.writer, sets, mirrorHooks{wake: s.wake, hold: s.room.Err, busy: s.busy}, s.log)
	var keys serverKeys
	err = s.engine.View(ctx, func(r store.Reader) (err error) {
		keys, err = loadServerKeys(r, s.cfg.Tenant, s.key)
		return err
	})
	if err != nil {
		return err
	}
	s.index = index.New(index.Config{Engine: s.engine, Tenant: s.cfg.Tenant, Sets: sets, Presence: s.presence})
	s.service = &api.Service{
		Index:  s.index,
		Engine: s.engine, Writer: s.writer, Sets: sets, Presence: s.presence, Mirror: backlog{s.mirror}, Tenant: s.cfg.Tenant,
		Key: s.key, Addresses: s.cfg.Addresses, SRV: s.cfg.SRV, Version: version, Started: time.Now(), Now: time.Now, Log: s.log,
		Size: s.size, Metrics: metrics, SessionLife: s.cfg.Session, SessionIdle: s.cfg.SessionIdle, EnrolmentsPerHost: s.cfg.Enrolments, Condition: s.room.Condition, NextPin: s.cfg.nextPin,
		Ingest: &ingest.Service{
			Engine: s.engine, Writer: s.writer, Tenant: s.cfg.Tenant, Key: s.key, Sets: sets, Presence: s.presence, Now: time.Now,
			Realm: keys.Realm, Past: keys.Past,
		},
	}
	if err := s.beginLog(ctx); err != nil {
		return err
	}
	if s.service.Proofs, err = s.proofs(keys); err != nil {
		return err
	}
	s.eraser = &eraser{
		sweeper: sweeper{
			engine: s.engine, writes: s.writer, ingest: s.service.Ingest, sets: sets, tenant: s.cfg.Tenant, grace: orphanAge, now: time.Now,
		},
		presence: s.presence, stale: s.mirrorStale,
	}
	s.service.Eraser = s.eraser
	s.service.RegisterStanding(s.registry)
	if err := s.besideSitesummary(); err != nil {
		return err
	}
	s.observe()
	live := collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile("^/gc/heap/live:bytes$")}
	s.registry.MustRegister(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(live)))
	return nil
}

// busyReports is from how many reports under way on the mirror goes slower.
const busyReports = 8

func (s *Server) busy() bool { return s.service.Ingest.UnderWay() >= busyReports }

// Alive reads from the store, and returns an error if that fails.
func (s *Server) Alive(ctx context.Context) error {
	return store.Schema(ctx, s.engine)
}

// Protected tells the server how its process is shut in, for the log and for
// 'rollcall status'.
func (s *Server) Protected(f fence.State) {
	for _, why := range f.Missing {
		s.service.Warnings = append(s.service.Warnings, "the server's process is less protected than it could be: "+why)
		s.log.Warn("the process is less protected than it could be", "why", why)
	}
	s.log.Info("shut in", "secrets", f.Secrets, "calls", f.Calls, "files", f.Files)
}

// SetClock gives the server another clock, before Run: what is recorded has its
// time. It is for programs that play months in minutes.
func (s *Server) SetClock(now func() time.Time) {
	s.service.Now, s.service.Ingest.Now = now, now
}

func (s *Server) size() int64 {
	n, err := s.engine.Size()
	if err != nil {
		s.log.Error("size of the store", "err", err)
	}
	return n
}

// Run serves until ctx ends, then finishes what it has begun and closes the
// store. ready is called with the address that agents and operators reach.
func (s *Server) Run(ctx context.Context, ready func(net.Addr)) error {
	err := s.serve(ctx, ready)
	return errors.Join(err, s.engine.Close())
}

func (s *Server) serve(ctx context.Context, ready func(net.Addr)) error {
	lis, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.cfg.Listen, err)
	}
	s.doors = newDoors(lis, limitsOf(s.cfg), s.cfg.Handshakes)
	s.service.Doors = s.doors
	if a, ok := lis.Addr().(*net.TCPAddr); ok && len(s.service.Addresses) == 0 && !a.IP.IsUnspecified() {
		s.service.Addresses = []string{a.String()}
	}
	s.doors.guest = s.guest
	srv, err := s.grpcServer()
	if err != nil {
		return errors.Join(err, lis.Close())
	}
	control, err := s.listenControl()
	if errors.Is(err, unix.ENOSPC) { // it answers questions all the same
		s.log.Error("no backup, check and operator add until there is room and a restart", "err", err)
	} else if err != nil {
		return errors.Join(err, lis.Close())
	}
	// The lanes outlive the calls that wait for them.
	lanes, stopLanes := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLanes()
	lanesDone := make(chan error, 1)
	go func() { lanesDone <- s.writer.Run(lanes) }()

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return srv.Serve(s.doors) })
	g.Go(func() error { return s.runMirror(gctx) })
	g.Go(func() error { return s.followStale(gctx) })
	g.Go(func() error { return s.tend(gctx) })
	g.Go(func() error { return s.goOnRevoking(gctx) })
	g.Go(func() error { return s.feed.Run(gctx, func(err error) { s.log.Error("feed", "err", err) }) })
	g.Go(func() error { return s.wakeMirror(gctx) })
	g.Go(func() error { return s.index.Run(gctx, s.feed) })
	g.Go(func() error { return s.savePresence(gctx) })
	g.Go(func() error { s.room.watch(gctx); return nil })
	g.Go(func() error { return s.signCheckpoints(gctx) })
	g.Go(func() error { return s.serveMetrics(gctx) })
	g.Go(func() error { return s.serveSitesummary(gctx) })
	g.Go(func() error { return s.keepEntries(gctx) })
	g.Go(func() error { return s.followObservers(gctx) })
	g.Go(func() error { return s.control(gctx, control) })
	g.Go(func() error {
		var broken error
		select {
		case <-gctx.Done():
		case broken = <-lanesDone: // only a broken store ends them
			lanesDone <- nil
		}
		stop := time.AfterFunc(10*time.Second, srv.Stop)
		defer stop.Stop()
		srv.GracefulStop()
		return broken
	})
	s.log.Info("serving", "listen", lis.Addr().String(), "data", s.cfg.Data, "version", s.service.Version)
	if ready != nil {
		ready(lis.Addr())
	}
	err = g.Wait()
	last := context.WithoutCancel(ctx)
	if saveErr := errors.Join(s.presence.Save(last, s.writer, s.cfg.Tenant), s.service.SaveUses(last)); saveErr != nil {
		s.log.Error("presence", "err", saveErr)
	}
	s.logTicks(last, true)
	s.signCheckpoint(last)
	stopLanes()
	return errors.Join(err, <-lanesDone)
}

// wakeMirror tells the mirror that something was committed.
func (s *Server) wakeMirror(ctx context.Context) error {
	err := s.feed.Follow(ctx, func([]string) error {
		select {
		case s.wake <- struct{}{}:
		default:
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Server) savePresence(ctx context.Context) error {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			err := errors.Join(s.presence.Save(ctx, s.writer, s.cfg.Tenant), s.service.SaveUses(ctx))
			if errors.Is(err, store.ErrReadOnly) {
				continue // said already; it is kept in memory
			}
			if err != nil && ctx.Err() == nil {
				s.log.Error("presence", "err", err)
			}
		}
	}
}

// guest tells whose pass a server name holds, if the key is enrolled.
func (s *Server) guest(name string) (identity.KeyID, bool) {
	id, ok := identity.OpenPass(s.key, name)
	if !ok {
		return id, false
	}
	err := s.engine.View(context.Background(), func(r store.Reader) error {
		_, err := enrol.At(r, s.cfg.Tenant).Key(id)
		return err
	})
	return id, err == nil
}

// Limits of the wire. Defaults of the library would let one client hold 2^32
// streams, and a silent connection two minutes.
func (s *Server) grpcServer() (*grpc.Server, error) {
	secure, err := identity.ServerTLS(s.key)
	if err != nil {
		return nil, err
	}
	if s.doors != nil {
		secure.GetConfigForClient = s.doors.hello
	}
	srv := grpc.NewServer(append(wire(secure),
		grpc.InTapHandle(s.service.Tap),
		grpc.UnaryInterceptor(s.service.Unary),
		grpc.StreamInterceptor(s.service.Stream),
	)...)
	s.service.Register(srv)
	return srv, nil
}

// wire is how the server speaks, whatever it says.
func wire(secure *tls.Config) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(credentials.NewTLS(secure)),
		grpc.MaxRecvMsgSize(identity.MaxEnvelope + 64<<10),
		grpc.MaxSendMsgSize(64 << 20),
		grpc.MaxConcurrentStreams(16),
		grpc.MaxHeaderListSize(8 << 10),
		grpc.ConnectionTimeout(10 * time.Second),
		// What one connection costs: 4,000 idle ones must not take the memory that
		// reports need, and a stream no more than it is worth.
		grpc.ReadBufferSize(8 << 10), grpc.WriteBufferSize(16 << 10),
		grpc.StaticStreamWindowSize(64 << 10), grpc.StaticConnWindowSize(256 << 10),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: time.Minute, Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second}),
	}
}
