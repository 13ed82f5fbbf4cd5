package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/cmdb"
	"rollcall/server/evidence"
	"rollcall/server/ingest"
	"rollcall/server/store"
)

// Pruned tells what a prune removes, or would.
type Pruned struct {
	History   time.Time `json:"history,omitzero"`   // revisions before it go; the newest of them stays as a base
	Envelopes time.Time `json:"envelopes,omitzero"` // signed reports recorded before it go
	CIs       int       `json:"cis"`                // that lose revisions
	Revisions int       `json:"revisions"`
	Reports   int       `json:"reports"`
	Contents  int       `json:"contents"` // removed because nothing names them any more, for a day or more
}

// base is where the history of a CI is to begin.
type base struct {
	ci     string
	first  uint64
	fields map[string]string
}

// period reads a time of years, weeks, days or hours, such as "7y"; empty is for
// ever, which is 0.
func period(s string) (time.Duration, error) {
	if s == "" || s == "forever" {
		return 0, nil
	}
	const day = 24 * time.Hour
	unit := map[byte]time.Duration{'y': 365 * day, 'w': 7 * day, 'd': day, 'h': time.Hour}[s[len(s)-1]]
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 16)
	if err != nil || unit == 0 || n == 0 || float64(n)*unit.Hours() > 200*365*24 {
		return 0, errors.New("want a number of y, w, d or h, such as 7y, or forever")
	}
	return time.Duration(n) * unit, nil
}

// limits gives the times before which things go; the zero time where nothing does.
func (c Config) limits(now time.Time) (history, envelopes time.Time, err error) {
	h, err := period(c.KeepHistory)
	e, eerr := period(c.KeepEnvelopes)
	if err = errors.Join(err, eerr); err != nil {
		return history, envelopes, err
	}
	if h > 0 {
		history = now.Add(-h)
	}
	if e > 0 {
		envelopes = now.Add(-e)
	}
	return history, envelopes, nil
}

// prune removes what the configuration does not keep. by is who wanted it, for
// the log. Receipts, hashes and the leaves of the log stay.
func (e *eraser) prune(ctx context.Context, cfg Config, by string, dry bool) (p Pruned, err error) {
	if p.History, p.Envelopes, err = cfg.limits(e.now()); err != nil {
		return p, err
	}
	var bases []base
	var reports []blob
	err = e.view(ctx, func(r store.Reader, v cmdb.View) (err error) {
		p.CIs, p.Revisions = 0, 0
		if bases, err = e.bases(ctx, v, &p); err != nil {
			return err
		}
		reports, err = e.oldReports(r, p.Envelopes)
		return err
	})
	p.Reports = len(reports)
	if err != nil || dry {
		return p, err
	}
	if p.Revisions+p.Reports > 0 {
		if err := e.began(ctx, by, p); err != nil {
			return p, err
		}
	}
	for _, b := range bases {
		if err := e.rebase(ctx, b); err != nil {
			return p, fmt.Errorf("prune CI %s: %w", b.ci, err)
		}
	}
	for _, b := range reports {
		err := e.removeOne(ctx, b)
		if err == nil {
			err = store.UpdateAgain(ctx, e.writes, func(tx store.Tx) error { return ingest.DropEnvelope(tx, e.tenant, b.name) })
		}
		if err != nil {
			return p, fmt.Errorf("prune: %w", err)
		}
	}
	if len(bases) > 0 {
		e.stale()
	}
	p.Contents, err = e.sweep(ctx)
	return p, err
}

// bases finds the CIs that have revisions to lose.
func (e *eraser) bases(ctx context.Context, v cmdb.View, p *Pruned) (all []base, err error) {
	if p.History.IsZero() {
		return nil, nil
	}
	for ci, err := range v.All() {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r, err := v.AsOf(ci, p.History)
		if errors.Is(err, cmdb.ErrNotFound) || err == nil && r.N <= ci.From() {
			continue
		}
		if err != nil {
			return nil, err
		}
		fields, err := v.FieldsAsOf(ci, r.N)
		if err != nil {
			return nil, err
		}
		p.CIs++
		p.Revisions += int(r.N - ci.From())
		all = append(all, base{ci.ID, r.N, fields})
	}
	return all, nil
}

// oldReports finds the envelopes that were recorded before a time. The newest of
// each key stays: it signs for what the machine is now.
func (e *eraser) oldReports(r store.Reader, before time.Time) (all []blob, err error) {
	if before.IsZero() {
		return nil, nil
	}
	newest := map[string]uint64{}
	err = ingest.Receipts(r, e.tenant, func(key string, rec identity.Receipt) error {
		newest[key] = max(newest[key], rec.Index)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = ingest.Receipts(r, e.tenant, func(key string, rec identity.Receipt) error {
		if rec.At >= before.UnixMilli() || rec.Index == newest[key] {
			return nil
		}
		hash := fact.Digest(rec.Envelope)
		_, err := ingest.Envelope(r, e.tenant, hash)
		if err == nil {
			all = append(all, blob{kindEnvelope, hash})
		}
		if errors.Is(err, store.ErrNoBlob) {
			err = nil
		}
		return err
	})
	return all, err
}

// began writes to the log what will go, and for the checks since when envelopes
// may be missing.
func (e *eraser) began(ctx context.Context, by string, p Pruned) error {
	detail := map[string]string{"do": "prune", "revisions": strconv.Itoa(p.Revisions), "reports": strconv.Itoa(p.Reports)}
	for name, t := range map[string]time.Time{"history before": p.History, "reports before": p.Envelopes} {
		if !t.IsZero() {
			detail[name] = t.UTC().Format(time.RFC3339)
		}
	}
	return e.writes.Update(ctx, func(tx store.Tx) error {
		if _, err := evidence.In(tx, e.tenant).Append(e.now(), evidence.Entry{Kind: evidence.Purge, By: by, Detail: detail}); err != nil {
			return err
		}
		if p.Revisions > 0 {
			if err := setStale(tx, e.tenant, e.now()); err != nil {
				return err
			}
		}
		if p.Reports == 0 {
			return nil
		}
		return ingest.PutPruned(tx, e.tenant, p.Envelopes)
	})
}

// rebase removes the revisions of a CI before its base, some at a time: each
// time the next one becomes the base for the moment.
func (e *eraser) rebase(ctx context.Context, b base) error {
	for {
		var ci cmdb.CI
		next, fields := b.first, b.fields
		err := e.view(ctx, func(_ store.Reader, v cmdb.View) (err error) {
			if ci, err = v.CI(b.ci); err != nil || ci.From()+portion >= b.first {
				return err
			}
			next = ci.From() + portion
			fields, err = v.FieldsAsOf(ci, next)
			return err
		})
		if errors.Is(err, cmdb.ErrNotFound) || err == nil && ci.From() >= b.first {
			return nil
		}
		if err == nil {
			err = store.UpdateAgain(ctx, e.writes, func(tx store.Tx) error {
				_, err := cmdb.In(tx, e.tenant, cmdb.Everywhere).Prune(b.ci, next, fields)
				return err
			})
		}
		if err != nil {
			return err
		}
	}
}

// tend does what has to be done every day: old history and what nothing names go.
func (s *Server) tend(ctx context.Context) error {
	if err := s.eraser.goOn(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("an erasure is not complete", "err", err)
	}
	for wait := time.Hour; ; wait = 24 * time.Hour {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
		p, err := s.eraser.prune(ctx, s.cfg, "server: keep_history and keep_envelopes", false)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.log.Error("what is old cannot be removed", "err", err)
			continue
		}
		s.log.Info("removed what is not kept", "revisions", p.Revisions, "reports", p.Reports, "contents", p.Contents)
	}
}

// goOnRevoking completes at once, and then each minute, the revocations of many
// keys that were cut short.
func (s *Server) goOnRevoking(ctx context.Context) error {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		if err := s.service.GoOnRevoking(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("a revocation of many keys is not complete", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// Prune removes what the configuration does not keep, or with dry tells what it
// would. The server must not run: a running one does it every day.
func Prune(ctx context.Context, cfg Config, dry bool, log *slog.Logger) (p Pruned, err error) {
	s, err := New(ctx, cfg, "", log)
	if err != nil {
		return p, err
	}
	s.eraser.writes, s.eraser.grace = s.engine, 0 // no upload is under way
	if p, err = s.eraser.prune(ctx, cfg, "rollcall-server prune", dry); err == nil && !dry {
		var more int
		more, err = s.eraser.sweep(ctx) // what the first one noted
		p.Contents += more
	}
	return p, errors.Join(err, s.engine.Close())
}
