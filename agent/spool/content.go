package spool

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
)

func hashOf(b []byte) [32]byte { return sha256.Sum256(b) }

// Put keeps a file content for the report that is appended next. It is durable
// once Append has returned, and goes when no waiting report names it. The error
// wraps ErrFull if there is no room; the report may then go without it, and the
// content has to be read again should the server ask for it.
func (s *Spool) Put(d fact.Digest, b []byte) error {
	if fact.Digest(hashOf(b)) != d {
		return fmt.Errorf("keep content %.12s: its digest is another", d)
	}
	if _, there := s.contents[d]; there {
		delete(s.keptOnly, d)
		return nil
	}
	if s.bytes()+int64(len(b)) > s.opt.MaxBytes {
		return fmt.Errorf("keep content %.12s: %w", d, ErrFull)
	}
	if err := s.files.add(contentDir+"/"+d.String(), b); err != nil {
		return err
	}
	s.contents[d] = int64(len(b))
	s.unsynced = true
	return nil
}

// Flush makes contents durable that were Put for a report that waits already.
func (s *Spool) Flush() error {
	if !s.unsynced {
		return nil
	}
	s.unsynced = false
	return s.files.sync()
}

// Content returns a content that a waiting report names. The error wraps
// ErrNoContent if it is not here or damaged.
func (s *Spool) Content(d fact.Digest) ([]byte, error) {
	name := contentDir + "/" + d.String()
	b, err := s.files.read(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("content %.12s: %w", d, ErrNoContent)
	case err != nil:
		return nil, err
	case fact.Digest(hashOf(b)) == d:
		return b, nil
	}
	delete(s.contents, d)
	s.problem("content %.12s: damaged on disk, put aside", d)
	return nil, errors.Join(fmt.Errorf("content %.12s: %w", d, ErrNoContent), s.files.quarantine(name))
}

// tidyContents removes the contents that no report names.
func (s *Spool) tidyContents() error {
	waiting, kept := s.named()
	s.keptOnly = map[fact.Digest]bool{}
	for d := range s.contents {
		if kept[d] {
			s.keptOnly[d] = true
		}
		if waiting[d] || kept[d] {
			continue
		}
		if err := s.files.remove(contentDir + "/" + d.String()); err != nil {
			return err
		}
		delete(s.contents, d)
	}
	return nil
}

// bytes is the size of what waits.
func (s *Spool) bytes() int64 {
	var n int64
	for _, e := range s.waiting {
		n += e.size
	}
	for d, size := range s.contents {
		if !s.keptOnly[d] {
			n += size
		}
	}
	return n
}

// Status is what a person wants to know of a spool.
type Status struct {
	Waiting  int
	Bytes    int64     // of envelopes and contents that wait
	Kept     int       // acknowledged reports that are kept
	Oldest   time.Time // claimed time of the oldest report that waits
	Seq      uint64    // of the last acknowledged report
	Recorded time.Time // server time of it; zero if there is none
	Number   uint64    // how many reports of the key were recorded by then
	Leaf     *uint64   // of it in the evidence log; nil where the receipt does not say
	Reports  []Report  // the last ones that are still here, the newest last
	Full     bool      // the next report will be a full one
	Gap      string    // why
}

// Report is one report in the spool.
type Report struct {
	Seq          uint64
	At           time.Time // claimed
	Full         bool
	Bytes        int64 // of its envelope
	Acknowledged bool
}

// lastReports is how many reports Status tells of.
const lastReports = 5

// Status tells how things stand.
func (s *Spool) Status() Status {
	st := Status{Waiting: len(s.waiting), Kept: len(s.kept), Bytes: s.bytes(), Seq: s.chain.Seq, Full: s.fullNeeded() || s.chain.Seq == 0 && len(s.waiting) == 0, Gap: s.chain.Reason}
	if len(s.waiting) > 0 {
		st.Oldest = time.UnixMilli(s.waiting[0].at)
	}
	if s.chain.At != 0 {
		st.Recorded = time.UnixMilli(s.chain.At)
	}
	if r, err := identity.ReadReceipt(s.chain.Receipt); err == nil {
		st.Number = r.Index
		if r.Logged {
			st.Leaf = &r.Leaf
		}
	}
	return st
}

// last lists the newest reports.
func (s *Spool) last() []Report {
	all := slices.Concat(s.kept, s.waiting)
	var out []Report
	for _, e := range all[max(0, len(all)-lastReports):] {
		out = append(out, Report{Seq: e.seq, At: time.UnixMilli(e.at).UTC(), Full: e.full, Bytes: e.size, Acknowledged: e.seq <= s.chain.Seq})
	}
	return out
}

// LastReceipt returns the last receipt in its binary form, nil before the first.
func (s *Spool) LastReceipt() []byte { return s.chain.Receipt }

// Look tells the status of the spool in folder dir while another process may be
// using it. Nothing is changed.
func Look(dir string) (Status, error) {
	d := &disk{dir: dir}
	names, err := d.list("")
	if err != nil {
		return Status{}, err
	}
	s := &Spool{files: d, opt: Options{}.withDefaults()}
	if b, err := d.read(chainFile); err == nil {
		if s.chain, err = decodeChain(b); err != nil {
			return Status{}, fmt.Errorf("spool %s: %w", dir, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Status{}, err
	}
	for _, seq := range sequences(names) {
		b, err := d.read((entry{seq: seq}).name())
		if err != nil {
			continue
		}
		switch r, err := decode(b); {
		case err != nil:
		case seq <= s.chain.Seq:
			s.kept = append(s.kept, entryOf(r, b))
		case !s.chain.dropped(seq):
			s.waiting = append(s.waiting, entryOf(r, b))
		}
	}
	contents, err := d.list(contentDir)
	if err != nil {
		return Status{}, err
	}
	s.contents = map[fact.Digest]int64{}
	for name, size := range contents {
		if dg, err := fact.ParseDigest(name); err == nil {
			s.contents[dg] = size
		}
	}
	_, s.keptOnly = s.named()
	st := s.Status()
	st.Reports = s.last()
	return st, nil
}
