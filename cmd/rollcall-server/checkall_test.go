package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"rollcall/agent/spool"
	"rollcall/internal/conf"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server"
	"rollcall/server/ingest"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// config is that of the lab's server.
func (l *lab) config() server.Config {
	l.t.Helper()
	cfg := server.Defaults()
	if err := conf.Load(l.path("server.conf"), &cfg); err != nil {
		l.t.Fatal(err)
	}
	return cfg
}

// checkAll is how every fault test with real processes ends, and each round of
// one: rules I0 to I9 of docs/security.md on the data folder of a server that does
// not run, with what the test knows to be acknowledged, and J1 and J2 on the
// spools of agents.
func checkAll(t *testing.T, cfg server.Config, known server.Known, spools ...string) {
	t.Helper()
	numbers := map[string]map[uint64]fact.Digest{} // key → sequence number → envelope
	for _, dir := range spools {
		in, err := spool.Inspect(dir)
		if err != nil {
			t.Errorf("spool %s: %v", dir, err)
			continue
		}
		for rule, errs := range in.Faults {
			t.Errorf("spool %s: %v (%s)", dir, errors.Join(errs...), rule)
		}
		if len(in.Receipt) > 0 {
			known.Acknowledged = append(known.Acknowledged, server.Acknowledged{Receipt: in.Receipt})
		}
		for _, w := range in.Waiting {
			if err := once(numbers, w.Envelope); err != nil {
				t.Errorf("spool %s: %v", dir, err)
			}
		}
	}
	rep, err := server.CheckAll(t.Context(), cfg, known)
	if err != nil {
		t.Errorf("CheckAll: %v", err)
	}
	for _, f := range rep.Faults {
		t.Errorf("CheckAll: %s", f)
	}
	if err := reused(t.Context(), cfg, numbers); err != nil {
		t.Error(err)
	}
}

// once notes an envelope's sequence number, which no other one of its key may
// have.
func once(numbers map[string]map[uint64]fact.Digest, envelope []byte) error {
	env, err := identity.OpenEnvelope(envelope)
	if err != nil {
		return err
	}
	seq, hash, err := spool.SequenceOf(envelope)
	if err != nil {
		return err
	}
	key := env.KeyID.String()
	if numbers[key] == nil {
		numbers[key] = map[uint64]fact.Digest{}
	}
	if old, ok := numbers[key][seq]; ok && old != hash {
		return fmt.Errorf("key %s used sequence number %d for two reports, %s and %s (%s)", key, seq, old, hash, spool.RuleNoReuse)
	}
	numbers[key][seq] = hash
	return nil
}

// reused looks at all envelopes that the server has, also those in quarantine.
func reused(ctx context.Context, cfg server.Config, numbers map[string]map[uint64]fact.Digest) error {
	e, err := bolt.Open(filepath.Join(cfg.Data, "rollcall.db"), bolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	err = e.View(ctx, func(r store.Reader) error {
		return store.Blobs(r, cfg.Tenant, func(kind string, _ fact.Digest, content []byte) error {
			if kind != "envelope" {
				return nil
			}
			return once(numbers, bytes.Clone(content))
		})
	})
	if err == nil {
		err = e.View(ctx, func(r store.Reader) error {
			return ingest.Envelopes(r, cfg.Tenant, func(_ fact.Digest, raw []byte) error { return once(numbers, raw) })
		})
	}
	return errors.Join(err, e.Close())
}

// checkAll checks the rig, whose server must not run.
func (r *rig) checkAll() {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	checkAll(r.t, r.config(), server.Known{Acknowledged: r.acked, Secrets: [][]byte{[]byte(rigCanary)}}, r.spoolDir())
}
