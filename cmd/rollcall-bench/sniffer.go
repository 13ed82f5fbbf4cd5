package main

import (
	"crypto/sha256"
	"sync"

	"rollcall/agent/etc"
)

// sniffer remembers which contents look like secrets. Machines of one school hold
// mostly the same files, and judging them is most of the work of a first look.
type sniffer struct {
	mu    sync.Mutex
	known map[[32]byte][2]bool
}

func (s *sniffer) sniff(piece []byte) (secret, comment bool) {
	sum := sha256.Sum256(piece)
	s.mu.Lock()
	got, ok := s.known[sum]
	s.mu.Unlock()
	if ok {
		return got[0], got[1]
	}
	secret, comment = etc.Sniff(piece)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[[32]byte][2]bool{}
	}
	s.known[sum] = [2]bool{secret, comment}
	return secret, comment
}
