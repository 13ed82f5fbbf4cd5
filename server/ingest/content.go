package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store"
)

// MaxContent is the size in bytes of the largest file content that is kept.
const MaxContent = store.MaxBlob

// contentCost is what the quota counts for a content beside its bytes, so that
// empty ones are not without end.
const contentCost = 512

// ErrContent is returned for content that is not what its digest says.
var ErrContent = errors.New("the content does not match its digest")

// CheckContent turns bytes that an enrolled key uploads into a content, if they
// have the digest that they should have and the key has quota left.
func (s *Service) CheckContent(key identity.KeyID, d fact.Digest, content []byte) (cmdb.Content, error) {
	if err := s.takeQuota(key, len(content)+contentCost, 0); err != nil {
		return cmdb.Content{}, err
	}
	if len(content) > MaxContent || sha256.Sum256(content) != d {
		return cmdb.Content{}, fmt.Errorf("content %s of %d bytes: %w", d, len(content), ErrContent)
	}
	return cmdb.Content{Digest: d, Bytes: content, Sealed: isSealed(content)}, nil
}

// PutContents stores contents that an enrolled key uploads. They are worth nothing
// until a signed report names them, of a machine of the site where this one stands.
func (s *Service) PutContents(ctx context.Context, key identity.KeyID, all []cmdb.Content) error {
	var ci cmdb.CI
	err := s.Engine.View(ctx, func(r store.Reader) error {
		k, err := enrol.At(r, s.Tenant).Key(key)
		if err != nil {
			return err
		}
		ci, err = cmdb.At(r, s.Tenant, s.Sets, cmdb.Everywhere).CI(k.CI)
		return err
	})
	if err != nil {
		return err
	}
	if err := cmdb.PutContents(ctx, s.Writer, s.Tenant, ci.Site, s.now(), all); err != nil {
		return err
	}
	came := make([]fact.Digest, len(all))
	for i, c := range all {
		came[i] = c.Digest
	}
	s.asked.answered(ci.Site, came)
	return nil
}

// isSealed tells whether a content is an age file.
func isSealed(b []byte) bool {
	const head = "age-encryption.org/v1\n"
	return len(b) > len(head) && string(b[:len(head)]) == head
}

// Beside runs fn while nothing that it finds in the store is removed: for those who
// store sets of their own, beside reports.
func (s *Service) Beside(fn func() error) error {
	s.alone.RLock()
	defer s.alone.RUnlock()
	return fn()
}

// Alone runs fn while no report is between finding a content in the store and
// being recorded with its name: the time to remove contents.
func (s *Service) Alone(fn func() error) error {
	s.alone.Lock()
	defer s.alone.Unlock()
	defer s.gaps.forget()
	s.epoch++
	return fn()
}
