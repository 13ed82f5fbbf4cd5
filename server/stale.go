package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"rollcall/server/cmdb"
	"rollcall/server/store"
)

// mirrorStale tells that the git mirror shows what was erased or pruned.
func (s *Server) mirrorStale() {
	select {
	case s.stale <- struct{}{}:
	default:
	}
}

// runMirror follows the outbox. Where there is no mirror though there is history,
// as after a restore from a backup, or where it shows what is gone, all of it is
// rendered first.
func (s *Server) runMirror(ctx context.Context) error {
	var revisions uint64
	var stale bool
	err := s.engine.View(ctx, func(r store.Reader) (err error) {
		if stale, err = isStale(r, s.cfg.Tenant); err == nil {
			revisions, err = cmdb.At(r, s.cfg.Tenant, nil, cmdb.Everywhere).Count()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("look at the mirror: %w", err)
	}
	switch _, err := os.Stat(s.cfg.mirrorDir()); {
	case errors.Is(err, fs.ErrNotExist) && revisions > 0:
		s.log.Warn("the git mirror is missing: it is rendered anew", "revisions", revisions)
		s.renderAnew(ctx)
	case stale:
		s.renderAnew(ctx)
	}
	return s.mirror.Run(ctx)
}

// followStale renders the mirror anew whenever it shows what is gone.
func (s *Server) followStale(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.stale:
			s.renderAnew(ctx)
		}
	}
}

// renderAnew makes the mirror anew. The mark goes only if it is the one of before:
// what was erased meanwhile is left for the next time.
func (s *Server) renderAnew(ctx context.Context) {
	var mark []byte
	err := s.engine.View(ctx, func(r store.Reader) error {
		b, err := store.GetFramed(r, staleKey(s.cfg.Tenant))
		mark = bytes.Clone(b)
		return err
	})
	if err == nil {
		err = rebuild(ctx, s.cfg, s.mirror)
	}
	if err == nil && mark != nil {
		err = store.UpdateAgain(ctx, s.writer, func(tx store.Tx) error {
			now, err := store.GetFramed(tx, staleKey(s.cfg.Tenant))
			if err != nil || !bytes.Equal(now, mark) {
				return err
			}
			return tx.Delete(staleKey(s.cfg.Tenant))
		})
	}
	if err != nil && ctx.Err() == nil {
		s.log.Error("the git mirror cannot be rendered", "err", err)
	}
}

func isStale(g store.Getter, tenant string) (bool, error) {
	b, err := store.GetFramed(g, staleKey(tenant))
	return b != nil, err
}

func staleKey(tenant string) store.Key { return store.At(store.Meta, tenant, "/mirror-stale") }

// setStale notes, in the transaction that takes something away, that the mirror
// shows it still.
func setStale(tx store.Tx, tenant string, now time.Time) error {
	return store.PutFramed(tx, staleKey(tenant), binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano())))
}
