package rollcallv1_test

import (
	"crypto/ed25519"
	"flag"
	"os"
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/internal/sim"
	rollcallv1 "rollcall/proto/rollcall/v1"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
)

var update = flag.Bool("update", false, "write the golden envelope of the present version anew; those of released versions stay")

// TestAReportOfVersion1IsStillUnderstood opens an envelope as the first agents
// send it: agents are upgraded after their server, often by years.
func TestAReportOfVersion1IsStillUnderstood(t *testing.T) {
	const name = "testdata/report-v1.bin"
	m, err := sim.NewMachine(1, make([]byte, ed25519.PublicKeySize))
	if err != nil {
		t.Fatal(err)
	}
	m.Install(10, 3)
	if *update {
		raw, err := m.Report(true)
		if err == nil {
			err = os.MkdirAll("testdata", 0o755)
		}
		if err == nil {
			err = os.WriteFile(name, raw, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	env, err := identity.OpenEnvelope(raw)
	if err == nil {
		err = env.Verify(identity.Public(m.Key))
	}
	var body rollcallv1.Body
	if err == nil {
		err = proto.Unmarshal(env.Body, &body)
	}
	if err != nil {
		t.Fatal(err)
	}
	if body.GetSeq() != 1 || len(body.GetRealm()) != 16 || len(body.GetState()) != 32 || len(body.ProtoReflect().GetUnknown()) > 0 {
		t.Errorf("body: seq %d, realm %x, state %x, unknown %x", body.GetSeq(), body.GetRealm(), body.GetState(), body.ProtoReflect().GetUnknown())
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	plain, err := z.DecodeAll(body.GetPayload(), nil)
	var rep rollcallv1.Report
	if err == nil {
		err = proto.Unmarshal(plain, &rep)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !rep.GetFull() || rep.GetReason() != "interval" || len(rep.GetDeltas()) != 3 || len(rep.ProtoReflect().GetUnknown()) > 0 {
		t.Errorf("report: %+v", &rep)
	}
	found := map[string]fact.Set{}
	for _, b := range rep.GetDeltas() {
		d, err := fact.DecodeDelta(b)
		if err != nil {
			t.Fatal(err)
		}
		set, err := d.Apply(nil)
		if err != nil {
			t.Fatal(err)
		}
		found[set[0].Section()] = set
	}
	for section, want := range m.Facts {
		if found[section].Digest() != want.Digest() {
			t.Errorf("section %s differs from what was sent", section)
		}
	}
}
