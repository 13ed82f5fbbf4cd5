package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"rollcall/internal/bundle"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"

	"google.golang.org/protobuf/proto"
)

func bundleOf(t testing.TB, records ...bundle.Record) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := bundle.NewWriter(&b, &rollcallv1.BundleHead{Hostname: "pc\x1b[31m07", MadeMs: 1})
	for _, r := range records {
		if err == nil {
			err = w.Add(r.Kind, r.Data)
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func envelopeOf(t testing.TB, k identity.Key, seq uint64) bundle.Record {
	t.Helper()
	body, err := proto.Marshal(&rollcallv1.Body{Seq: seq})
	if err != nil {
		t.Fatal(err)
	}
	return bundle.Record{Kind: bundle.Envelope, Data: identity.Seal(k, body)}
}

// What several files hold of one machine is one list, in order, each once.
func TestFilesOfOneMachineAreOneListInOrder(t *testing.T) {
	k, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var names []string
	for i, all := range [][]bundle.Record{{envelopeOf(t, k, 7), envelopeOf(t, k, 3)}, {envelopeOf(t, k, 5), envelopeOf(t, k, 3)}, {{Kind: bundle.Envelope, Data: []byte("none")}}} {
		names = append(names, filepath.Join(dir, string(rune('a'+i))))
		if err := os.WriteFile(names[i], bundleOf(t, all...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := openSticks(names)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	all := s.inOrder()
	if len(all) != 1 || len(all[0].reports) != 3 {
		t.Fatalf("%d machines, want one with 3 reports", len(all))
	}
	for i, want := range []uint64{3, 5, 7} {
		r := all[0].reports[i]
		b, err := s.read(r.spot)
		if err != nil || r.seq != want || !bytes.Equal(b, envelopeOf(t, k, want).Data) {
			t.Errorf("place %d holds report %d, %v, want %d", i, r.seq, err, want)
		}
	}
}

func FuzzSticks(f *testing.F) {
	k, err := identity.NewKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(envelopeOf(f, k, 1).Data, []byte("asks"))
	f.Add([]byte("RCE1"), bytes.Repeat([]byte{1}, 40))
	f.Fuzz(func(t *testing.T, envelope, request []byte) {
		if len(envelope) > identity.MaxEnvelope || len(request) > identity.MaxStatement {
			return
		}
		name := filepath.Join(t.TempDir(), "x.rcb")
		all := bundleOf(t, bundle.Record{Kind: bundle.Envelope, Data: envelope}, bundle.Record{Kind: bundle.Enrolment, Data: request})
		if err := os.WriteFile(name, all, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openSticks([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range s.inOrder() {
			if m.hostname != "" {
				t.Errorf("a machine is called %q by a file of another key", m.hostname)
			}
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
}
