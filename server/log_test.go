package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/evidence"
	"rollcall/server/store"
	"rollcall/server/store/bolt"

	"google.golang.org/grpc/codes"
)

// sign signs a checkpoint now and returns it.
func (r *running) sign() *rollcallv1.CheckpointReply {
	r.t.Helper()
	if err := r.srv.trySign(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	c, err := r.kari.Checkpoint(r.t.Context(), &rollcallv1.CheckpointRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// cosign does what a witness does, without looking.
func (r *running) cosign(name string, key identity.Key) (*rollcallv1.CosignReply, error) {
	r.t.Helper()
	c, err := r.kari.Checkpoint(r.t.Context(), &rollcallv1.CheckpointRequest{})
	if err != nil {
		return nil, err
	}
	note, err := evidence.Cosign(c.GetNote(), c.GetLogKey(), name, key, time.Now())
	if err != nil {
		return nil, err
	}
	w, err := evidence.NewWitness(name, identity.Public(key))
	if err != nil {
		return nil, err
	}
	return r.kari.Cosign(r.t.Context(), &rollcallv1.CosignRequest{Note: note, Key: w.String()})
}

func TestCheckpointsAreSignedShownAndProvedToGrow(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	m.report(t, true)
	first := r.sign()
	old, _, err := evidence.OpenCheckpoint(first.GetNote(), first.GetLogKey())
	if err != nil || old.Size != first.GetSize() || old.Size < 4 {
		t.Fatalf("checkpoint = %+v, %v", old, err)
	}
	// Whoever has pinned the server finds the log's key by itself.
	pub, err := identity.OpenStatement(identity.Public(r.srv.key), identity.TypeLogKey, first.GetEndorsement())
	if err != nil || !bytes.Equal(pub, identity.Public(r.srv.logKey)) {
		t.Errorf("endorsement of the log's key: %v", err)
	}
	m.Upgrade(2, 1)
	m.report(t, false)
	c, _, err := evidence.OpenCheckpoint(r.sign().GetNote(), first.GetLogKey())
	if err != nil || c.Size <= old.Size {
		t.Fatalf("next checkpoint = %+v, %v", c, err)
	}
	p, err := r.kari.Consistency(t.Context(), &rollcallv1.ConsistencyRequest{From: old.Size, To: c.Size})
	if err != nil {
		t.Fatal(err)
	}
	hashes, err := evidence.ToHashes(p.GetHashes())
	if err := errors.Join(err, c.CheckGrowth(old, hashes)); err != nil {
		t.Error(err)
	}
	in, err := r.kari.Inclusion(t.Context(), &rollcallv1.InclusionRequest{Index: 2, Size: c.Size})
	if err != nil {
		t.Fatal(err)
	}
	hashes, err = evidence.ToHashes(in.GetHashes())
	if err := errors.Join(err, c.CheckInclusion(2, in.GetLeaf(), hashes)); err != nil {
		t.Error(err)
	}
	leaves, err := r.kari.Leaves(t.Context(), &rollcallv1.LeavesRequest{From: 1, Limit: 2})
	if err != nil || len(leaves.GetLeaves()) != 2 || !bytes.Equal(leaves.GetLeaves()[1], in.GetLeaf()) || leaves.GetSize() != c.Size {
		t.Errorf("leaves = %v, %v", leaves, err)
	}
	for what, err := range map[string]error{
		"a log that shrinks":     errOf(r.kari.Consistency(t.Context(), &rollcallv1.ConsistencyRequest{From: 5, To: 2})),
		"a leaf beyond the tree": errOf(r.kari.Inclusion(t.Context(), &rollcallv1.InclusionRequest{Index: 5, Size: 5})),
	} {
		wantCode(t, what, err, codes.InvalidArgument)
	}
	wantCode(t, "a tree beyond the end", errOf(r.kari.Inclusion(t.Context(), &rollcallv1.InclusionRequest{Index: 5, Size: 500})), codes.NotFound)
}

func TestTheLogIsSignedWhenTheServerStops(t *testing.T) {
	r := start(t)
	r.machine(1).report(t, true)
	n := len(r.leaves())
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r2 := startOn(t, r.cfg)
	c, err := r2.kari.Checkpoint(t.Context(), &rollcallv1.CheckpointRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := evidence.OpenCheckpoint(c.GetNote(), c.GetLogKey()); err != nil || got.Size < uint64(n) {
		t.Errorf("checkpoint of %d leaves, %v, want %d", got.Size, err, n)
	}
}

func TestCosignaturesAreKeptForOthers(t *testing.T) {
	r := start(t)
	r.sign()
	key := mustKey(t)
	old, err := r.kari.Checkpoint(t.Context(), &rollcallv1.CheckpointRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.cosign("auditor", key); err != nil {
		t.Fatal(err)
	}
	before := len(r.leaves())
	r.sign()
	if _, err := r.cosign("auditor", key); err != nil {
		t.Fatal(err)
	}
	if got := len(r.leaves()); got != before {
		t.Errorf("the second cosignature left %d leaves: the log grows by being watched", got-before)
	}
	// CVE class 18: an old checkpoint does not come back (go-tuf CVE-2022-29173).
	w, err := evidence.NewWitness("auditor", identity.Public(key))
	if err != nil {
		t.Fatal(err)
	}
	replay, err := evidence.Cosign(old.GetNote(), old.GetLogKey(), "auditor", key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.kari.Cosign(t.Context(), &rollcallv1.CosignRequest{Note: replay, Key: w.String()})
	wantCode(t, "an old checkpoint", err, codes.FailedPrecondition)
	// A checkpoint that the log's key has signed and that is not of this log.
	origin, _, err := evidence.LogVerifierKey(old.GetLogKey())
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]evidence.Checkpoint{
		"a fork": {Origin: origin, Size: 2}, "more than there is": {Origin: origin, Size: 5000},
	} {
		forged, err := c.Sign(r.srv.logKey)
		if err != nil {
			t.Fatal(err)
		}
		if forged, err = evidence.Cosign(forged, old.GetLogKey(), "auditor", key, time.Now()); err != nil {
			t.Fatal(err)
		}
		_, err = r.kari.Cosign(t.Context(), &rollcallv1.CosignRequest{Note: forged, Key: w.String()})
		wantCode(t, what, err, codes.FailedPrecondition)
	}
	_, err = r.kari.Cosign(t.Context(), &rollcallv1.CosignRequest{Note: old.GetNote(), Key: w.String()})
	wantCode(t, "a checkpoint without cosignature", err, codes.InvalidArgument)
	st, err := r.kari.Status(t.Context(), &rollcallv1.StatusRequest{})
	if err != nil || fmt.Sprint(st.GetWitnesses()) != "[auditor]" || st.GetWitnessMs() == 0 || st.GetLogSize() != uint64(before) || st.GetCheckpointSize() == 0 {
		t.Errorf("status = %v, %v", st, err)
	}
	r.srv.service.Now = func() time.Time { return time.Now().Add(8 * 24 * time.Hour) }
	if st, err = r.kari.Status(t.Context(), &rollcallv1.StatusRequest{}); err != nil || !strings.Contains(fmt.Sprint(st.GetWarnings()), "witness auditor has been silent for 8 days") {
		t.Errorf("warnings = %v, %v", st.GetWarnings(), err)
	}
}

// watched is a data folder with a life in it, signed and cosigned.
func watched(t *testing.T) Config {
	t.Helper()
	r := start(t)
	for i := range uint64(3) {
		m := r.machine(i + 1)
		m.report(t, true)
		m.Upgrade(2, 1)
		m.report(t, false)
		if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"room": "12"}}); err != nil {
			t.Fatal(err)
		}
	}
	r.sign()
	if _, err := r.cosign("auditor", mustKey(t)); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	return r.cfg
}

// rewrite changes a database on the disk.
func rewrite(t *testing.T, cfg Config, fn func(tx store.Tx) error) {
	t.Helper()
	e, err := bolt.Open(cfg.database(), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Update(t.Context(), fn), e.Close()); err != nil {
		t.Fatal(err)
	}
}

func logRecord(n uint64) store.Key {
	k := store.At(store.Record, "main", "/log/")
	k.K = binary.BigEndian.AppendUint64(k.K, n)
	return k
}

// reframe changes a record and makes its checksum right again, as somebody would
// who means it.
func reframe(tx store.Tx, k store.Key, change func(b []byte) []byte) error {
	b, err := tx.Get(k)
	if err != nil {
		return err
	}
	version, payload, err := store.Unframe(k, b)
	if err != nil {
		return err
	}
	return tx.Put(k, store.Frame(k, version, change(bytes.Clone(payload))))
}

// TestCheckNamesWhateverWasRewrittenInTheLog rewrites the database on the disk,
// each time with checksums made right.
func TestCheckNamesWhateverWasRewrittenInTheLog(t *testing.T) {
	cfg := watched(t)
	whole, err := os.ReadFile(cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	if rep, err := Check(t.Context(), cfg); err != nil || len(rep.Faults) > 0 || rep.Leaves < 15 {
		t.Fatalf("check of what nobody touched: %+v, %v", rep, err)
	}
	kinds, cis := leafKinds(t, cfg)
	for _, tt := range []struct {
		name   string
		change func(tx store.Tx) error
		want   []string
	}{
		{"a leaf's time is edited", func(tx store.Tx) error {
			return reframe(tx, logRecord(3), func(b []byte) []byte { b[2+4+32+7] ^= 1; return b })
		}, []string{"leaf 3 (" + kinds[3] + " of CI " + cis[3] + ") of the log: the stored hashes are not those", "not those that were signed by the server", "not those that were cosigned by auditor"}},
		{"a leaf is deleted", func(tx store.Tx) error { return tx.Delete(logRecord(5)) }, []string{"leaf 5 of the log is missing"}},
		{"two leaves change places", func(tx store.Tx) error {
			a, err := store.GetFramed(tx, logRecord(4))
			if err != nil {
				return err
			}
			b, err := store.GetFramed(tx, logRecord(6))
			if err != nil {
				return err
			}
			a, b = bytes.Clone(a), bytes.Clone(b)
			return errors.Join(store.PutFramed(tx, logRecord(4), b), store.PutFramed(tx, logRecord(6), a))
		}, []string{"leaf 4 (", "leaf 6 ("}},
		{"the last leaves are cut off", func(tx store.Tx) error {
			return store.PutFramed(tx, store.At(store.Record, "main", "/loghead"), binary.BigEndian.AppendUint64(nil, 9))
		}, []string{"the log has 9 leaves, and a checkpoint of"}},
		{"the log begins anew", func(tx store.Tx) error { return tx.Delete(store.At(store.Record, "main", "/loghead")) }, []string{"the log has 0 leaves, and a checkpoint of"}},
		{"what explains a leaf is edited", func(tx store.Tx) error {
			k := logRecord(2)
			k.K = bytes.Replace(k.K, []byte("/log/"), []byte("/lognote/"), 1)
			return reframe(tx, k, func(b []byte) []byte { b[10] ^= 1; return b }) // within the salt
		}, []string{"leaf 2 ("}},
		{"the checkpoint is another", func(tx store.Tx) error {
			return reframe(tx, store.At(store.Record, "main", "/checkpoint"), func(b []byte) []byte { return bytes.Replace(b, []byte(`"note":"`), []byte(`"note":"AAAA`), 1) })
		}, []string{"the checkpoint signed by the server"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(cfg.database(), whole, 0o600); err != nil {
				t.Fatal(err)
			}
			rewrite(t, cfg, tt.change)
			rep, err := Check(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			faults := fmt.Sprint(rep.Faults)
			for _, want := range tt.want {
				if !strings.Contains(faults, want) {
					t.Errorf("check says\n%s\nwant %q", faults, want)
				}
			}
		})
	}
}

// leafKinds reads kinds and CIs of all leaves.
func leafKinds(t *testing.T, cfg Config) (kinds, cis []string) {
	t.Helper()
	e, err := bolt.Open(cfg.database(), bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	err = e.View(t.Context(), func(r store.Reader) error {
		for l, err := range evidence.At(r, cfg.Tenant).Leaves(0, 0) {
			if err != nil {
				return err
			}
			leaf, err := evidence.ParseLeaf(l.Leaf)
			if err != nil {
				return err
			}
			kinds, cis = append(kinds, string(leaf.Kind)), append(cis, leaf.CI)
		}
		return nil
	})
	if err := errors.Join(err, e.Close()); err != nil {
		t.Fatal(err)
	}
	return kinds, cis
}

// TestCheckNamesARevisionThatWasRewritten changes what a person declared, and what
// a report led to, behind the log's back.
func TestCheckNamesARevisionThatWasRewritten(t *testing.T) {
	cfg := watched(t)
	kinds, cis := leafKinds(t, cfg)
	ci, n := cis[slices.Index(kinds, string(evidence.Declare))], uint64(4)
	rewrite(t, cfg, func(tx store.Tx) error {
		k := store.At(store.Event, "main", "/", ci, "/")
		k.K = binary.BigEndian.AppendUint64(k.K, n)
		return reframe(tx, k, func(b []byte) []byte { return bytes.Replace(b, []byte(`"new":"12"`), []byte(`"new":"13"`), 1) })
	})
	rep, err := Check(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("revision %d of CI %s was changed", n, ci); !strings.Contains(fmt.Sprint(rep.Faults), want) {
		t.Errorf("check says %v, want %q", rep.Faults, want)
	}
}

func TestAServerDoesNotSignALogThatWasRewritten(t *testing.T) {
	cfg := watched(t)
	rewrite(t, cfg, func(tx store.Tx) error {
		return reframe(tx, logRecord(15), func(b []byte) []byte { b[len(b)-1] ^= 1; return b }) // the hash of all 16
	})
	s, err := New(t.Context(), cfg, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.engine.Close()
	s.signCheckpoint(t.Context())
	if err := s.service.Proofs.Trouble(); err == nil || !strings.Contains(err.Error(), "not those that were signed before") {
		t.Errorf("trouble = %v", err)
	}
}
