package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
)

// What the server has acknowledged is kept for a while, with the contents that
// it names: a server that was restored from a backup has lost it, and asks. It
// lies where it lay when it waited; its number is not above the chain's. It is a
// chain without a gap that ends at the last acknowledged report.

// Defaults of Options.
const (
	DefaultKeepBytes = 20 << 20
	DefaultKeepAge   = 7 * 24 * time.Hour
)

// ErrNotKept says that a report is not here any more.
var ErrNotKept = errors.New("report is not kept any more")

// loadKept finds what is kept among the files at or before the acknowledged end,
// and removes the others.
func (s *Spool) loadKept(seqs []uint64) error {
	want := s.chain.Prev
	for i, seq := range slices.Backward(seqs) {
		var r report
		b, err := s.files.read((entry{seq: seq}).name())
		if err != nil {
			return err
		}
		if len(want) == 0 || s.opt.KeepBytes <= 0 {
			err = ErrOrder
		} else if r, err = decode(b); err == nil && (r.seq != seq || !bytes.Equal(r.hash[:], want)) {
			err = ErrOrder
		}
		if err != nil { // nothing is lost that the server does not have
			return s.removeAll(seqs[:i+1])
		}
		want = r.prev
		s.kept = append(s.kept, entryOf(r, b))
	}
	slices.Reverse(s.kept)
	return nil
}

func (s *Spool) removeAll(seqs []uint64) error {
	slices.Reverse(s.kept)
	for _, seq := range seqs {
		if err := s.files.remove((entry{seq: seq}).name()); err != nil {
			return err
		}
	}
	return nil
}

// keep takes over a report that was acknowledged.
func (s *Spool) keep(e entry) error {
	if s.opt.KeepBytes <= 0 {
		return s.files.remove(e.name())
	}
	s.kept = append(s.kept, e)
	return nil
}

// Tidy drops what is kept for longer than it should be, or in more bytes.
func (s *Spool) Tidy(now time.Time) error {
	for len(s.kept) > 0 {
		room := min(s.opt.KeepBytes, s.opt.MaxBytes-s.bytes())
		if old := now.Sub(time.UnixMilli(s.kept[0].at)) > s.opt.KeepAge; !old && s.keptBytes() <= room {
			return nil
		}
		if err := s.files.remove(s.kept[0].name()); err != nil {
			return err
		}
		s.kept = s.kept[1:]
		if err := s.tidyContents(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Spool) keptBytes() int64 {
	var n int64
	for _, e := range s.kept {
		n += e.size
	}
	for d := range s.keptOnly {
		n += s.contents[d]
	}
	return n
}

// KeptFrom returns the number of the oldest acknowledged report that is kept; 0
// if none is.
func (s *Spool) KeptFrom() uint64 {
	if len(s.kept) == 0 {
		return 0
	}
	return s.kept[0].seq
}

// Since lists the acknowledged reports that follow the one with the hash have,
// oldest first; an empty one stands before the first report of a key. ok is
// false if what is kept does not reach back to it.
func (s *Spool) Since(have []byte) (seqs []uint64, ok bool) {
	for _, e := range s.kept {
		ok = ok || bytes.Equal(e.prev, have)
		if ok {
			seqs = append(seqs, e.seq)
		}
	}
	return seqs, ok
}

// Kept returns one acknowledged report. The error wraps ErrNotKept if it is not
// here or damaged.
func (s *Spool) Kept(seq uint64) (Waiting, error) {
	i := slices.IndexFunc(s.kept, func(e entry) bool { return e.seq == seq })
	if i < 0 {
		return Waiting{}, fmt.Errorf("report %d: %w", seq, ErrNotKept)
	}
	e := s.kept[i]
	b, err := s.files.read(e.name())
	if errors.Is(err, fs.ErrNotExist) || err == nil && hashOf(b) != e.hash {
		return Waiting{}, fmt.Errorf("report %d: %w: damaged or gone", seq, ErrNotKept)
	}
	return Waiting{Seq: e.seq, Hash: e.hash, Full: e.full, Envelope: b}, err
}

// Renew keeps the receipt that the server gave for the last acknowledged report
// when it took that once more; r is what raw says.
func (s *Spool) Renew(r identity.Receipt, raw []byte) error {
	if !bytes.Equal(r.Envelope[:], s.chain.Prev) {
		return fmt.Errorf("renew receipt of %x: %w", r.Envelope[:6], ErrReceipt)
	}
	c := s.chain
	c.Receipt, c.At = raw, r.At
	return s.saveChain(c)
}

// Forget drops all acknowledged reports: the server cannot use them.
func (s *Spool) Forget() error {
	for len(s.kept) > 0 {
		if err := s.files.remove(s.kept[0].name()); err != nil {
			return err
		}
		s.kept = s.kept[1:]
	}
	return s.tidyContents()
}

// named splits the contents in those that waiting reports name, and those that
// acknowledged ones alone do.
func (s *Spool) named() (waiting, kept map[fact.Digest]bool) {
	waiting, kept = map[fact.Digest]bool{}, map[fact.Digest]bool{}
	for _, e := range s.waiting {
		for _, d := range e.refs {
			waiting[d] = true
		}
	}
	for i, e := range s.kept {
		here := e.refs[:0:0]
		for _, d := range e.refs {
			if _, ok := s.contents[d]; ok {
				here = append(here, d)
				kept[d] = !waiting[d]
			}
		}
		s.kept[i].refs = here // of a full report, a handful of a thousand
	}
	return waiting, kept
}
