// Package spool keeps signed reports, and the file contents that they name,
// until the server has acknowledged them: on disk where there is one, in memory
// on diskless clients.
//
// It promises that
//   - a sequence number is never given out twice, also after a crash;
//   - what waits is a chain without a gap: every report names the hash of the
//     one before and starts from the state that the one before leads to;
//   - a report that the server may have recorded is never dropped, so that the
//     chain never forks by itself;
//   - what the server acknowledged stays for a week, within bounds, for a server
//     that has lost it (see Since);
//   - what a crash or a bad disk left behind is put aside and named, and costs
//     at most one full report.
//
// It knows which state the server has acknowledged and which one it will have
// once everything that waits has arrived, so that deltas stack while a machine
// is offline. Making, signing and sending reports is left to others.
//
// A Spool is used by one goroutine at a time.
package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/fact"
)

// Defaults of Options.
const (
	DefaultMaxBytes = 64 << 20
	DefaultMaxAge   = 30 * 24 * time.Hour
)

// Errors that callers branch on.
var (
	ErrBusy      = errors.New("another rollcall-agent is using it")
	ErrFull      = errors.New("spool is full")
	ErrNoContent = errors.New("content is not in the spool")
	ErrOrder     = errors.New("report does not continue the chain")
	ErrReceipt   = errors.New("receipt is for another report")
)

// Options bounds a spool. The zero value means the defaults.
type Options struct {
	MaxBytes int64         // of envelopes and contents together
	MaxAge   time.Duration // of a report that waits, by the claimed times

	// What the server has acknowledged stays until there is more of it than
	// KeepBytes, or until it is older than KeepAge. Within MaxBytes it yields to
	// what waits. Negative: nothing is kept.
	KeepBytes int64
	KeepAge   time.Duration
}

// Spool is the queue and the memory of what the server has.
type Spool struct {
	files    files
	opt      Options
	chain    chain
	nextSeq  uint64 // last number given out
	reserved uint64 // last number reserved on disk
	waiting  []entry
	kept     []entry // acknowledged, oldest first
	contents map[fact.Digest]int64
	keptOnly map[fact.Digest]bool // contents that no waiting report names
	unsynced bool
	stray    string // a file that a failed Append may have left
	started  Base
	problems []error
}

type entry struct {
	seq  uint64
	hash [32]byte
	prev []byte
	size int64
	at   int64
	full bool
	refs []fact.Digest
}

func (e entry) name() string { return fmt.Sprintf("%020d%s", e.seq, envSuffix) }

// Open opens or makes the spool in folder dir. It returns an error that wraps
// ErrBusy if another process holds it. Damaged files are no error: they are put
// aside in dir/bad and listed by Problems.
func Open(dir string, o Options) (*Spool, error) {
	d, err := openDisk(dir)
	if err != nil {
		return nil, err
	}
	s, err := open(d, o)
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return s, nil
}

// InMemory returns an empty spool that lives as long as the process.
func InMemory(o Options) *Spool {
	o.KeepBytes = -1 // a reboot ends key and chain
	return &Spool{files: memory{}, opt: o.withDefaults(), contents: map[fact.Digest]int64{}}
}

// Close gives the folder free.
func (s *Spool) Close() error { return s.files.close() }

// Problems returns what was found damaged since the spool was opened, and
// forgets it.
func (s *Spool) Problems() []error {
	p := s.problems
	s.problems = nil
	return p
}

func (s *Spool) problem(format string, args ...any) {
	s.problems = append(s.problems, fmt.Errorf("spool: "+format, args...))
}

func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxAge == 0 {
		o.MaxAge = DefaultMaxAge
	}
	if o.KeepBytes == 0 {
		o.KeepBytes = DefaultKeepBytes
	}
	if o.KeepAge == 0 {
		o.KeepAge = DefaultKeepAge
	}
	return o
}

func open(f files, o Options) (*Spool, error) {
	s := &Spool{files: f, opt: o.withDefaults(), contents: map[fact.Digest]int64{}}
	names, err := f.list("")
	if err != nil {
		return nil, err
	}
	trusted, err := s.loadChain()
	if err != nil {
		return nil, err
	}
	seqs := sequences(names)
	known := s.chain.Seq
	if n := len(seqs); n > 0 {
		known = max(known, seqs[n-1])
	}
	known = max(known, s.chain.DropTo)
	if err := s.loadSeq(known); err != nil {
		return nil, err
	}
	end, _ := slices.BinarySearch(seqs, s.chain.Seq+1)
	if err := s.loadKept(seqs[:end]); err != nil {
		return nil, err
	}
	if err := s.loadWaiting(seqs[end:], trusted); err != nil {
		return nil, err
	}
	for name := range names {
		if strings.HasPrefix(name, statePrefix) && name != stateName(s.chain.Seq) {
			if err := f.remove(name); err != nil {
				return nil, err
			}
		}
	}
	return s, s.loadContents()
}

// loadChain reads the chain file or its copy; trusted is false if both were
// lost though the spool is not new.
func (s *Spool) loadChain() (trusted bool, err error) {
	lost := false
	for _, name := range []string{chainFile, chainCopy} {
		b, err := s.files.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		c, err := decodeChain(b)
		if err == nil {
			s.chain = c
			return true, nil
		}
		lost = true
		s.problem("%s: %w: put aside", name, err)
		if err := s.files.quarantine(name); err != nil {
			return false, err
		}
	}
	if !lost {
		return true, nil
	}
	return false, s.saveChain(chain{Full: true, Reason: "the record of what was acknowledged was damaged", DropFrom: 1})
}

// loadWaiting reads the envelopes in order and stops at the first that is
// damaged or does not continue the chain: what is behind it cannot be sent.
func (s *Spool) loadWaiting(seqs []uint64, trusted bool) error {
	prev := s.chain.Prev
	for _, seq := range seqs {
		e := entry{seq: seq}
		if s.chain.dropped(seq) {
			if err := s.files.remove(e.name()); err != nil {
				return err
			}
			continue
		}
		b, err := s.files.read(e.name())
		if err != nil {
			return err
		}
		r, err := decode(b)
		if err == nil && (r.seq != seq || (trusted || len(s.waiting) > 0) && !bytes.Equal(r.prev, prev)) {
			err = ErrOrder
		}
		if err != nil {
			s.problem("report %d: %w: put aside with what follows it, a full report comes instead", seq, err)
			if err := s.files.quarantine(e.name()); err != nil {
				return err
			}
			return s.dropFrom(seq, seqs[len(seqs)-1], fmt.Sprintf("report %d was damaged on disk", seq))
		}
		prev = r.hash[:]
		s.waiting = append(s.waiting, entryOf(r, b))
	}
	return nil
}

func (s *Spool) loadContents() error {
	names, err := s.files.list(contentDir)
	if err != nil {
		return err
	}
	for name, size := range names {
		d, err := fact.ParseDigest(name)
		if err != nil {
			if err := s.files.quarantine(contentDir + "/" + name); err != nil {
				return err
			}
			continue
		}
		s.contents[d] = size
	}
	return s.tidyContents()
}

func entryOf(r report, envelope []byte) entry {
	return entry{seq: r.seq, hash: r.hash, prev: r.prev, size: int64(len(envelope)), at: r.at, full: r.full, refs: r.contents()}
}

func sequences(names map[string]int64) []uint64 {
	var seqs []uint64
	for name := range names {
		if stem, ok := strings.CutSuffix(name, envSuffix); ok {
			if n, err := strconv.ParseUint(stem, 10, 63); err == nil && (entry{seq: n}).name() == name {
				seqs = append(seqs, n)
			}
		}
	}
	slices.Sort(seqs)
	return seqs
}

func stateName(seq uint64) string { return fmt.Sprintf("%s%020d", statePrefix, seq) }
