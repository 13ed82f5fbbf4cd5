package sim

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
)

func newMachine(t *testing.T) *Machine {
	t.Helper()
	m, err := NewMachine(7, make([]byte, ed25519.PublicKeySize))
	if err != nil {
		t.Fatal(err)
	}
	m.Install(50, 10)
	return m
}

func open(t *testing.T, m *Machine, raw []byte) (*rollcallv1.Body, *rollcallv1.Report) {
	t.Helper()
	env, err := identity.OpenEnvelope(raw)
	if err == nil {
		err = env.Verify(identity.Public(m.Key))
	}
	body, rep := &rollcallv1.Body{}, &rollcallv1.Report{}
	if err == nil {
		err = proto.Unmarshal(env.Body, body)
	}
	if err == nil && len(body.GetPayload()) > 0 {
		var z *zstd.Decoder
		var plain []byte
		if z, err = zstd.NewReader(nil); err == nil {
			defer z.Close()
			plain, err = z.DecodeAll(body.GetPayload(), nil)
		}
		if err == nil {
			err = proto.Unmarshal(plain, rep)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return body, rep
}

func TestReportsLeadFromOneStateToTheNext(t *testing.T) {
	m := newMachine(t)
	first, err := m.Report(false)
	if err != nil {
		t.Fatal(err)
	}
	if _, rep := open(t, m, first); !rep.GetFull() || len(rep.GetDeltas()) != 3 {
		t.Errorf("the first report is full: %v, with %d sections", rep.GetFull(), len(rep.GetDeltas()))
	}
	before := m.Facts["pkg"]
	m.Upgrade(3, 9)
	second, err := m.Report(false)
	if err != nil {
		t.Fatal(err)
	}
	body, rep := open(t, m, second)
	hash := sha256.Sum256(first)
	if !bytes.Equal(body.GetPrev(), hash[:]) || len(rep.GetDeltas()) != 1 {
		t.Fatalf("the second report follows %x with %d sections", body.GetPrev(), len(rep.GetDeltas()))
	}
	d, err := fact.DecodeDelta(rep.GetDeltas()[0])
	if err != nil {
		t.Fatal(err)
	}
	if after, err := d.Apply(before); err != nil || after.Digest() != m.Facts["pkg"].Digest() || len(d.Put) != 1 {
		t.Errorf("the delta of %d facts gives another set: %v", len(d.Put), err)
	}
	tick, err := m.Tick()
	if err != nil {
		t.Fatal(err)
	}
	if idle, _ := open(t, m, tick); len(idle.GetPayload()) != 0 || !bytes.Equal(idle.GetState(), body.GetState()) || idle.GetSeq() != 3 {
		t.Errorf("the tick says state %x, seq %d", idle.GetState(), idle.GetSeq())
	}
}

func TestTheSameNumberIsTheSameMachine(t *testing.T) {
	a, err := newMachine(t).Report(true)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := newMachine(t).Report(true); err != nil || !bytes.Equal(a, b) {
		t.Errorf("two reports of one machine differ (%v)", err)
	}
}
