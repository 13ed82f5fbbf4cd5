package agent

import (
	"testing"
)

func TestStatusTellsTheTrustClassOnceTheServerHasSaidIt(t *testing.T) {
	m := newMachine(t)
	trust := func() string {
		t.Helper()
		st, err := ReadStatus(m.cfg)
		must(t, err)
		return st.Trust
	}
	for i, step := range []struct{ said, want string }{
		{"", ""},
		{"T9", ""},         // no class
		{"T0", ""},         // the agent would seal nothing from then on: only an enrolment may say so
		{"T1\x1b[31m", ""}, // for a terminal
		{"T1", "T1"},
		{"T3", "T1"}, // a key keeps its class
	} {
		m.srv.trust = step.said
		m.write("etc/motd", "trust "+step.said)
		m.want(m.once(), Recorded, i == 0, when(i > 0, "etc")...)
		if got := trust(); got != step.want {
			t.Errorf("after a receipt with %q status says %q, want %q", step.said, got, step.want)
		}
	}
}

func when(yes bool, words ...string) []string {
	if !yes {
		return nil
	}
	return words
}

func TestStatusTellsTheLastReportsAndTheReceipt(t *testing.T) {
	m := newMachine(t)
	m.want(m.once(), Recorded, true)
	m.write("etc/motd", "1")
	m.want(m.once(), Recorded, false, "etc")
	m.srv.setAway(true)
	for _, text := range []string{"2", "3", "4", "5"} {
		m.write("etc/motd", text)
		m.want(m.once(), Spooled, false, "etc")
	}
	st, err := ReadStatus(m.cfg)
	must(t, err)
	s := st.Spool
	if s.Number != 2 || s.Leaf != nil || s.Waiting != 4 || s.Bytes == 0 || s.Oldest.IsZero() {
		t.Errorf("spool %+v: want the receipt of the second report, and four that wait", s)
	}
	if len(s.Reports) != 5 {
		t.Fatalf("%d reports are told of, want the last 5: %+v", len(s.Reports), s.Reports)
	}
	for i, r := range s.Reports {
		if acknowledged := i == 0; r.Acknowledged != acknowledged || r.Full || r.Bytes == 0 || r.At.IsZero() || i > 0 && r.Seq <= s.Reports[i-1].Seq {
			t.Errorf("report %d is %+v", i, r)
		}
	}
}
