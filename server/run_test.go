package server

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// No label of a figure holds a word that a machine chose.
func TestFiguresHaveNoWordsFromMachines(t *testing.T) {
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := port.Addr().String()
	if err := port.Close(); err != nil {
		t.Fatal(err)
	}
	r := start(t, func(c *Config) { c.Metrics = addr })
	url := "http://" + addr + "/metrics"
	var before string
	waitFor(t, "the figures", func() bool {
		c, err := net.Dial("tcp", addr)
		return err == nil && c.Close() == nil
	})
	series := func(text string) int { return len(regexp.MustCompile(`(?m)^rollcall_`).FindAllString(text, -1)) }
	before = scrape(t, url)
	for i := range 20 {
		m := r.machine(uint64(i))
		m.report(t, true)
		env, err := m.Tick()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env}); err != nil {
			t.Fatal(err)
		}
		env[len(env)-1] ^= 1
		_, err = m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
		wantCode(t, "a changed envelope", err, codes.PermissionDenied)
	}
	after := scrape(t, url)
	if a, b := series(before), series(after); a != b {
		t.Errorf("%d series before 20 machines, %d after", a, b)
	}
	if strings.Contains(after, "sim-") {
		t.Error("a figure holds the name of a machine")
	}
	for _, want := range []string{
		`rollcall_reports_total{result="recorded"} 20`, `rollcall_reports_total{result="seen"} 20`, `rollcall_reports_total{result="refused"} 20`,
		`rollcall_verify_failures_total 20`, `rollcall_items{presence="live"} 20`, `rollcall_scrape_failures 0`,
	} {
		if !strings.Contains(after, want+"\n") {
			t.Errorf("%s is not among the figures", want)
		}
	}
	for _, name := range []string{"rollcall_lane_batch_operations_count", "rollcall_commit_seconds_count", "rollcall_mirror_backlog", "rollcall_store_bytes", "rollcall_spool_lag_seconds"} {
		if !strings.Contains(after, name) {
			t.Errorf("%s is not among the figures", name)
		}
	}
}

// A server that is told to stop while reports come in finishes what it has
// begun: what was acknowledged is there, and the store is sound.
func TestAStopUnderLoadLosesNothing(t *testing.T) {
	r := start(t)
	var mu sync.Mutex
	all := map[*machine][]Acknowledged{}
	var wg sync.WaitGroup
	for i := range 6 {
		m := r.machine(uint64(i))
		wg.Go(func() {
			for n := 0; ; n++ {
				m.Upgrade(n, n)
				env, err := m.Report(n == 0)
				if err != nil {
					t.Error(err)
					return
				}
				reply, err := m.Submit(context.Background(), &rollcallv1.SubmitRequest{Envelope: env})
				if err != nil {
					if code := status.Code(err); code != codes.Unavailable && code != codes.Canceled && code != codes.ResourceExhausted {
						t.Errorf("while the server stops: %v", err)
					}
					return
				}
				mu.Lock()
				all[m] = append(all[m], Acknowledged{env, reply.GetReceipt()})
				mu.Unlock()
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	if err := r.stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	wg.Wait()
	var known Known
	for _, sent := range all {
		known.Acknowledged = append(known.Acknowledged, sent...)
	}
	wantWhole(t, r.cfg, known)
	again := startOn(t, r.cfg)
	n := 0
	for m, sent := range all {
		c := rollcallv1.NewAgentsClient(again.dial(m.Key))
		for _, a := range sent {
			n++
			reply, err := c.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: a.Envelope})
			if status.Code(err) == codes.ResourceExhausted {
				break // the quota of one key
			}
			if err != nil || !bytes.Equal(reply.GetReceipt(), a.Receipt) {
				t.Fatalf("%v, %v, not the receipt that it got", reply.GetOutcome(), err)
			}
		}
	}
	t.Logf("%d acknowledged reports", n)
	if n == 0 {
		t.Error("nothing was acknowledged before the stop")
	}
}

// A server whose store has failed ends, so that it is started again, and does not
// go on refusing everything.
func TestAServerWithABrokenStoreEnds(t *testing.T) {
	cfg := folder(t)
	r := startOn(t, cfg)
	r.fails = true
	m := r.machine(1)
	m.report(t, true)
	if err := r.srv.engine.Close(); err != nil {
		t.Fatal(err)
	}
	m.Upgrade(1, 1)
	env, err := m.Report(false)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Submit(t.Context(), &rollcallv1.SubmitRequest{Envelope: env})
	wantCode(t, "a report to a closed store", err, codes.Unavailable)
	// A write reaches the lane, which ends.
	_ = r.srv.writer.Update(t.Context(), func(tx store.Tx) error { return tx.Put(store.At(store.Meta, "main/x"), nil) })
	ended := make(chan error, 1)
	go func() { ended <- r.end() }()
	select {
	case err := <-ended:
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("Run = %v, want ErrClosed", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on")
	}
	wantWhole(t, cfg, Known{Acknowledged: m.acked})
}

func TestInitLeavesAServerAsItIs(t *testing.T) {
	cfg := folder(t)
	key, err := os.ReadFile(cfg.KeyFile())
	if err != nil {
		t.Fatal(err)
	}
	made, err := Init(t.Context(), cfg)
	if err != nil || made {
		t.Errorf("Init again: %v, %v", made, err)
	}
	again, err := os.ReadFile(cfg.KeyFile())
	if err != nil || !bytes.Equal(key, again) {
		t.Errorf("another key, %v", err)
	}
	for name, want := range map[string]os.FileMode{".": 0o700, "server.key": 0o600, "rollcall.db": 0o600} {
		if info, err := os.Stat(filepath.Join(cfg.Data, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
}

func TestAnOperatorIsAddedBesideAStoppedServer(t *testing.T) {
	cfg := folder(t)
	if _, err := AddOperator(t.Context(), cfg, "ola", auth.Grant{Role: auth.Admin}); err == nil || !strings.Contains(err.Error(), "address") {
		t.Errorf("without an address: %v", err)
	}
	cfg.Addresses = []string{"rollcall.example:7465"}
	for name, role := range map[string]auth.Role{"Ola": auth.Admin, "ola": "root"} {
		if _, err := AddOperator(t.Context(), cfg, name, auth.Grant{Role: role}); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s as %s: %v, want ErrInvalid", name, role, err)
		}
	}
	if _, err := AddOperator(t.Context(), cfg, "ola", auth.Grant{Role: auth.Viewer}); err != nil {
		t.Fatal(err)
	}
	r := startOn(t, cfg)
	list, err := r.kari.Operators(t.Context(), &rollcallv1.OperatorsRequest{})
	if err != nil || len(list.GetOperators()) != 2 {
		t.Errorf("%d operators, %v, want kari and ola", len(list.GetOperators()), err)
	}
	if _, err := AddOperator(t.Context(), cfg, "Ola", auth.Grant{Role: auth.Viewer}); err == nil {
		t.Error("a running server takes a bad name")
	}
}

func TestTwoServersDoNotShareAFolder(t *testing.T) {
	r := start(t)
	if _, err := New(t.Context(), r.cfg, "", r.srv.log); err == nil || !strings.Contains(err.Error(), "another rollcall-server") {
		t.Errorf("%v, want a word about the other server", err)
	}
	if err := RebuildMirror(t.Context(), r.cfg, r.srv.log); err == nil {
		t.Error("the mirror of a running server is rebuilt")
	}
}

// What a machine may do is bounded, what it sends is inert.
func TestHostileWordsReachOperatorsInert(t *testing.T) {
	r := start(t)
	m := r.stranger(1)
	m.Name = "pc\x1b]52;c;x\a\u202e" + strings.Repeat("<script>", 900)
	if _, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{NeedsApproval: true})); err == nil {
		t.Log("the host name is valid UTF-8")
	}
	list, err := r.kari.Pending(t.Context(), &rollcallv1.PendingRequest{})
	if err != nil || len(list.GetKeys()) != 1 {
		t.Fatalf("%d wait, %v", len(list.GetKeys()), err)
	}
	if h := list.GetKeys()[0].GetHostname(); len(h) > 500 || strings.ContainsAny(h, "\x1b\a\u202e") {
		t.Errorf("host name %q", h)
	}
	if strings.ContainsAny(r.logs.String(), "\x1b\a\u202e") {
		t.Error("the log holds control characters")
	}
}
