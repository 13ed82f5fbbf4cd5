package ingest

import (
	"bufio"
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

var update = flag.Bool("update", false, "record the conversation of the present version anew; those of released versions stay")

// TestAnAgentOfVersion1IsServed plays what an agent of the first version said, byte
// for byte, to today's server: a full report, changes, ticks. Agents are upgraded
// after their server, often by years.
func TestAnAgentOfVersion1IsServed(t *testing.T) {
	const name = "testdata/agent-v1.txt"
	if *update {
		recordConversation(t, name)
	}
	onEngines(t, func(t *testing.T, h *house) {
		a := h.machine("version 1")
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		n := 0
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for ; lines.Scan(); n++ {
			want, digits, _ := strings.Cut(lines.Text(), " ")
			raw, err := hex.DecodeString(digits)
			if err != nil {
				t.Fatal(err)
			}
			for _, again := range []string{"", ", again"} {
				res, err := a.submit(raw)
				if err != nil || res.Outcome.String() != want {
					t.Errorf("envelope %d%s: %s, %v, want %s", n, again, res.Outcome, err, want)
				}
			}
		}
		if err := lines.Err(); err != nil || n != 6 {
			t.Errorf("%d envelopes, %v, want 6", n, err)
		}
	})
}

func recordConversation(t *testing.T, name string) {
	t.Helper()
	h := newHouse(t, openBolt(t, filepath.Join(t.TempDir(), "db")))
	a := h.machine("version 1")
	var out strings.Builder
	state := map[string]fact.Set{"pkg": packages(12), "os": fact.NewSet([]fact.Fact{{Path: "os/kernel", Value: "6.1.0-18-amd64"}})}
	say := func(change bool, full bool) {
		next := maps.Clone(state)
		if change {
			next["pkg"] = packages(12, int(a.seq)%12)
		}
		var raw []byte
		if change || full {
			raw = a.seal(a.draft(next, full))
			fmt.Fprintf(&out, "recorded %x\n", raw)
			a.acknowledged(raw, next)
		} else {
			d := &draft{body: a.body(next)}
			d.body.Base = d.body.GetState()
			raw = a.seal(d)
			fmt.Fprintf(&out, "seen %x\n", raw)
			a.seq++
		}
		state = next
		if _, err := a.submit(raw); err != nil {
			t.Fatal(err)
		}
	}
	say(false, true)
	say(true, false)
	say(false, false)
	say(true, false)
	say(true, true)
	say(false, false)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
