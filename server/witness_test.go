package server

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/evidence"
	"rollcall/server/proof"
	"rollcall/server/witness"

	"google.golang.org/grpc"
)

// watch opens a witness of a server.
func watch(t *testing.T, r *running, dir string) *witness.Witness {
	t.Helper()
	w, _, err := witness.Open(dir, "auditor", identity.Public(r.srv.key), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAWitnessCosignsALogThatGrows(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	auditor := r.operator("vera", auth.Grant{Role: auth.Auditor})
	dir := filepath.Join(t.TempDir(), "w")
	w := watch(t, r, dir)
	key, err := w.Key()
	if err != nil {
		t.Fatal(err)
	}
	var grown uint64
	for range 3 {
		m.report(t, true)
		r.sign()
		seen, err := watch(t, r, dir).Look(t.Context(), auditor) // each time anew, as --once does
		if err != nil || !seen.Cosigned {
			t.Fatalf("look: %+v, %v", seen, err)
		}
		grown += seen.Grown
	}
	k, err := evidence.ParseWitness(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.Verify(r.prove(m.ci, time.Time{}), r.trust(k)).Err(); err != nil {
		t.Errorf("a proof with what the witness gave: %v", err)
	}
	history, err := os.ReadFile(filepath.Join(dir, "history"))
	if err != nil || strings.Count(string(history), "\nrollcall/")+1 != 3 && strings.Count(string(history), "— auditor ") != 3 {
		t.Errorf("history:\n%s\n%v", history, err)
	}
	if grown == 0 {
		t.Error("nothing has grown")
	}
	if info, err := os.Stat(filepath.Join(dir, "witness.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the witness's key: %v, %v", info, err)
	}
	if _, _, err := witness.Open(dir, "other", identity.Public(r.srv.key), time.Now); err == nil {
		t.Error("a witness changes its name")
	}
}

// TestAWitnessRefusesARollbackUntilAPersonDecides restores the server behind its
// back from before a report, and lets other things happen to it.
func TestAWitnessRefusesARollbackUntilAPersonDecides(t *testing.T) {
	r := start(t)
	m := r.machine(1)
	m.report(t, true)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(r.cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	r = startOn(t, r.cfg)
	dir := filepath.Join(t.TempDir(), "w")
	for range 3 {
		r.token(&rollcallv1.NewTokenRequest{})
	}
	r.sign()
	w := watch(t, r, dir)
	if _, err := w.Look(t.Context(), r.kari); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.cfg.database(), old, 0o600); err != nil {
		t.Fatal(err)
	}
	r = startOn(t, r.cfg)
	r.sign()
	alarmed := func(want string) {
		t.Helper()
		_, err := watch(t, r, dir).Look(t.Context(), r.kari)
		if !errors.Is(err, witness.ErrAlarm) || !strings.Contains(err.Error(), want) {
			t.Fatalf("look: %v, want an alarm: %s", err, want)
		}
	}
	alarmed("leaves and had")
	// A log that has caught up with its size is still another one, and the alarm of
	// before is not forgotten.
	for range 9 {
		r.token(&rollcallv1.NewTokenRequest{})
	}
	r.sign()
	alarmed("leaves and had")
	kept, err := os.ReadFile(filepath.Join(dir, "alarm.json"))
	if err != nil || !strings.Contains(string(kept), `"seen"`) || !strings.Contains(string(kept), `"shown"`) {
		t.Errorf("what was kept: %s, %v", kept, err)
	}
	if err := w.Accept(""); err == nil {
		t.Error("an alarm is accepted without a reason")
	}
	if err := w.Accept("the server was restored from Monday's backup"); err != nil {
		t.Fatal(err)
	}
	if err := w.Accept("again"); err == nil {
		t.Error("an alarm that is not there is accepted")
	}
	if seen, err := watch(t, r, dir).Look(t.Context(), r.kari); err != nil || !seen.Cosigned {
		t.Errorf("after it was accepted: %+v, %v", seen, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "alarm-*.json"))
	if err != nil || len(files) != 1 {
		t.Errorf("the evidence is gone: %v, %v", files, err)
	}
}

// forger stands between a witness and the server.
type forger struct {
	rollcallv1.EvidenceClient
	checkpoint func(*rollcallv1.CheckpointReply)
	proof      func(*rollcallv1.ConsistencyReply)
}

func (f forger) Checkpoint(ctx context.Context, req *rollcallv1.CheckpointRequest, opts ...grpc.CallOption) (*rollcallv1.CheckpointReply, error) {
	reply, err := f.EvidenceClient.Checkpoint(ctx, req, opts...)
	if err == nil && f.checkpoint != nil {
		f.checkpoint(reply)
	}
	return reply, err
}

func (f forger) Consistency(ctx context.Context, req *rollcallv1.ConsistencyRequest, opts ...grpc.CallOption) (*rollcallv1.ConsistencyReply, error) {
	reply, err := f.EvidenceClient.Consistency(ctx, req, opts...)
	if err == nil && f.proof != nil {
		f.proof(reply)
	}
	return reply, err
}

// TestAWitnessIsNotDeceived: forks with the log's own key, other keys, and proofs
// that prove nothing.
func TestAWitnessIsNotDeceived(t *testing.T) {
	for _, tt := range []struct {
		name  string
		alarm bool
		forge func(r *running) forger
	}{
		{"a fork by the log's own key", true, func(r *running) forger {
			return forger{checkpoint: func(c *rollcallv1.CheckpointReply) {
				p, _, err := evidence.OpenCheckpoint(c.GetNote(), c.GetLogKey())
				p.Root[0] ^= 1
				note, err2 := p.Sign(r.srv.logKey)
				if err := errors.Join(err, err2); err != nil {
					r.t.Error(err)
				}
				c.Note = note
			}}
		}},
		{"a proof that proves nothing", true, func(*running) forger {
			return forger{proof: func(p *rollcallv1.ConsistencyReply) { p.Hashes[0][0] ^= 1 }}
		}},
		{"no proof", true, func(*running) forger {
			return forger{proof: func(p *rollcallv1.ConsistencyReply) { p.Hashes = nil }}
		}},
		{"a checkpoint that is gone", true, func(*running) forger {
			return forger{checkpoint: func(c *rollcallv1.CheckpointReply) { c.Note = nil }}
		}},
		{"another log's key, without the server's word", false, func(r *running) forger {
			return forger{checkpoint: func(c *rollcallv1.CheckpointReply) { c.LogKey = otherLog(r, c) }}
		}},
		{"another log's key, with the server's word", true, func(r *running) forger {
			return forger{checkpoint: func(c *rollcallv1.CheckpointReply) {
				p, _, err := evidence.OpenCheckpoint(c.GetNote(), c.GetLogKey())
				other := mustKey(r.t)
				vkey, err2 := evidence.LogVerifier(p.Origin, identity.Public(other))
				note, err3 := p.Sign(other)
				if err := errors.Join(err, err2, err3); err != nil {
					r.t.Error(err)
				}
				c.Note, c.LogKey, c.Endorsement = note, vkey, identity.SignStatement(r.srv.key, identity.TypeLogKey, identity.Public(other))
			}}
		}},
		{"a checkpoint that nobody signed", false, func(*running) forger {
			return forger{checkpoint: func(c *rollcallv1.CheckpointReply) { c.Note[30] ^= 1 }}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t)
			r.token(&rollcallv1.NewTokenRequest{})
			r.sign()
			dir := filepath.Join(t.TempDir(), "w")
			if _, err := watch(t, r, dir).Look(t.Context(), r.kari); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(filepath.Join(dir, "history"))
			if err != nil {
				t.Fatal(err)
			}
			for range 4 {
				r.token(&rollcallv1.NewTokenRequest{})
			}
			r.sign()
			f := tt.forge(r)
			f.EvidenceClient = r.kari.EvidenceClient
			if _, err := watch(t, r, dir).Look(t.Context(), f); err == nil || errors.Is(err, witness.ErrAlarm) != tt.alarm {
				t.Errorf("look = %v, an alarm: want %v", err, tt.alarm)
			}
			after, err := os.ReadFile(filepath.Join(dir, "history"))
			if err != nil || len(after) != len(before) {
				t.Errorf("it was cosigned: %s, %v", after, err)
			}
		})
	}
}

func otherLog(r *running, c *rollcallv1.CheckpointReply) string {
	origin, _, err := evidence.LogVerifierKey(c.GetLogKey())
	if err != nil {
		r.t.Error(err)
	}
	vkey, err := evidence.LogVerifier(origin, identity.Public(mustKey(r.t)))
	if err != nil {
		r.t.Error(err)
	}
	return vkey
}
