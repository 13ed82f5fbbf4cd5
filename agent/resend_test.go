package agent

import (
	"maps"
	"strings"
	"testing"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

// snapshot keeps what the server has, to go back to.
func (s *fakeServer) snapshot() (restore func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	head, seq, sets, n := s.head, s.seq, maps.Clone(s.sets), len(s.reports)
	contents, receipts := maps.Clone(s.contents), maps.Clone(s.receipts)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.head, s.seq, s.sets, s.reports = head, seq, maps.Clone(sets), s.reports[:n]
		s.contents, s.receipts = maps.Clone(contents), maps.Clone(receipts)
		s.mood = s.asks
	}
}

// asks is what a restored server says to what it cannot follow.
func (s *fakeServer) asks(body *rollcallv1.Body) (*rollcallv1.SubmitReply, error) {
	if body.GetKeptFrom() == 0 {
		return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_NEED_FULL}, nil
	}
	return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_RESEND, Have: s.head[:]}, nil
}

func TestARestoredServerGetsAgainWhatItHadAcknowledged(t *testing.T) {
	for _, change := range []bool{false, true} { // what leads to it: a tick, a report
		m := newMachine(t)
		m.want(m.once(), Recorded, true)
		restore := m.srv.snapshot()
		for _, text := range []string{"one\n", "two\n", "three\n"} {
			m.write("etc/motd", text)
			m.want(m.once(), Recorded, false, "etc")
		}
		head, contents, reports := m.srv.head, len(m.srv.contents), len(m.srv.reports)
		restore()
		if change {
			m.write("etc/motd", "four\n")
			m.want(m.once(), Recorded, false, "etc")
			contents, reports = contents+1, reports+1
		} else {
			m.want(m.once(), Unchanged, false)
			if m.srv.head != head {
				t.Error("the chain ends elsewhere than before")
			}
		}
		if len(m.srv.contents) != contents || len(m.srv.reports) != reports {
			t.Errorf("the server has %d contents and %d reports, want %d and %d", len(m.srv.contents), len(m.srv.reports), contents, reports)
		}
		for _, r := range m.srv.reports[1:] {
			if r.GetFull() {
				t.Error("a full report came")
			}
		}
		m.want(m.once(), Unchanged, false)
	}
}

// A server that has lost more than is kept gets a full report that says so, and
// one that asks without end is left alone until the next look.
func TestAServerThatAsksForMoreThanIsKept(t *testing.T) {
	m := newMachine(t)
	m.want(m.once(), Recorded, true)
	m.srv.mood = func(*rollcallv1.Body) (*rollcallv1.SubmitReply, error) {
		return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_RESEND, Have: make([]byte, 32)}, nil
	}
	m.write("etc/motd", "x")
	m.want(m.once(), Recorded, true)
	if r := m.srv.reports[len(m.srv.reports)-1].GetReason(); !strings.Contains(r, "backup") {
		t.Errorf("the reason is %q, want a word about a backup", r)
	}

	asked := 0
	var ask func(*rollcallv1.Body) (*rollcallv1.SubmitReply, error)
	ask = func(b *rollcallv1.Body) (*rollcallv1.SubmitReply, error) {
		asked++
		m.srv.mood = ask
		return &rollcallv1.SubmitReply{Outcome: rollcallv1.SubmitReply_RESEND, Have: b.GetPrev()}, nil
	}
	m.srv.mood = ask
	m.write("etc/motd", "y")
	sum := m.once()
	if asked > 10 || sum.Outcome != Spooled {
		t.Errorf("asked %d times, outcome %s", asked, sum.Outcome)
	}
	m.srv.mood = nil
	m.want(m.once(), Recorded, true)
	if got, ok := m.srv.sets["etc"].Get("etc/motd"); !ok || !strings.Contains(got, sha("y").String()) {
		t.Errorf("/etc/motd is %q", got)
	}
}
