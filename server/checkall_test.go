package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store"
)

const canary = "canary-0f3a77-not-for-anybody"

// mirroredLife makes a data folder with some history and its mirror, and tells what
// was acknowledged.
// early is a copy of it from before the last report.
func mirroredLife(t *testing.T) (cfg Config, early string, known Known) {
	t.Helper()
	r := start(t)
	if _, err := r.kari.SetSite(t.Context(), &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: "elm"}}); err != nil {
		t.Fatal(err)
	}
	var ms []*machine
	for i := range 3 {
		m := r.machine(uint64(i))
		m.keep(t, map[string]string{"motd": fmt.Sprint("first of ", i), "same": "same"})
		m.keep(t, map[string]string{"motd": fmt.Sprint("then of ", i), "same": "same"})
		for n := range 3 {
			m.Upgrade(n, n)
			m.report(t, false)
		}
		if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"site": "elm"}}); err != nil {
			t.Fatal(err)
		}
		ms = append(ms, m)
	}
	r.drained()
	early = t.TempDir() + "/early.db"
	if err := r.srv.engine.CopyTo(t.Context(), early); err != nil {
		t.Fatal(err)
	}
	ms[0].Upgrade(9, 9)
	ms[0].report(t, false)
	r.tick(ms[1])
	r.drained()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for _, m := range ms {
		known.Acknowledged = append(known.Acknowledged, m.acked...)
	}
	known.Secrets = [][]byte{[]byte(canary)}
	return r.cfg, early, known
}

// drained waits until the mirror holds everything.
func (r *running) drained() {
	r.t.Helper()
	waitFor(r.t, "the mirror", func() bool {
		n, err := r.srv.mirror.Backlog(r.t.Context())
		return err == nil && n == 0
	})
}

func TestAStoreThatNothingHappenedToBreaksNoRule(t *testing.T) {
	cfg, _, known := mirroredLife(t)
	wantWhole(t, cfg, known)
	if len(known.Acknowledged) < 10 {
		t.Errorf("only %d acknowledged reports were looked for", len(known.Acknowledged))
	}
}

// TestEachBrokenTwinIsCaughtByItsRule damages a copy of a sound data folder in
// the way that a rule is about. CheckAll must say so, under that rule and under
// no other.
func TestEachBrokenTwinIsCaughtByItsRule(t *testing.T) {
	cfg, early, known := mirroredLife(t)
	caught := map[Rule]bool{}
	for _, tt := range slices.Concat(bentRecords(early), bentFiles()) {
		w := newTwin(t, cfg)
		tt.bend(t, w)
		rep, err := CheckAll(t.Context(), w.cfg, known)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		rules := map[Rule]bool{}
		for _, f := range rep.Faults {
			rules[f.Rule] = true
		}
		if got := slices.Collect(maps.Keys(rules)); len(got) != 1 || got[0] != tt.rule {
			t.Errorf("%s: caught by %v, want %s alone: %v", tt.name, got, tt.rule, rep.Faults)
		}
		caught[tt.rule] = true
	}
	for _, rule := range Rules {
		if !caught[rule] {
			t.Errorf("no twin breaks %s", rule)
		}
	}
}

type bend struct {
	rule Rule
	name string
	bend func(t *testing.T, w *twin)
}

func bentRecords(early string) []bend {
	return []bend{
		{RuleBytes, "a flipped bit in a record", func(t *testing.T, w *twin) {
			w.edit(func(k store.Key, v []byte) []byte {
				if bytes.HasPrefix(k.K, []byte("main/last/")) {
					v[len(v)/2] ^= 4
				}
				return v
			})
		}},
		{RuleAcked, "a store without the last report, sound in itself", func(t *testing.T, w *twin) {
			w.copy(early, w.cfg.database())
			if err := os.RemoveAll(w.cfg.mirrorDir()); err != nil {
				t.Fatal(err)
			}
		}},
		{RuleChain, "a key whose chain ends elsewhere", func(t *testing.T, w *twin) {
			key := w.key()
			w.update(func(tx store.Tx) error {
				keys := enrol.In(tx, "main", cmdb.In(tx, "main", cmdb.Everywhere))
				c, err := keys.Chain(key.ID)
				c.Count++
				return errors.Join(err, keys.PutChain(key.ID, c))
			})
		}},
		{RuleChain, "a key whose reports are found from the last but one on", func(t *testing.T, w *twin) {
			key := w.key()
			var leaves []uint64
			w.view(func(r store.Reader) error {
				prefix := []byte("main/report/")
				for p, err := range r.Scan(store.Record, prefix, store.PrefixEnd(prefix), 0) {
					if err != nil {
						return err
					}
					if bytes.Contains(p.V, []byte(key.ID)) {
						leaves = append(leaves, binary.BigEndian.Uint64(p.K[len(prefix):]))
					}
				}
				return nil
			})
			w.update(func(tx store.Tx) error {
				keys := enrol.In(tx, "main", cmdb.In(tx, "main", cmdb.Everywhere))
				c, err := keys.Chain(key.ID)
				c.Last = leaves[len(leaves)-2] + 1
				return errors.Join(err, keys.PutChain(key.ID, c))
			})
		}},
		{RuleLog, "a leaf whose content was changed", func(t *testing.T, w *twin) {
			key := append([]byte("main/lognote/"), binary.BigEndian.AppendUint64(nil, 0)...)
			w.update(func(tx store.Tx) error {
				return store.PutJSON(tx, store.Key{Space: store.Record, K: key}, map[string]any{"salt": []byte("0123456789abcdef"), "sum": make([]byte, 32)})
			})
		}},
		{RuleState, "a head that is not what its history leads to", func(t *testing.T, w *twin) {
			w.editCI(func(ci *cmdb.CI) { delete(ci.State, "pkg") })
		}},
	}
}

func bentFiles() []bend {
	return []bend{
		{RuleMirror, "a branch that was put back", func(t *testing.T, w *twin) {
			w.git("update-ref", "refs/heads/main", "main~1")
		}},
		{RuleMirror, "a pack with a flipped bit", func(t *testing.T, w *twin) {
			packs, err := filepath.Glob(filepath.Join(w.cfg.mirrorDir(), "elm.git/objects/pack/*.pack"))
			if err != nil || len(packs) == 0 {
				t.Fatalf("no packs: %v", err)
			}
			b, err := os.ReadFile(packs[0])
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 1
			if err := errors.Join(os.Chmod(packs[0], 0o600), os.WriteFile(packs[0], b, 0o600)); err != nil {
				t.Fatal(err)
			}
		}},
		{RuleTokens, "a used token that may be used again", func(t *testing.T, w *twin) {
			key := store.At(store.Record, "main", "/token/", w.key().Token)
			w.update(func(tx store.Tx) error {
				var token enrol.Token
				_, err := store.GetJSON(tx, key, &token)
				token.UsedBy = ""
				return errors.Join(err, store.PutJSON(tx, key, token))
			})
		}},
		{RuleLog, "who was alive on a day, which cannot be found", func(t *testing.T, w *twin) {
			w.edit(func(k store.Key, v []byte) []byte {
				if bytes.HasPrefix(k.K, []byte("main/ticks/")) && k.Space == store.Record {
					return nil
				}
				return v
			})
		}},
		{RuleBlobs, "the list of who was alive on a day", func(t *testing.T, w *twin) { w.drop("ticks", []byte("RCT1")) }},
		{RuleBlobs, "a content that an old revision names", func(t *testing.T, w *twin) {
			w.drop("content", []byte("first of 1"))
		}},
		{RuleIndex, "a name that leads nowhere", func(t *testing.T, w *twin) {
			w.edit(func(k store.Key, v []byte) []byte {
				if string(k.K) == "main/name/sim-00001" {
					return nil
				}
				return v
			})
		}},
		{RuleIndex, "a wrong number of revisions", func(t *testing.T, w *twin) {
			w.update(func(tx store.Tx) error {
				return store.PutFramed(tx, store.At(store.Meta, "main/revisions"), binary.BigEndian.AppendUint64(nil, 4))
			})
		}},
		{RuleSecret, "a secret in a file", func(t *testing.T, w *twin) {
			if err := os.WriteFile(filepath.Join(w.cfg.Data, "notes"), []byte("psk="+canary), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{RuleSecret, "a secret in a content, packed", func(t *testing.T, w *twin) {
			content, err := store.Pack([]byte(strings.Repeat("psk="+canary+"\n", 50)))
			if err != nil {
				t.Fatal(err)
			}
			w.update(func(tx store.Tx) error { return content.PutTx(tx, "main", "content", [32]byte{1}) })
		}},
	}
}
