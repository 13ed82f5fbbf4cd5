package server

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

// tortured tells whether the long forms of the fault tests shall run.
func tortured() bool { return os.Getenv("ROLLCALL_TORTURE") != "" }

// mostMemory is what a server may take while it is attacked (P12).
const mostMemory = 512 << 20

// pace is how long a machine waits between two messages: no quota of its own must
// be what is measured.
const pace = 600 * time.Millisecond

// served measures how long enrolled machines wait for an answer until stop closes:
// each over a connection of its own, made anew each time, as agents do.
func (r *running) served(machines []*machine, stop <-chan struct{}) []time.Duration {
	r.t.Helper()
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	for _, m := range machines {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(pace):
				}
				env, err := m.Tick()
				if err != nil {
					r.t.Error(err)
					return
				}
				began := time.Now()
				err = r.submitOnce(m, env)
				if err != nil {
					r.t.Errorf("an enrolled machine is not served after %v: %v", time.Since(began), err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	return took
}

// submitOnce submits over a new connection, and again if that was lost, for ten
// seconds at most.
func (r *running) submitOnce(m *machine, env []byte) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	for {
		conn := r.visit(m)
		_, err := rollcallv1.NewAgentsClient(conn).Submit(ctx, &rollcallv1.SubmitRequest{Envelope: env})
		_ = conn.Close()
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func p99(sorted []time.Duration) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)*99/100].Round(time.Millisecond)
}

// P12: 5,000 hostile connections of every kind, from many networks and from the one
// address that enrolled machines share with them.
func TestHostileConnectionsTakeLittleMemoryAndNobodysPlace(t *testing.T) {
	n, for_ := 300, 2*time.Second
	if tortured() {
		n, for_ = 5000, 20*time.Second
	}
	r, child := startChild(t)
	var machines []*machine
	for i := range 8 {
		m := r.machine(uint64(i))
		m.report(t, true)
		_ = m.conn.Close()
		machines = append(machines, m)
	}
	calm := r.during(machines, for_)
	before, _ := memory(t, child.Process.Pid)
	for name, from := range map[string]string{"many networks": "127.%d.%d.1", "the machines' school": "127.0.0.1"} {
		stop := r.attack(attacker{From: from, Key: mustKey(t), N: n})
		time.Sleep(for_ / 2) // let it build up
		hot := r.during(machines, for_)
		made := stop()
		now, most := memory(t, child.Process.Pid)
		t.Logf("%d hostile connections at once from %s (%s): %d answers, p99 %v (calm: %d, %v); server %d MiB, %d before, %d at most",
			n, name, made, len(hot), p99(hot), len(calm), p99(calm), now>>20, before>>20, most>>20)
		if len(hot) == 0 {
			t.Errorf("from %s: no enrolled machine was served", name)
		}
		if !raced && most > mostMemory {
			t.Errorf("from %s: the server took %d MiB, at most %d are allowed", name, most>>20, mostMemory>>20)
		}
	}
}

// during measures for a while.
func (r *running) during(machines []*machine, d time.Duration) []time.Duration {
	stop := make(chan struct{})
	time.AfterFunc(d, func() { close(stop) })
	return r.served(machines, stop)
}

// Each connection opens a stream and takes it back at once, again and again
// (CVE-2023-44487), also with frames of headers that never end (CVE-2023-45288).
func TestClass09RapidResetLeavesEnrolledMachinesServed(t *testing.T) {
	for_ := 1500 * time.Millisecond
	if tortured() {
		for_ = 15 * time.Second
	}
	r, child := startChild(t)
	var machines []*machine
	for i := range 8 {
		m := r.machine(uint64(i))
		m.report(t, true)
		_ = m.conn.Close()
		machines = append(machines, m)
	}
	calm := r.during(machines, for_)
	insider := r.machine(99) // whose key is enrolled: its calls are let in
	_ = insider.conn.Close()
	submit := rollcallv1.Agents_Submit_FullMethodName
	for name, a := range map[string]attacker{
		"a stranger":      {Tactic: submit, From: "127.9.%d.%d", Key: mustKey(t), N: 8},
		"an enrolled key": {Tactic: submit, From: "127.8.%d.%d", Key: insider.Key, N: 8},
		"without any key": {Tactic: submit, From: "127.7.%d.%d", N: 8},
		"endless headers": {Tactic: "endless headers", From: "127.6.%d.%d", Key: mustKey(t), N: 8},
	} {
		stop := r.attack(a)
		time.Sleep(for_ / 3)
		hot := r.during(machines, for_)
		did := stop()
		_, most := memory(t, child.Process.Pid)
		t.Logf("%s (%s): %d answers, p99 %v (calm %v); server %d MiB at most", name, did, len(hot), p99(hot), p99(calm), most>>20)
		if len(hot) == 0 {
			t.Errorf("%s: no enrolled machine was served", name)
		}
		if !raced && most > mostMemory {
			t.Errorf("%s: the server took %d MiB", name, most>>20)
		}
	}
}
