package spool

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"rollcall/internal/fact"
	"rollcall/internal/faultfs"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

func TestMain(m *testing.M) {
	faultfs.Main()
	goleak.VerifyTestMain(m)
}

var start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

type sets = map[string]fact.Set

// state makes the sets of version n: one section that always changes, one that
// never does, one that comes and goes, and a file.
func state(n int) sets {
	out := sets{
		"os":  fact.NewSet([]fact.Fact{{Path: "os/kernel", Value: fmt.Sprint("6.1.", n)}}),
		"pkg": fact.NewSet([]fact.Fact{{Path: "pkg/cups/version", Value: "2.4"}, {Path: "pkg/zsh/version", Value: "5.9"}}),
	}
	if n%2 == 1 {
		out["net"] = fact.NewSet([]fact.Fact{{Path: "net/eth0/mac", Value: "02:00:00:00:00:01"}})
	}
	file := fact.File{Kind: fact.KindPlain, Digest: fact.Digest(hashOf(content(n))), Mode: 0o644, Owner: "root", Group: "root"}
	out["etc"] = fact.NewSet([]fact.Fact{{Path: "etc/motd", Value: file.String()}})
	return out
}

func content(n int) []byte { return fmt.Appendf(nil, "message %d\n", n) }

// envelope makes what the agent would: the report from b to now.
func envelope(t testing.TB, k identity.Key, b Base, now sets, at time.Time) []byte {
	t.Helper()
	old := b.Sets
	if b.Full {
		old = nil
	}
	var deltas [][]byte
	for _, section := range slices.Sorted(maps.Keys(union(old, now))) {
		if d := fact.Diff(old[section], now[section]); !d.Empty() {
			deltas = append(deltas, d.Encode())
		}
	}
	plain, err := proto.Marshal(&rollcallv1.Report{Full: b.Full, Deltas: deltas, Reason: b.Gap})
	if err != nil {
		t.Fatal(err)
	}
	z, err := deflate(plain)
	if err != nil {
		t.Fatal(err)
	}
	sum, state := sha256.Sum256(z), stateOf(now).Digest()
	body := &rollcallv1.Body{Seq: b.Seq, Prev: b.Prev, State: state[:], PayloadDigest: sum[:], Payload: z, TimeClaimedMs: at.UnixMilli()}
	if base := b.State().Digest(); !b.Full {
		body.Base = base[:]
	}
	raw, err := proto.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return identity.Seal(k, raw)
}

func union(a, b sets) sets {
	u := maps.Clone(a)
	if u == nil {
		u = sets{}
	}
	maps.Copy(u, b)
	return u
}

// server is what the other side does: it accepts a chain and nothing else.
type server struct {
	t        testing.TB
	key      identity.Key
	last     [32]byte
	seq      uint64
	have     sets
	receipts map[[32]byte][]byte
}

func newServer(t testing.TB) *server {
	return &server{t: t, key: newKey(t), receipts: map[[32]byte][]byte{}}
}

func newKey(t testing.TB) identity.Key {
	t.Helper()
	k, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (s *server) accept(w Waiting) []byte {
	s.t.Helper()
	if r, again := s.receipts[w.Hash]; again {
		return r
	}
	r, err := decode(w.Envelope)
	if err != nil {
		s.t.Fatalf("report %d: %v", w.Seq, err)
	}
	if r.seq <= s.seq {
		s.t.Fatalf("report %d comes after %d: a clone?", r.seq, s.seq)
	}
	if len(s.receipts) > 0 && string(r.prev) != string(s.last[:]) {
		s.t.Fatalf("report %d continues %x, want %x: a fork", r.seq, r.prev, s.last)
	}
	next, err := r.apply(s.have)
	if err != nil {
		s.t.Fatalf("report %d: %v", r.seq, err)
	}
	s.have, s.last, s.seq = next, w.Hash, r.seq
	s.receipts[w.Hash] = identity.Receipt{Envelope: w.Hash, Index: uint64(len(s.receipts)), At: 1}.Sign(s.key)
	return s.receipts[w.Hash]
}

func add(t testing.TB, s *Spool, k identity.Key, n int, at time.Time) (Base, error) {
	t.Helper()
	b, err := s.Start(at)
	if err != nil {
		return b, err
	}
	now := state(n)
	if err := s.Put(fact.Digest(hashOf(content(n))), content(n)); err != nil {
		return b, err
	}
	return b, s.Append(envelope(t, k, b, now, at))
}

func drain(t testing.TB, s *Spool, srv *server) error {
	t.Helper()
	for {
		w, ok, err := s.Next()
		if err != nil || !ok {
			return err
		}
		raw := srv.accept(w)
		r, err := identity.OpenReceipt(identity.Public(srv.key), raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Ack(r, raw); err != nil {
			return err
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustOpen(t testing.TB, dir string, o Options) *Spool {
	t.Helper()
	s, err := Open(dir, o)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func equal(a, b sets) bool { return stateOf(a).Digest() == stateOf(b).Digest() }

func TestDeltasStackWhileTheServerIsAway(t *testing.T) {
	for name, s := range map[string]*Spool{"disk": mustOpen(t, t.TempDir(), Options{}), "memory": InMemory(Options{})} {
		srv, k := newServer(t), newKey(t)
		for n := range 5 {
			b, err := add(t, s, k, n, start)
			must(t, err)
			if b.Full != (n == 0) {
				t.Errorf("%s: report %d is full = %v", name, n, b.Full)
			}
			if n > 0 && !equal(b.Sets, state(n-1)) {
				t.Errorf("%s: report %d starts from another state", name, n)
			}
		}
		must(t, drain(t, s, srv))
		if !equal(srv.have, state(4)) || len(srv.receipts) != 5 {
			t.Errorf("%s: the server has %d reports and another state", name, len(srv.receipts))
		}
		if len(s.contents) != len(s.keptOnly) || s.bytes() != 0 || (len(s.contents) == 5) != (name == "disk") {
			t.Errorf("%s: %d contents, %d of them kept, %d bytes wait", name, len(s.contents), len(s.keptOnly), s.bytes())
		}
		if len(s.LastReceipt()) == 0 || s.Status().Waiting != 0 || s.Status().Seq == 0 {
			t.Errorf("%s: status is %+v", name, s.Status())
		}
	}
}

func TestTwoAgentsCannotShareASpool(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrBusy) {
		t.Errorf("second Open: %v, want ErrBusy", err)
	}
	if _, err := Look(dir); err != nil {
		t.Errorf("Look at a spool in use: %v", err)
	}
}

func TestNothingIsReadableByOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s, k := mustOpen(t, dir, Options{}), newKey(t)
	_, err := add(t, s, k, 1, start)
	must(t, err)
	must(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	}))
}

func TestResetDropsWhatWaitsAndGoesOnWithAFullReport(t *testing.T) {
	dir := t.TempDir()
	s, srv, k := mustOpen(t, dir, Options{}), newServer(t), newKey(t)
	_, err := add(t, s, k, 0, start)
	must(t, err)
	must(t, drain(t, s, srv))
	for n := 1; n < 4; n++ {
		_, err := add(t, s, k, n, start)
		must(t, err)
	}
	must(t, s.Reset("the server asked for it"))
	must(t, s.Close())
	s = mustOpen(t, dir, Options{})
	b, err := add(t, s, k, 5, start)
	must(t, err)
	if !b.Full || b.Gap != "the server asked for it" || !equal(b.Sets, state(0)) {
		t.Errorf("after Reset: full %v, gap %q", b.Full, b.Gap)
	}
	b, err = add(t, s, k, 6, start)
	must(t, err)
	if b.Full {
		t.Error("the second report after Reset is full again")
	}
	must(t, drain(t, s, srv))
	if !equal(srv.have, state(6)) {
		t.Error("the server has another state")
	}
}

func TestTooMuchIsSquashedIntoOneFullReportThatSaysSo(t *testing.T) {
	tests := []struct {
		name string
		opt  Options
		step time.Duration
	}{
		{"size", Options{MaxBytes: 3000}, time.Minute},
		{"age", Options{MaxAge: 3 * time.Hour}, time.Hour},
	}
	for _, tt := range tests {
		s, srv, k := mustOpen(t, t.TempDir(), tt.opt), newServer(t), newKey(t)
		at := start
		squashed := 0
		for n := range 40 {
			b, err := add(t, s, k, n, at)
			must(t, err)
			if n > 0 && b.Full {
				squashed++
				if !strings.Contains(b.Gap, "dropped while the server was away") {
					t.Errorf("%s: gap is not stated: %q", tt.name, b.Gap)
				}
			}
			at = at.Add(tt.step)
		}
		if squashed == 0 || len(s.waiting) > 20 {
			t.Errorf("%s: %d times squashed, %d wait", tt.name, squashed, len(s.waiting))
		}
		must(t, drain(t, s, srv))
		if !equal(srv.have, state(39)) {
			t.Errorf("%s: the server has another state", tt.name)
		}
	}
}

func TestAppendRefusesWhatDoesNotContinueTheChain(t *testing.T) {
	s, k := InMemory(Options{}), newKey(t)
	_, err := add(t, s, k, 0, start)
	must(t, err)
	b, err := s.Start(start)
	must(t, err)
	for name, bend := range map[string]func(*Base){
		"sequence": func(b *Base) { b.Seq++ },
		"previous": func(b *Base) { b.Prev = make([]byte, 32) },
		"base":     func(b *Base) { b.Sets = state(7) },
	} {
		bent := b
		bend(&bent)
		if err := s.Append(envelope(t, k, bent, state(1), start)); !errors.Is(err, ErrOrder) {
			t.Errorf("another %s: %v, want ErrOrder", name, err)
		}
	}
	must(t, s.Append(envelope(t, k, b, state(1), start)))
}

func TestAReceiptForAnotherReportChangesNothing(t *testing.T) {
	s, k := InMemory(Options{}), newKey(t)
	_, err := add(t, s, k, 0, start)
	must(t, err)
	if err := s.Ack(identity.Receipt{Envelope: [32]byte{1}}, nil); !errors.Is(err, ErrReceipt) {
		t.Errorf("Ack: %v, want ErrReceipt", err)
	}
	if s.Status().Waiting != 1 {
		t.Error("the report is gone")
	}
}

func TestDamagedFilesCostAtMostAFullReport(t *testing.T) {
	flip := func(b []byte) []byte { b[len(b)/2] ^= 0x40; return b }
	tests := []struct {
		glob string
		bend func([]byte) []byte
	}{
		{"chain", flip},
		{"chain", func([]byte) []byte { return nil }},
		{"seq", func([]byte) []byte { return []byte("x") }},
		{"seq", func([]byte) []byte { return []byte("1") }},
		{"state-*", flip},
		{"state-*", func(b []byte) []byte { return b[:20] }},
		{"*3.env", flip},
		{"*3.env", func([]byte) []byte { return nil }},
		{"*4.env", flip},
		{"content/*", flip},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		s, srv, k := mustOpen(t, dir, Options{}), newServer(t), newKey(t)
		for n := range 2 {
			_, err := add(t, s, k, n, start)
			must(t, err)
			must(t, drain(t, s, srv))
		}
		used := s.nextSeq
		for n := 2; n < 5; n++ {
			_, err := add(t, s, k, n, start)
			must(t, err)
		}
		must(t, s.Close())
		names, err := filepath.Glob(filepath.Join(dir, tt.glob))
		must(t, err)
		if len(names) == 0 {
			t.Fatalf("%s: no such file", tt.glob)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			must(t, err)
			must(t, os.WriteFile(name, tt.bend(b), 0o600))
		}
		s = mustOpen(t, dir, Options{})
		_, err = add(t, s, k, 6, start)
		must(t, err)
		_, cerr := s.Content(fact.Digest(hashOf(content(2))))
		if s.nextSeq <= used {
			t.Errorf("%s: sequence number %d was used before", tt.glob, s.nextSeq)
		}
		must(t, drain(t, s, srv))
		if !equal(srv.have, state(6)) {
			t.Errorf("%s: the server has another state", tt.glob)
		}
		if len(s.Problems()) == 0 {
			t.Errorf("%s: nothing was said (content: %v)", tt.glob, cerr)
		}
	}
}

func FuzzDecodeState(f *testing.F) {
	b, err := encodeState(state(1))
	must(f, err)
	f.Add(b)
	f.Add([]byte(stateMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if sets, err := decodeState(b); err == nil {
			again, err := encodeState(sets)
			must(t, err)
			if got, err := decodeState(again); err != nil || !equal(got, sets) {
				t.Fatalf("round trip: %v", err)
			}
		}
	})
}

func FuzzDecodeEnvelope(f *testing.F) {
	f.Add(envelope(f, newKey(f), Base{Seq: 1, Full: true}, state(1), start))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if r, err := decode(b); err == nil {
			_, _ = r.apply(nil)
			_ = entryOf(r, b)
		}
	})
}
