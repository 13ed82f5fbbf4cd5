package server

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"testing"
	"time"

	"rollcall/internal/identity"
	"rollcall/internal/sim"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store"
	"rollcall/server/store/bolt"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// benchClients is how many machines report at the same time.
const benchClients = 64

// BenchmarkIngest measures reports a second over gRPC and TLS with fsync on, from
// 64 machines on the same processors: ticks, deltas of one package, full
// inventories. Envelopes are signed before the clock runs, sent and answered while
// it does. Beside them the yardsticks of the same run: the same deltas with one
// transaction for each report, the same deltas to a server that does nothing with
// them, or nothing but verify them, signature verification alone on one core, and
// what the disk takes: a value of 4 KiB in a transaction of its own.
func BenchmarkIngest(b *testing.B) {
	delta := func(m *sim.Machine, i int) ([]byte, error) {
		m.Upgrade(i, i)
		return m.Report(false)
	}
	own := func(m *sim.Machine, i int) ([]byte, error) {
		m.Upgrade(i*997, int(binary.BigEndian.Uint32(m.Key[32:])>>4)+i) // a version of its own
		return m.Report(false)
	}
	b.Run("tick", func(b *testing.B) {
		benchIngest(b, store.Config{}, func(m *sim.Machine, _ int) ([]byte, error) { return m.Tick() })
	})
	b.Run("delta", func(b *testing.B) { benchIngest(b, store.Config{}, delta) })
	b.Run("delta-that-no-other-has", func(b *testing.B) { benchIngest(b, store.Config{}, own) })
	b.Run("delta-one-transaction-each", func(b *testing.B) { benchIngest(b, store.Config{Linger: -1, MaxBatch: 1}, delta) })
	b.Run("full", func(b *testing.B) {
		benchIngest(b, store.Config{}, func(m *sim.Machine, i int) ([]byte, error) {
			m.Upgrade(i, i)
			return m.Report(true)
		})
	})
	b.Run("empty-handler", func(b *testing.B) { benchEmpty(b, delta, false) })
	b.Run("handler-that-verifies", func(b *testing.B) { benchEmpty(b, delta, true) })
	b.Run("verify-alone", benchVerify)
	b.Run("fsync-alone", benchFsync)
}

// benchFsync commits one value of 4 KiB after the other.
func benchFsync(b *testing.B) {
	e, err := bolt.Open(filepath.Join(b.TempDir(), "db"), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	for n := uint64(0); b.Loop(); n++ {
		key := store.Key{Space: store.Record, K: binary.BigEndian.AppendUint64([]byte("t/"), n)}
		if err := e.Update(b.Context(), func(tx store.Tx) error { return tx.Put(key, make([]byte, 4<<10)) }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

func benchIngest(b *testing.B, lanes store.Config, next func(*sim.Machine, int) ([]byte, error)) {
	s, addr := benchServer(b, lanes)
	benchLoad(b, func(ctx context.Context, i int) (*sim.Machine, rollcallv1.AgentsClient) {
		return benchMachine(ctx, b, s, addr, i)
	}, next)
}

// benchLoad lets machines report to a server that they are known to.
func benchLoad(b *testing.B, join func(context.Context, int) (*sim.Machine, rollcallv1.AgentsClient), next func(*sim.Machine, int) ([]byte, error)) {
	// In a profile the clients, and what is made before the clock runs, are told from
	// the server by their labels.
	preparing := pprof.WithLabels(b.Context(), pprof.Labels("side", "preparation"))
	pprof.SetGoroutineLabels(preparing)
	defer pprof.SetGoroutineLabels(context.Background())
	client := func(do func(context.Context)) { pprof.Do(preparing, pprof.Labels("side", "client"), do) }
	clients := make([]rollcallv1.AgentsClient, benchClients)
	signed := make([][][]byte, benchClients)
	for i := range clients {
		var m *sim.Machine
		m, clients[i] = join(preparing, i)
		env, err := m.Report(true)
		if err != nil {
			b.Fatal(err)
		}
		client(func(context.Context) { benchSubmit(b, clients[i], env) })
		for n := range (b.N - i + benchClients - 1) / benchClients {
			if env, err = next(m, n); err != nil {
				b.Fatal(err)
			}
			signed[i] = append(signed[i], env)
		}
	}
	var wg sync.WaitGroup
	b.ResetTimer()
	before := cpuTime(b)
	for i, c := range clients {
		wg.Go(func() {
			client(func(context.Context) {
				for _, env := range signed[i] {
					benchSubmit(b, c, env)
				}
			})
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reports/s")
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/report")
}

// cpuTime is what this process, clients and server, has used of the processors.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchSubmit(b *testing.B, c rollcallv1.AgentsClient, env []byte) {
	reply, err := c.Submit(context.Background(), &rollcallv1.SubmitRequest{Envelope: env})
	if err != nil {
		b.Error(err)
		return
	}
	if o := reply.GetOutcome(); o != rollcallv1.SubmitReply_RECORDED && o != rollcallv1.SubmitReply_SEEN {
		b.Errorf("outcome %s", o)
	}
}

// benchServer runs a server in a temporary folder.
func benchServer(b testing.TB, lanes store.Config) (*Server, string) {
	ctx := b.Context()
	cfg := Defaults()
	cfg.Data, cfg.Listen, cfg.Metrics, cfg.PerHost = b.TempDir(), "127.0.0.1:0", "", 1000
	if _, err := Init(ctx, cfg); err != nil {
		b.Fatal(err)
	}
	s, err := New(ctx, cfg, "bench", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	if lanes.MaxBatch > 0 {
		lanes.Engine, lanes.Feed = s.engine, s.feed
		s.writer = store.NewWriter(lanes)
		s.service.Writer, s.service.Ingest.Writer = s.writer, s.writer
	}
	s.service.Ingest.Burst, s.service.Ingest.BytesPerDay = 1<<40, 1<<50
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() { done <- s.Run(ctx, func(a net.Addr) { ready <- a }) }()
	b.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	select {
	case a := <-ready:
		return s, a.String()
	case err := <-done:
		b.Fatal(err)
	}
	return nil, ""
}

// benchMachine enrols one simulated machine over its own connection.
func benchMachine(ctx context.Context, b testing.TB, s *Server, addr string, number int) (*sim.Machine, rollcallv1.AgentsClient) {
	pub := identity.Public(s.key)
	m, err := sim.NewMachine(uint64(number), pub)
	if err != nil {
		b.Fatal(err)
	}
	m.Install(2500, 1200)
	token := enrol.Token{ID: fmt.Sprintf("%016x", number), Hash: identity.HashSecret(identity.NewSecret()), By: "bench", Expires: time.Now().Add(time.Hour)}
	req := enrol.Request{TokenID: token.ID, Proof: identity.Proof(token.Hash, nil, identity.Public(m.Key)), Public: identity.Public(m.Key), Hostname: m.Name}
	err = s.service.Writer.Update(b.Context(), func(tx store.Tx) error {
		keys := enrol.In(tx, s.cfg.Tenant, cmdb.In(tx, s.cfg.Tenant, cmdb.Everywhere))
		if _, err := keys.AddToken(token); err != nil {
			return err
		}
		_, err := keys.Admit(time.Now(), req)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return m, benchDial(ctx, b, m.Key, pub, addr)
}

// benchDial connects a machine to a server with a key.
func benchDial(ctx context.Context, b testing.TB, own identity.Key, server ed25519.PublicKey, addr string) rollcallv1.AgentsClient {
	pin, err := identity.PinOf(server)
	if err != nil {
		b.Fatal(err)
	}
	cfg, err := identity.ClientTLS([]string{pin}, own)
	if err != nil {
		b.Fatal(err)
	}
	var conn *grpc.ClientConn
	pprof.Do(ctx, pprof.Labels("side", "client"), func(context.Context) { // what it starts is the client's too
		conn, err = grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return rollcallv1.NewAgentsClient(conn)
}

// emptyAgents answers as if every report were recorded.
type emptyAgents struct {
	rollcallv1.UnimplementedAgentsServer
	verify  func(envelope []byte) error // nil: not even that
	receipt []byte
}

// Submit implements rollcallv1.AgentsServer.
func (e *emptyAgents) Submit(_ context.Context, req *rollcallv1.SubmitRequest) (*rollcallv1.SubmitReply, error) {
	if e.verify != nil {
		if err := e.verify(req.GetEnvelope()); err != nil {
			return nil, err
		}
	}
	return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_RECORDED, Receipt: e.receipt, ServerTimeMs: 1}, nil
}

// benchEmpty measures what is left for ingest: gRPC and TLS as the server has them,
// with the same reports, clients and answers.
func benchEmpty(b *testing.B, next func(*sim.Machine, int) ([]byte, error), verify bool) {
	key, err := identity.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	tls, err := identity.ServerTLS(key)
	if err != nil {
		b.Fatal(err)
	}
	e := &emptyAgents{receipt: identity.Receipt{Logged: true}.Sign(key)}
	if verify {
		keys := map[identity.KeyID]ed25519.PublicKey{}
		for i := range benchClients {
			m, err := sim.NewMachine(uint64(i), identity.Public(key))
			if err != nil {
				b.Fatal(err)
			}
			pub := identity.Public(m.Key)
			keys[identity.IDOf(pub)] = pub
		}
		e.verify = func(raw []byte) error {
			env, err := identity.OpenEnvelope(raw)
			if err != nil {
				return err
			}
			return env.Verify(keys[env.KeyID])
		}
	}
	srv := grpc.NewServer(wire(tls)...)
	rollcallv1.RegisterAgentsServer(srv, e)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	b.Cleanup(func() {
		srv.Stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	benchLoad(b, func(ctx context.Context, i int) (*sim.Machine, rollcallv1.AgentsClient) {
		m, err := sim.NewMachine(uint64(i), identity.Public(key))
		if err != nil {
			b.Fatal(err)
		}
		m.Install(2500, 1200)
		return m, benchDial(ctx, b, m.Key, identity.Public(key), l.Addr().String())
	}, next)
}

// benchVerify opens and verifies envelopes of one-package deltas, on one core.
func benchVerify(b *testing.B) {
	m, err := sim.NewMachine(1, make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	m.Install(2500, 1200)
	if _, err := m.Report(true); err != nil {
		b.Fatal(err)
	}
	m.Upgrade(1, 1)
	raw, err := m.Report(false)
	if err != nil {
		b.Fatal(err)
	}
	before := cpuTime(b)
	for b.Loop() {
		e, err := identity.OpenEnvelope(raw)
		if err == nil {
			err = e.Verify(identity.Public(m.Key))
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reports/s")
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/report")
}
