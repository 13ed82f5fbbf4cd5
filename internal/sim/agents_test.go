package sim

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"

	"google.golang.org/protobuf/proto"
)

var realm = bytes.Repeat([]byte{7}, 16)

func newAgents(t *testing.T, f *Fleet) *Agents {
	t.Helper()
	a, err := NewAgents(f, realm)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ledger is what a server keeps of one machine: it applies reports.
type ledger struct {
	sets map[string]fact.Set
	head []byte
	seq  uint64
}

func (l *ledger) state() []byte {
	s := fact.State{}
	for name, set := range l.sets {
		s[name] = set.Digest()
	}
	d := s.Digest()
	return d[:]
}

// take checks an envelope as a server does, and keeps what it says.
func (l *ledger) take(t *testing.T, a *Agents, i int, raw []byte) *rollcallv1.Report {
	t.Helper()
	env, err := identity.OpenEnvelope(raw)
	if err == nil {
		err = env.Verify(identity.Public(a.Key(i)))
	}
	body, rep := &rollcallv1.Body{}, &rollcallv1.Report{}
	if err == nil {
		err = proto.Unmarshal(env.Body, body)
	}
	if err != nil {
		t.Fatalf("machine %d: %v", i, err)
	}
	if body.GetSeq() <= l.seq || !bytes.Equal(body.GetPrev(), l.head) || !bytes.Equal(body.GetRealm(), realm) {
		t.Fatalf("machine %d: envelope %d after %x does not follow %d, %x", i, body.GetSeq(), body.GetPrev(), l.seq, l.head)
	}
	l.seq = body.GetSeq()
	if len(body.GetPayload()) == 0 {
		if !bytes.Equal(body.GetState(), l.state()) {
			t.Fatalf("machine %d: a tick of another state", i)
		}
		return rep
	}
	plain, err := inflate(body.GetPayload())
	if err == nil {
		err = proto.Unmarshal(plain, rep)
	}
	if err != nil {
		t.Fatal(err)
	}
	if rep.GetFull() {
		l.sets = map[string]fact.Set{}
	}
	for _, b := range rep.GetDeltas() {
		d, err := fact.DecodeDelta(b)
		if err != nil {
			t.Fatal(err)
		}
		name := ""
		if len(d.Put) > 0 {
			name = d.Put[0].Section()
		} else {
			name = fact.SectionOf(d.Drop[0])
		}
		set, err := d.Apply(l.sets[name])
		if err == nil {
			err = set.Check(name)
		}
		if err != nil {
			t.Fatalf("machine %d, section %s: %v", i, name, err)
		}
		l.sets[name] = set
	}
	if !bytes.Equal(body.GetState(), l.state()) {
		t.Fatalf("machine %d: the report does not lead to the state that it signs", i)
	}
	hash := sha256.Sum256(raw)
	l.head = hash[:]
	return rep
}

// report makes a report, or a tick where nothing has changed, and hands it over.
func report(t *testing.T, a *Agents, l *ledger, i int) Report {
	t.Helper()
	r, err := a.Report(i, "test", false)
	if err != nil {
		t.Fatal(err)
	}
	if r.Envelope == nil {
		tick, err := a.Tick(i)
		if err != nil {
			t.Fatal(err)
		}
		l.take(t, a, i, tick)
		return r
	}
	l.take(t, a, i, r.Envelope)
	a.Recorded(r, []byte("receipt"))
	return r
}

// everything lets a fleet live through all that can happen, and calls look after
// each day.
func everything(f *Fleet, look func()) {
	look()
	for n := range 6 {
		f.Advance(f.Day()+Day(1+n), func(int) {})
		for i := range f.Len() {
			for k, happen := range []func(int){f.Edit, f.Replace, f.Move, f.Reboot} {
				if f.Choose(i, fmt.Sprint("test ", k), 0.2) {
					happen(i)
				}
			}
		}
		look()
	}
	f.AdvanceAll(f.Day()+12, func(int) {})
	look()
}

func TestReportsOfAFleetLeadFromOneStateToTheNext(t *testing.T) {
	f := newFleet(t, 54, 1115)
	a := newAgents(t, f)
	ledgers := make([]ledger, f.Len())
	days, deltas := 0, 0
	everything(f, func() {
		for i := range f.Len() {
			r := report(t, a, &ledgers[i], i)
			if r.Envelope != nil && !r.Full {
				deltas++
			}
			if want := f.Sets(i); len(want) != len(ledgers[i].sets) {
				t.Fatalf("machine %d has %d sections, the server knows %d", i, len(want), len(ledgers[i].sets))
			}
		}
		days++
	})
	if days != 8 || deltas < 3*f.Len() {
		t.Errorf("in %d days %d machines sent %d deltas", days, f.Len(), deltas)
	}
}

func TestTheSameSeedGivesTheSameReports(t *testing.T) {
	life := func(seed uint64) string {
		f, err := New(Options{Machines: 12, Seed: seed, Day: 1115})
		if err != nil {
			t.Fatal(err)
		}
		a := newAgents(t, f)
		h := sha256.New()
		everything(f, func() {
			for i := range f.Len() {
				r, err := a.Report(i, "test", false)
				if err != nil {
					t.Fatal(err)
				}
				h.Write(r.Envelope)
				if r.Envelope != nil {
					a.Recorded(r, nil)
				}
			}
		})
		return fmt.Sprintf("%x", h.Sum(nil))
	}
	if x, y := life(3), life(3); x != y {
		t.Errorf("one seed gives %s and %s", x, y)
	}
	if x, y := life(3), life(4); x == y {
		t.Error("two seeds give the same reports")
	}
}

func TestEveryContentThatIsNamedCanBeUploaded(t *testing.T) {
	f := newFleet(t, 54, 1115)
	everything(f, func() {})
	for i := 0; i < f.Len(); i += 5 {
		var want []fact.Digest
		for _, fc := range f.Section(i, "etc").Set() {
			if d, ok := plainDigest(fc.Value); ok {
				want = append(want, d)
			}
		}
		found := f.Contents(i, want)
		for _, d := range want {
			if b, ok := found[d]; !ok || sum(b) != d {
				t.Fatalf("machine %d, %s: content %s is not there (%v)", i, f.Member(i).Profile, d, ok)
			}
		}
		if len(want) < 300 {
			t.Errorf("machine %d has %d contents", i, len(want))
		}
	}
}

func TestAnAgentThatForgetsOrIsRestoredDoesNotFollowItsChain(t *testing.T) {
	f := newFleet(t, 60, 1115)
	a := newAgents(t, f)
	i := find(t, f, func(m Member) bool { return m.Profile == Workstation }).Number
	if _, err := a.Tick(i); err == nil {
		t.Error("a machine ticks before it has reported")
	}
	var l ledger
	report(t, a, &l, i)
	key := identity.IDOf(identity.Public(a.Key(i)))
	a.Rewind(i)
	f.Edit(i)
	r, err := a.Report(i, "test", false)
	if err != nil {
		t.Fatal(err)
	}
	env, err := identity.OpenEnvelope(r.Envelope)
	body := &rollcallv1.Body{}
	if err == nil {
		err = proto.Unmarshal(env.Body, body)
	}
	if err != nil || bytes.Equal(body.GetPrev(), l.head) {
		t.Errorf("a restored machine follows what was recorded (%v)", err)
	}
	f.Reinstall(i)
	a.Forget(i)
	if again := identity.IDOf(identity.Public(a.Key(i))); again == key || a.Began(i) {
		t.Errorf("an agent that was installed anew has key %s again, or has reported", again)
	}
	report(t, a, &ledger{}, i)
}
