package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rollcall/internal/identity"
	"rollcall/server/api"
	"rollcall/server/evidence"
	"rollcall/server/store"
)

// checkpointEvery is how often the log is signed, if it has grown.
const checkpointEvery = time.Minute

// logVerifier is the verifier key of the log of a server.
func (c Config) logVerifier(realm []byte, logKey identity.Key) (string, error) {
	return evidence.LogVerifier(evidence.Origin(realm, c.Tenant), identity.Public(logKey))
}

// loadVerifier reads the log's key of a data folder for it.
func (c Config) loadVerifier(realm []byte) (string, error) {
	logKey, err := identity.LoadKey(c.LogKeyFile())
	if err != nil {
		return "", err
	}
	return c.logVerifier(realm, logKey)
}

// proofs is how the log is recognised: the server's key vouches for the log's.
func (s *Server) proofs(keys serverKeys) (api.LogKey, error) {
	vkey, err := s.cfg.logVerifier(s.service.Ingest.RealmID(), s.logKey)
	return api.LogKey{
		Verifier: vkey, Endorsement: identity.SignStatement(s.key, identity.TypeLogKey, identity.Public(s.logKey)),
		Switches: keys.Switches,
		Trouble: func() error {
			if err := s.trouble.Load(); err != nil {
				return *err
			}
			return nil
		},
		Sign: s.trySign,
	}, err
}

func (s *Server) signCheckpoints(ctx context.Context) error {
	t := time.NewTicker(checkpointEvery)
	defer t.Stop()
	for {
		s.logTicks(ctx, false)
		s.signCheckpoint(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// logTicks writes down who was alive on the days that are over, or with all until
// now. What cannot be written is tried again a minute later.
func (s *Server) logTicks(ctx context.Context, all bool) {
	err := s.service.Ingest.LogTicks(ctx, all)
	if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrReadOnly) {
		s.log.Error("who was alive is not in the evidence log", "err", err)
	}
}

// signCheckpoint signs the log if it has grown. What goes wrong is logged and
// shown to operators until it is well again.
func (s *Server) signCheckpoint(ctx context.Context) {
	err := s.trySign(ctx)
	if err != nil && ctx.Err() != nil {
		return
	}
	if err == nil {
		s.trouble.Store(nil)
		return
	}
	err = fmt.Errorf("no checkpoint is signed: %w", err)
	s.trouble.Store(&err)
	s.log.Error("evidence log", "err", err)
}

// trySign never signs a log that does not hold what was signed before: somebody
// with the log's key and the disk could otherwise let the server itself cover up.
func (s *Server) trySign(ctx context.Context) error {
	var note []byte
	err := s.engine.View(ctx, func(r store.Reader) error {
		v := evidence.At(r, s.cfg.Tenant)
		size, err := v.Size()
		if err != nil {
			return err
		}
		last, signed, err := lastCheckpoint(v, s.service.Proofs.Verifier)
		if err != nil || signed && last.Size == size {
			return errors.Join(err, stillHolds(v, last, signed))
		}
		if err := stillHolds(v, last, signed); err != nil {
			return err
		}
		root, err := v.Root(size)
		if err != nil {
			return err
		}
		origin, _, err := evidence.LogVerifierKey(s.service.Proofs.Verifier)
		if err != nil {
			return err
		}
		note, err = evidence.Checkpoint{Origin: origin, Size: size, Root: root}.Sign(s.logKey)
		return err
	})
	if err != nil || note == nil {
		return err
	}
	return s.writer.Update(ctx, func(tx store.Tx) error {
		return evidence.In(tx, s.cfg.Tenant).PutCheckpoint(s.service.Now(), note)
	})
}

// lastCheckpoint opens the newest checkpoint; signed is false if there is none.
func lastCheckpoint(v evidence.View, verifier string) (c evidence.Checkpoint, signed bool, err error) {
	s, err := v.Checkpoint()
	if err != nil || s.Note == nil {
		return c, false, err
	}
	c, _, err = evidence.OpenCheckpoint(s.Note, verifier)
	return c, err == nil, err
}

// stillHolds returns an error unless the log still begins as a checkpoint says.
func stillHolds(v evidence.View, c evidence.Checkpoint, signed bool) error {
	if !signed {
		return nil
	}
	root, err := v.Root(c.Size)
	if errors.Is(err, evidence.ErrNotFound) {
		size, err := v.Size()
		return errors.Join(fmt.Errorf("the log has %d leaves, %d were signed before: run rollcall-server check", size, c.Size), err)
	}
	if err == nil && root != c.Root {
		err = fmt.Errorf("the first %d leaves are not those that were signed before: run rollcall-server check", c.Size)
	}
	return err
}
