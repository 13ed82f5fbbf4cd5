package enrol_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"rollcall/internal/identity"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store/bolt"
	"rollcall/server/store/storetest"
)

// The token that all ask with, and when it was made.
var racedSecret = bytes.Repeat([]byte{5}, 16)

// A hundred machines ask at once with one token, in a process that is killed while
// they ask and started again: in the end exactly one of them is admitted, the same
// that was told so.
func TestClass21EnrolTokenReuseAcrossKillAdmitsOne(t *testing.T) {
	if dir := os.Getenv("ROLLCALL_ENROL_RACE"); dir != "" {
		race(t, dir)
		return
	}
	rounds := 4
	if os.Getenv("ROLLCALL_TORTURE") != "" {
		rounds = 100
	}
	for round := range rounds {
		dir := t.TempDir()
		b := onBolt(t, dir)
		b.do(func(w enrol.Writer) error {
			_, err := w.AddToken(enrol.Token{ID: "one", Hash: identity.HashSecret(racedSecret), By: "kari", Expires: day.Add(time.Hour)})
			return err
		})
		b.close()
		told := map[string]bool{}
		for kill := range 3 {
			for _, id := range raceOnce(t, dir, time.Duration(round*7+kill*11)*time.Millisecond, kill == 2) {
				told[id] = true
			}
		}
		b = onBolt(t, dir)
		if err := b.look(func(v enrol.View, _ cmdb.View) error {
			keys, err := v.Keys("")
			if err != nil || len(keys) != 1 || keys[0].State != enrol.Enrolled || len(told) != 1 || !told[keys[0].ID] {
				t.Errorf("round %d: %d keys are stored, %d were told that they are admitted, %v", round, len(keys), len(told), err)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		b.close()
	}
}

// raceOnce starts the process and kills it after a while, or lets it end; it
// returns the keys that were told that they are admitted.
func raceOnce(t *testing.T, dir string, after time.Duration, end bool) (told []string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestClass21EnrolTokenReuseAcrossKillAdmitsOne$")
	c.Env = append(os.Environ(), "ROLLCALL_ENROL_RACE="+dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch line := lines.Text(); {
		case line == "begun" && !end:
			time.AfterFunc(after, func() { _ = c.Process.Kill() })
		case len(line) == 32:
			told = append(told, line)
		}
	}
	if err := c.Wait(); end && err != nil {
		t.Fatalf("the last process: %v", err)
	}
	return told
}

// race is the process: it says who was told that she is admitted.
func race(t *testing.T, dir string) {
	b := onBolt(t, dir)
	defer b.close()
	fmt.Println("begun")
	var wg sync.WaitGroup
	var out sync.Mutex
	for i := range 100 {
		wg.Go(func() {
			seed := sha256.Sum256([]byte(strconv.Itoa(i)))
			k, err := b.ask(day, request(ed25519.NewKeyFromSeed(seed[:]), "one", racedSecret))
			if err == nil && k.State == enrol.Enrolled {
				out.Lock()
				defer out.Unlock()
				fmt.Println(k.ID)
			}
		})
	}
	wg.Wait()
}

// bolted is a base whose engine can be closed.
type bolted struct {
	*base
	close func()
}

func onBolt(t *testing.T, dir string) bolted {
	t.Helper()
	e, err := bolt.Open(filepath.Join(dir, "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sets, err := cmdb.NewSets()
	if err != nil {
		t.Fatal(err)
	}
	return bolted{&base{t, e, storetest.NewWriter(t, e, nil), sets}, func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}}
}
