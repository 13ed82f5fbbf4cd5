package server

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/ingest"
	"rollcall/server/mirror"
	"rollcall/server/store"
)

// Known is what only those outside can know of a server.
type Known struct {
	// Acknowledged are envelopes that got a receipt, with that receipt.
	Acknowledged []Acknowledged
	// Secrets must not be readable in any file of the data folder, in any record
	// or in any object of the mirror.
	Secrets [][]byte
}

// Acknowledged is one report that the server has promised to keep. Whoever has
// kept the receipt alone leaves the envelope empty: its hash is in the receipt.
type Acknowledged struct{ Envelope, Receipt []byte }

// CheckAll does what Check does, compares the git mirror with the store, and both
// with what is known outside. It is how every test that breaks something ends.
// The server must not run.
func CheckAll(ctx context.Context, cfg Config, known Known) (Report, error) {
	var rep Report
	o, err := openUnread(cfg)
	if err != nil {
		return rep, err
	}
	fault := func(rule Rule, err error) { rep.Faults = append(rep.Faults, Fault{rule, err.Error()}) }
	err = o.check(ctx, &rep)
	if o.unsound {
		return rep, errors.Join(err, o.engine.Close())
	}
	if err == nil {
		err = o.acknowledged(ctx, known.Acknowledged, fault)
	}
	if err == nil {
		err = o.mirrored(ctx, cfg, fault)
	}
	if err == nil && len(known.Secrets) > 0 {
		err = o.secrets(ctx, cfg, known.Secrets, fault)
	}
	return rep, errors.Join(err, o.engine.Close())
}

// acknowledged looks for every report that got a receipt.
func (o *offline) acknowledged(ctx context.Context, all []Acknowledged, fault func(Rule, error)) error {
	key, err := identity.LoadKey(o.cfg.KeyFile())
	if err != nil {
		return err
	}
	return o.engine.View(ctx, func(r store.Reader) error {
		known, err := loadServerKeys(r, o.tenant, key)
		if err != nil {
			return err
		}
		for _, a := range all {
			if err := promised(r, o.tenant, a, known.all(key)); err != nil {
				fault(RuleAcked, err)
			}
		}
		return nil
	})
}

func promised(r store.Reader, tenant string, a Acknowledged, keys []ed25519.PublicKey) error {
	rec, err := identity.OpenReceiptOf(keys, a.Receipt)
	hash := fact.Digest(rec.Envelope)
	if err == nil && len(a.Envelope) > 0 && fact.Digest(sha256.Sum256(a.Envelope)) != hash {
		err = errors.New("it is for another envelope")
	}
	if err != nil {
		return fmt.Errorf("the receipt for report %s: %w", hash, err)
	}
	stored, err := ingest.Envelope(r, tenant, hash)
	if err == nil && len(a.Envelope) > 0 && !bytes.Equal(stored, a.Envelope) {
		err = store.ErrCorrupt
	}
	if err != nil {
		return fmt.Errorf("report %s was acknowledged, as number %d of its key: %w", hash, rec.Index, err)
	}
	env, err := identity.OpenEnvelope(stored)
	if err != nil {
		return fmt.Errorf("report %s: %w", hash, err)
	}
	given, err := ingest.ReceiptFor(r, tenant, env.KeyID.String(), hash)
	switch {
	case err != nil:
		return err
	case given == nil:
		return fmt.Errorf("report %s was acknowledged, as number %d of key %s, and its receipt is lost", hash, rec.Index, env.KeyID)
	case !bytes.Equal(given, a.Receipt):
		return fmt.Errorf("report %s: another receipt is stored than the one that was given", hash)
	}
	return nil
}

// mirrored compares the mirror with the store. A mirror that is not there is
// rendered at the next start.
func (o *offline) mirrored(ctx context.Context, cfg Config, fault func(Rule, error)) error {
	if _, err := os.Stat(cfg.mirrorDir()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	m := newMirror(cfg, o.engine, o.engine, o.sets, mirrorHooks{}, slog.New(slog.DiscardHandler))
	found, err := m.Verify(ctx)
	for _, p := range found.Problems {
		fault(RuleMirror, errors.New(p))
	}
	if err != nil && !errors.Is(err, mirror.ErrDiffers) {
		return fmt.Errorf("verify the mirror: %w", err)
	}
	return nil
}

// secrets looks for words that must be nowhere: in files as they are, in contents
// and envelopes as they read unpacked, in the objects of the mirror.
func (o *offline) secrets(ctx context.Context, cfg Config, words [][]byte, fault func(Rule, error)) error {
	seen := func(where string, b []byte) {
		for i, w := range words {
			if bytes.Contains(b, w) {
				fault(RuleSecret, fmt.Errorf("secret %d of %d is readable in %s", i+1, len(words), where))
			}
		}
	}
	err := filepath.WalkDir(cfg.Data, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(name)
		seen(name, b)
		return err
	})
	if err != nil {
		return fmt.Errorf("look for secrets: %w", err)
	}
	err = o.engine.View(ctx, func(r store.Reader) error {
		return store.Blobs(r, o.tenant, func(kind string, name fact.Digest, content []byte) error {
			seen(fmt.Sprintf("%s %s", kind, name), ingest.Readable(kind, content))
			return ctx.Err()
		})
	})
	if err == nil {
		err = o.engine.View(ctx, func(r store.Reader) error {
			return ingest.Envelopes(r, o.tenant, func(hash fact.Digest, raw []byte) error {
				seen(fmt.Sprintf("%s %s", kindEnvelope, hash), ingest.Readable(kindEnvelope, raw))
				return ctx.Err()
			})
		})
	}
	if err != nil {
		return fmt.Errorf("look for secrets: %w", err)
	}
	m := newMirror(cfg, o.engine, o.engine, o.sets, mirrorHooks{}, slog.New(slog.DiscardHandler))
	return m.Objects(ctx, seen)
}
