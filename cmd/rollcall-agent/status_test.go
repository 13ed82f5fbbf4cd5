package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/agent/collect"
	"rollcall/agent/spool"
)

func TestStatusShowsEverythingThatItKnows(t *testing.T) {
	at := time.Date(2026, 11, 28, 7, 0, 0, 0, time.UTC)
	leaf := uint64(41)
	st := agent.Status{
		Enrolled: true, CI: "ci-1", Addresses: []string{"tjener:7465"}, Pins: []string{"sha256:0"}, KeyID: "k", Words: "acid acorn", KeyMade: at, Trust: "T1",
		Recipients: []string{"age1a", "age1b"},
		Policy:     agent.Policy{Interval: time.Hour, WatchEtc: true, Exclude: []string{"*.bak"}},
		Spool: spool.Status{
			Waiting: 1, Bytes: 900, Kept: 1, Oldest: at, Seq: 7, Recorded: at, Number: 3, Leaf: &leaf,
			Reports: []spool.Report{{Seq: 7, At: at, Full: true, Bytes: 5000, Acknowledged: true}, {Seq: 9, At: at, Bytes: 900}},
		},
		NoRoom: &agent.NoRoom{Since: at, Looks: 2, Problem: "no space left on device"},
		Last: &agent.Summary{At: at, Reason: "interval", Outcome: agent.Spooled, Took: time.Second, Collectors: []agent.Collected{
			{Name: "dpkg", State: collect.OK, Facts: 12, Took: 3 * time.Millisecond},
			{Name: "ports", State: collect.TimedOut, Detail: "did not return in time", Took: 5 * time.Second},
		}},
	}
	var out bytes.Buffer
	if err := (&app{out: &out}).printStatus(st); err != nil {
		t.Fatal(err)
	}
	want := `server      tjener:7465
pin         sha256:0
CI          ci-1
key         k, made 2026-11-28T07:00:00Z
key words   acid acorn
trust       T1: its key is a file
receipt     report 7, the machine's number 3, recorded 2026-11-28T07:00:00Z as leaf 41 of the log
reports     7 of 2026-11-28T07:00:00Z, full, 5000 bytes, acknowledged
            9 of 2026-11-28T07:00:00Z, changes, 900 bytes, waits
spool       1 reports wait (900 bytes), the oldest since 2026-11-28T07:00:00Z
kept        1 acknowledged reports, for a server that is restored from a backup
disk        NO ROOM since 2026-11-28T07:00:00Z: 2 looks could not be kept: no space left on device
            it goes on looking and sends what waits; what changed is reported once a look finds room
policy      the configuration of this machine alone: it names no policy key
looks       every 1h0m0s, and soon after changes below /etc and by dpkg
left out    below /etc, beside the built-in list: *.bak
secrets     sealed to 2 recipients
last look   2026-11-28T07:00:00Z, spooled (interval), took 1s
collectors  2, of which 1 had trouble

COLLECTOR  STATE      FACTS  TIME  DETAIL
dpkg       ok         12     3ms   
ports      timed out  0      5s    did not return in time
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	st.Policy.Skip, st.Policy.Bundle = []string{"sessions"}, &agent.Bundle{
		Version: 7, Until: at, Source: "server", State: agent.BundleInForce, Realm: "0a", Refused: map[string]string{"file": "version 3: it is older"},
	}
	out.Reset()
	want = `policy      version 7, from server, until 2026-11-28T07:00:00Z, and the configuration: the narrower counts
            REFUSED what came from the file: version 3: it is older
            realm 0a
looks       every 1h0m0s, and soon after changes below /etc and by dpkg
left out    collectors: sessions
left out    below /etc, beside the built-in list: *.bak
`
	if err := (&app{out: &out}).printStatus(st); err != nil || !strings.Contains(out.String(), want) {
		t.Errorf("%v, got\n%s\nwant in it\n%s", err, out.String(), want)
	}
	st.Policy.Bundle.State = agent.BundleExpired
	out.Reset()
	if err := (&app{out: &out}).printStatus(st); err != nil || !strings.Contains(out.String(), "VERSION 7 EXPIRED on 2026-11-28T07:00:00Z: the configuration of this machine counts alone") {
		t.Errorf("an expired policy shows as\n%s%v", out.String(), err)
	}
	st.Trust = ""
	out.Reset()
	if err := (&app{out: &out}).printStatus(st); err != nil || !strings.Contains(out.String(), "trust       as the server decided: it has not said so yet") {
		t.Errorf("a class that is not known shows as\n%s%v", out.String(), err)
	}
}
