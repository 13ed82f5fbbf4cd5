package spool

import (
	"fmt"

	"rollcall/internal/fact"
	"rollcall/internal/failpoint"
)

// Carried is a report that goes into a file for the server, with the digests of the
// contents that it names.
type Carried struct {
	Waiting
	Contents []fact.Digest
	Acked    bool // it is kept, the server has acknowledged it
}

// Carry calls fn with what goes into a file for a server that has no line to this
// machine, in order: the acknowledged reports that are kept, should the server have
// lost them, then all that wait. Those that wait are marked first, durably: the
// server may have recorded them from then on, so they stay until their receipts
// come, however much there is. Where that is more than the spool may hold, those
// that were carried before go again and no new ones: the receipts have to come first.
//
// A waiting report that is damaged on disk ends the list, as it ends what can be
// sent: the next Start makes a full report of it.
func (s *Spool) Carry(fn func(Carried) error) error {
	if err := s.markCarried(); err != nil {
		return err
	}
	failpoint.Hit(failpoint.SpoolCarried)
	for _, e := range s.kept {
		w, err := s.Kept(e.seq)
		if err != nil {
			continue // nothing is lost that was not acknowledged
		}
		if err := fn(Carried{w, e.refs, true}); err != nil {
			return err
		}
	}
	for _, e := range s.waiting {
		if e.seq > s.chain.Carried {
			return nil
		}
		b, err := s.files.read(e.name())
		if err != nil {
			return err
		}
		if hashOf(b) != e.hash {
			return fmt.Errorf("report %d: it was changed on disk: run rollcall-agent once, which makes a full report instead", e.seq)
		}
		if err := fn(Carried{Waiting{Seq: e.seq, Hash: e.hash, Full: e.full, Envelope: b}, e.refs, false}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Spool) markCarried() error {
	n := len(s.waiting)
	if n == 0 || s.waiting[n-1].seq <= s.chain.Carried {
		return nil
	}
	if s.waiting[0].seq <= s.chain.Carried && s.bytes() > s.opt.MaxBytes {
		return nil
	}
	c := s.chain
	c.Carried = s.waiting[n-1].seq
	return s.saveChain(c)
}

// Waits lists the reports that wait, oldest first, without their envelopes.
func (s *Spool) Waits() []Waiting {
	out := make([]Waiting, len(s.waiting))
	for i, e := range s.waiting {
		out[i] = Waiting{Seq: e.seq, Hash: e.hash, Full: e.full}
	}
	return out
}
