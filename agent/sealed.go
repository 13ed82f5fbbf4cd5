package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
)

// sealed keeps the ciphertexts of secrets while they are unchanged: age makes
// another one each time, and a secret must not show as changed because of that.
// It implements etc.Store.
type sealed struct {
	dir    string                 // empty: in memory
	memory map[fact.Digest][]byte // with dir empty
}

func openSealed(c Config) (*sealed, error) {
	if c.InMemory {
		return &sealed{memory: map[fact.Digest][]byte{}}, nil
	}
	dir := filepath.Join(c.State, sealedDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep ciphertexts: %w", err)
	}
	return &sealed{dir: dir}, nil
}

func (s *sealed) name(d fact.Digest) string { return filepath.Join(s.dir, d.String()) }

// Has tells whether the ciphertext is here.
func (s *sealed) Has(d fact.Digest) bool {
	if s.dir == "" {
		return s.memory[d] != nil
	}
	_, err := os.Lstat(s.name(d))
	return err == nil
}

// Put keeps a ciphertext durably.
func (s *sealed) Put(d fact.Digest, b []byte) error {
	if s.dir == "" {
		s.memory[d] = b
		return nil
	}
	return identity.WriteFile(s.name(d), b)
}

func (s *sealed) get(d fact.Digest) ([]byte, error) {
	if s.dir == "" {
		if b, ok := s.memory[d]; ok {
			return b, nil
		}
		return nil, fmt.Errorf("ciphertext %.12s: %w", d, fs.ErrNotExist)
	}
	b, err := os.ReadFile(s.name(d))
	if err != nil {
		return nil, fmt.Errorf("ciphertext %.12s: %w", d, err)
	}
	return b, nil
}

// keep removes all but the named ones.
func (s *sealed) keep(named map[fact.Digest]bool) error {
	for d := range s.memory {
		if !named[d] {
			delete(s.memory, d)
		}
	}
	if s.dir == "" {
		return nil
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("tidy ciphertexts: %w", err)
	}
	for _, e := range entries {
		d, err := fact.ParseDigest(e.Name())
		if err == nil && named[d] {
			continue
		}
		if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("tidy ciphertexts: %w", err)
		}
	}
	return nil
}
