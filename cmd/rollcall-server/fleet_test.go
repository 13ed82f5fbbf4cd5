package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcall/agent"
	"rollcall/agent/collect"
	"rollcall/agent/uplink"
	"rollcall/internal/identity"
	"rollcall/server"
	"rollcall/server/api"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
	"rollcall/server/store/storetest"
)

// A fleet is many real agents, each with a state folder, a spool and a clock of
// its own, that report to one real ingest, store and log in the same process.
// What lies between them, and time, is made up: agents reach the house through
// function calls that take time, fail, and lose answers.
type fleet struct {
	t      *testing.T
	dir    string
	house  *house
	all    []*seat
	rnd    *rand.Rand
	rndMu  sync.Mutex
	secret []byte
}

// seat is a place where a machine stands.
type seat struct {
	f     *fleet
	n     int
	cfg   agent.Config
	key   identity.Key
	ci    string
	value atomic.Int64              // what its collector sees
	skew  atomic.Int64              // of its clock, ns
	away  atomic.Pointer[partition] // nil: the way to the server is free
	off   context.CancelFunc        // ends its agent
	heard atomic.Pointer[time.Time] // when the server first answered since the last boot
	acked []server.Acknowledged     // guarded by mu
	mu    sync.Mutex
	looks atomic.Int64
}

// partition is what is wrong with the way to the server.
type partition int

const (
	cutOff  partition = iota + 1 // nothing gets through
	oneWay                       // requests arrive, answers do not
	faulted                      // one in three is lost, on either way
)

// newFleet makes n machines that are enrolled and off, in memory where there is a
// file system for that: fsync is not what this test is about.
func newFleet(t *testing.T, n int) *fleet {
	t.Helper()
	moreFiles(t, uint64(2*n-2*n/cronShare+1500))
	base := ""
	if _, err := os.Stat("/dev/shm"); err == nil {
		base = "/dev/shm"
	}
	dir, err := os.MkdirTemp(base, "fleet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	f := &fleet{t: t, dir: dir, rnd: rand.New(rand.NewPCG(storetest.Seed(t), 11)), secret: identity.NewSecret()}
	cfg := server.Defaults()
	cfg.Data = filepath.Join(dir, "server")
	if _, err := server.Init(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	f.house = &house{f: f, cfg: cfg}
	if f.house.key, err = identity.LoadKey(cfg.KeyFile()); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "root")
	for name, text := range map[string]string{"etc/motd": "welcome\n", "etc/hosts": "127.0.0.1 localhost\n"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(root, "etc"), 0o755), os.WriteFile(filepath.Join(root, name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		s := &seat{f: f, n: i, cfg: agent.Default()}
		s.cfg.State, s.cfg.Root, s.cfg.WatchEtc = filepath.Join(dir, fmt.Sprintf("pc%05d", i)), root, false
		if s.key, err = identity.NewKey(); err != nil {
			t.Fatal(err)
		}
		f.all = append(f.all, s)
	}
	f.admit()
	return f
}

// moreFiles lets this process hold so many files open: each agent holds its root
// and the lock of its spool.
func moreFiles(t *testing.T, n uint64) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if n <= limit.Cur {
		return
	}
	want := unix.Rlimit{Cur: max(limit.Cur, n), Max: max(limit.Max, n)}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &want); err != nil {
		t.Skipf("so many agents need %d open files, %d are allowed here: %v", n, limit.Max, err)
	}
}

// random gives a number of [0, n); the order in which goroutines ask is not part
// of the seed.
func (f *fleet) random(n int64) int64 {
	f.rndMu.Lock()
	defer f.rndMu.Unlock()
	return f.rnd.Int64N(n)
}

// admit enrols everybody as the API does, many to a transaction, and gives each
// machine what its agent would have after enrolling.
func (f *fleet) admit() {
	f.t.Helper()
	e, err := bolt.Open(filepath.Join(f.house.cfg.Data, "rollcall.db"), bolt.Options{})
	if err != nil {
		f.t.Fatal(err)
	}
	const batch = 20
	for from := 0; from < len(f.all); from += batch {
		err := e.Update(f.t.Context(), func(tx store.Tx) error {
			for _, s := range f.all[from:min(from+batch, len(f.all))] {
				if err := s.admit(tx); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		f.t.Fatal(err)
	}
	pin, err := identity.PinOf(identity.Public(f.house.key))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, s := range f.all {
		known, err := json.Marshal(agent.Enrolment{
			Addresses: []string{"127.0.0.1:1"}, Pins: []string{pin}, Server: identity.Public(f.house.key),
			Realm: identity.RealmOf(identity.Public(f.house.key)), CI: s.ci, At: time.Now(),
		})
		if err != nil {
			f.t.Fatal(err)
		}
		if err := errors.Join(os.Mkdir(s.cfg.State, 0o700), identity.SaveKey(filepath.Join(s.cfg.State, "agent.key"), s.key),
			os.WriteFile(filepath.Join(s.cfg.State, "server.json"), known, 0o600)); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (s *seat) admit(tx store.Tx) error {
	const tenant = "main"
	now := time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)
	items := cmdb.In(tx, tenant, cmdb.Everywhere)
	keys := enrol.In(tx, tenant, items)
	token := enrol.Token{ID: fmt.Sprintf("%08x", s.n), Hash: identity.HashSecret(s.f.secret), By: "kari", Expires: now.Add(time.Hour), Class: "workstation"}
	if _, err := keys.AddToken(token); err != nil {
		return err
	}
	exporter := make([]byte, 32)
	key, err := keys.Admit(now, enrol.Request{
		TokenID: token.ID, Exporter: exporter, Proof: identity.Proof(token.Hash, exporter, identity.Public(s.key)),
		Public: identity.Public(s.key), Hostname: fmt.Sprintf("pc%05d", s.n), Source: "10.0.0.1", Version: "sim",
	})
	if err != nil {
		return err
	}
	s.ci = key.CI
	_, err = evidence.In(tx, tenant).Append(now, api.OfKey(evidence.Enrol, key))
	return err
}

// collector sees one package, whose version is the seat's value.
func (s *seat) collector() collect.Collector {
	return collect.Collector{Name: "sim", Owns: []string{"pkg/", "id/"}, Collect: func(_ context.Context, _ collect.Host, sink *collect.Sink) error {
		s.looks.Add(1)
		sink.Fact("id/hostname", fmt.Sprintf("pc%05d", s.n))
		sink.Fact("pkg/cups/version", fmt.Sprintf("2.4.%d", s.value.Load()))
		for i := range 10 {
			sink.Fact(fmt.Sprintf("pkg/lib%02d/version", i), "1.0-1")
		}
		return nil
	}}
}

// cronShare: one machine in so many runs its agent from cron, as 'once', and holds
// no file open in between.
const cronShare = 5

// boot starts the seat's agent, which runs until the power goes. done tells when
// it has ended.
func (s *seat) boot(ctx context.Context, done *sync.WaitGroup) {
	ctx, s.off = context.WithCancel(ctx)
	s.heard.Store(nil)
	done.Go(func() {
		var err error
		if s.n%cronShare == cronShare-1 {
			err = s.fromCron(ctx)
		} else {
			err = s.look(func(a *agent.Agent) error { return a.Run(ctx) })
		}
		if err != nil {
			s.f.t.Errorf("seat %d: %v", s.n, err)
		}
	})
}

// look opens the seat's agent for as long as do takes.
func (s *seat) look(do func(*agent.Agent) error) error {
	a, err := agent.Open(s.cfg, agent.Deps{
		Now:        func() time.Time { return time.Now().Add(time.Duration(s.skew.Load())) },
		Rand:       s.f.random,
		Version:    "sim",
		Collectors: []collect.Collector{s.collector()},
		Connect:    s.connect,
	})
	if err != nil {
		return err
	}
	return errors.Join(do(a), a.Close())
}

// fromCron looks once an hour, and sooner after a report that was not taken.
func (s *seat) fromCron(ctx context.Context) error {
	again := uplink.Backoff{Rand: s.f.random}
	for wait := time.Duration(s.f.random(int64(5 * time.Second))); pause(ctx, wait) == nil; {
		err := s.look(func(a *agent.Agent) error {
			sum, err := a.Once(ctx, "cron")
			if wait = time.Hour; sum.Problem != "" {
				wait = again.Next(0)
			} else {
				again.Reset()
			}
			return err
		})
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}
