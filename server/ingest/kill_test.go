package ingest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// killEnv makes the test's own binary the process that is killed: it takes
// reports into the store in that folder until it dies.
const killEnv = "ROLLCALL_TEST_INGEST_UNTIL_KILLED"

// killMachines report side by side; killRounds times the process is killed.
const (
	killMachines = 8
	killRounds   = 10
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killEnv); dir != "" {
		if err := ingestUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		return
	}
	os.Exit(m.Run())
}

// ingestUntilKilled continues where each machine was, and prints machine,
// number and receipt of every report that was acknowledged.
func ingestUntilKilled(dir string) error {
	t := &processTB{dir: dir}
	e, err := bolt.Open(filepath.Join(dir, "db"), bolt.Options{})
	if err != nil {
		return err
	}
	w := store.NewWriter(store.Config{Engine: e})
	go func() { _ = w.Run(context.Background()) }()
	sets, err := cmdb.NewSets()
	if err != nil {
		return err
	}
	p, err := cmdb.LoadPresence(context.Background(), e, tenant, time.Hour)
	if err != nil {
		return err
	}
	h := &house{t: t, Service: &Service{Engine: e, Writer: w, Tenant: tenant, Key: testKey("server"), Sets: sets, Presence: p, Now: time.Now, Burst: 1e9, BytesPerDay: 1 << 40}}
	var wg sync.WaitGroup
	var out sync.Mutex
	for i := range killMachines {
		a := &agent{house: h, key: testKey(fmt.Sprint("pc", i))}
		wg.Go(func() {
			for n := 0; ; n++ {
				raw, next := a.nth(n)
				res, err := a.submit(raw)
				if err != nil || res.Outcome != Recorded {
					fmt.Fprintf(os.Stderr, "machine %d, report %d: %v, %v\n", i, n, res.Outcome, err)
					os.Exit(4)
				}
				a.acknowledged(raw, next)
				out.Lock()
				fmt.Printf("%d %d %x\n", i, n, res.Receipt)
				out.Unlock()
			}
		})
	}
	wg.Wait()
	return nil
}

// nth makes the n-th report of a machine, always the same bytes.
func (a *agent) nth(n int) ([]byte, map[string]fact.Set) {
	next := map[string]fact.Set{"pkg": packages(40, n%40, (n*7+3)%40)}
	d := a.draft(next, n == 0)
	d.body.TimeClaimedMs = int64(n)
	return a.seal(d), next
}

// processTB stands for a test where there is none.
type processTB struct {
	testing.TB
	dir string
}

func (p *processTB) Helper()                  {}
func (p *processTB) Context() context.Context { return context.Background() }
func (p *processTB) Fatal(args ...any)        { fmt.Fprintln(os.Stderr, args...); os.Exit(5) }
func (p *processTB) Fatalf(f string, args ...any) {
	p.Fatal(fmt.Sprintf(f, args...))
}

func TestAKilledServerHasLostNothingAcknowledged(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes for some seconds")
	}
	dir := t.TempDir()
	func() {
		e, err := bolt.Open(filepath.Join(dir, "db"), bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		h := newHouse(t, e)
		for i := range killMachines {
			h.machine(fmt.Sprint("pc", i))
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	receipts := map[string]string{} // "machine number" → receipt
	for round := range killRounds {
		for k, v := range killOnce(t, dir, time.Duration(60+round*37)*time.Millisecond) {
			if old, ok := receipts[k]; ok && old != v {
				t.Fatalf("round %d: report %s got another receipt", round, k)
			}
			receipts[k] = v
		}
		checkAcknowledged(t, dir, receipts)
	}
	t.Logf("%d rounds, %d acknowledged reports", killRounds, len(receipts))
	if len(receipts) < killRounds {
		t.Errorf("only %d reports were acknowledged", len(receipts))
	}
}

// killOnce runs the process, kills it after a while, and returns what it
// acknowledged.
func killOnce(t *testing.T, dir string, after time.Duration) map[string]string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killEnv+"="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	var timer *time.Timer
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if timer == nil { // it has begun
			timer = time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
		words := strings.Fields(sc.Text())
		if len(words) == 3 && len(words[2]) == 2*116 {
			got[words[0]+" "+words[1]] = words[2]
		}
	}
	if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
		t.Fatalf("the process ended by itself: %v: %s", err, stderr.String())
	}
	return got
}

// checkAcknowledged sends every acknowledged report again: it must get the
// receipt that it got, and each machine's state must be that of its last one.
func checkAcknowledged(t *testing.T, dir string, receipts map[string]string) {
	t.Helper()
	e, err := bolt.Open(filepath.Join(dir, "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	if faults, err := e.Check(t.Context(), func(err error) { t.Error(err) }); err != nil || faults > 0 {
		t.Fatalf("%d faults, %v", faults, err)
	}
	h := newHouse(t, e)
	h.BytesPerDay = 1 << 40
	before := h.dump()
	for i := range killMachines {
		a := &agent{house: h, key: testKey(fmt.Sprint("pc", i))}
		for n := 0; ; n++ {
			want, ok := receipts[fmt.Sprint(i, " ", n)]
			if !ok {
				break
			}
			raw, next := a.nth(n)
			res, err := a.submit(raw)
			if err != nil || hex.EncodeToString(res.Receipt) != want {
				t.Fatalf("machine %d, report %d: %v, %v, not the receipt that it got", i, n, res.Outcome, err)
			}
			a.acknowledged(raw, next)
		}
	}
	h.wantUnchanged("sending everything again", before)
}
