package bolt

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"rollcall/internal/faultfs"
	"rollcall/server/store"
	"rollcall/server/store/storetest"
)

// killEnv makes the test binary a writer to the database that it names.
const killEnv = "ROLLCALL_TEST_WRITE_TO"

func TestMain(m *testing.M) {
	faultfs.Main()
	if path := os.Getenv(killEnv); path != "" {
		if err := writeUntilKilled(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled commits numbered records from 16 callers and prints each
// number once it is acknowledged.
func writeUntilKilled(path string) error {
	e, err := Open(path, Options{})
	if err != nil {
		return err
	}
	first := 0
	if err := e.View(context.Background(), func(r store.Reader) error {
		for range r.Scan(store.Event, nil, nil, 0) {
			first++ // a lower bound of what is free is enough: rounds use ranges
		}
		return nil
	}); err != nil {
		return err
	}
	base := (first + 1) * 1_000_000
	w := store.NewWriter(store.Config{Engine: e, Linger: time.Millisecond})
	var mu sync.Mutex
	var wg sync.WaitGroup
	for caller := range 16 {
		wg.Go(func() {
			for n := base + caller; ; n += 16 {
				if _, err := w.Do(context.Background(), store.Op{Touch: []string{strconv.Itoa(n)}, Fn: func(tx store.Tx) error {
					return tx.Put(record(n), store.Frame(record(n), 1, []byte(strconv.Itoa(n))))
				}}); err != nil {
					return
				}
				mu.Lock()
				fmt.Println(n)
				mu.Unlock()
			}
		})
	}
	err = w.Run(context.Background())
	wg.Wait()
	return err
}

// TestKilledServerLosesNothingAcknowledged kills a process that writes through a
// lane, at random. It shows that what is acknowledged has reached the kernel, and
// that any moment to die leaves a whole database; that it has reached the disk
// needs a power failure to show.
func TestKilledServerLosesNothingAcknowledged(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	path := filepath.Join(t.TempDir(), "db")
	rnd := rand.New(rand.NewPCG(storetest.Seed(t), 0))
	acked := map[int]bool{}
	for round := range rounds {
		for _, n := range killedAfter(t, path, time.Duration(20+rnd.IntN(150))*time.Millisecond) {
			acked[n] = true
		}
		e, err := Open(path, Options{})
		if err != nil {
			t.Fatalf("round %d: Open: %v", round, err)
		}
		if faults, err := e.Check(t.Context(), func(err error) { t.Error(err) }); faults != 0 || err != nil {
			t.Errorf("round %d: Check = %d, %v", round, faults, err)
		}
		if err := e.View(t.Context(), func(r store.Reader) error {
			for n := range acked {
				v, err := r.Get(record(n))
				if err != nil {
					return err
				}
				if _, payload, err := store.Unframe(record(n), v); err != nil || string(payload) != strconv.Itoa(n) {
					t.Errorf("round %d: acknowledged record %d = %q, %v", round, n, payload, err)
				}
			}
			return nil
		}); err != nil {
			t.Errorf("round %d: View: %v", round, err)
		}
		if err := e.Close(); err != nil {
			t.Errorf("round %d: Close: %v", round, err)
		}
	}
	if len(acked) == 0 {
		t.Error("nothing was acknowledged in any round: the test shows nothing")
	}
	t.Logf("%d rounds, %d acknowledged records", rounds, len(acked))
}

// killedAfter runs a writer, kills it some time after its first acknowledgement,
// and returns all that it acknowledged.
func killedAfter(t *testing.T, path string, after time.Duration) (acked []int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), killEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var timer *time.Timer
	for lines.Scan() {
		if timer == nil {
			timer = time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // it may have ended
		}
		if n, err := strconv.Atoi(lines.Text()); err == nil { // the last line may be cut
			acked = append(acked, n)
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the writer ended by itself")
	}
	if timer != nil {
		timer.Stop()
	}
	return acked
}
