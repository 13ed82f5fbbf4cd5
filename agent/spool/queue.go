package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/failpoint"
	"rollcall/internal/identity"
)

// Base is where the next report starts from.
type Base struct {
	Seq  uint64 // its sequence number, reserved
	Prev []byte // hash of the report before it; empty for the first of a key

	// Sets is the expected state: what the server has acknowledged, with all
	// that waits applied. Where Full is set it is the best that is known, to
	// carry facts forward from, and no base for deltas.
	Sets map[string]fact.Set

	// Full says that the report must hold the whole state, and Gap why, in
	// words for its reason field. Gap is empty for the first report of a key.
	Full bool
	Gap  string
}

// State returns the digests of the expected state.
func (b Base) State() fact.State { return stateOf(b.Sets) }

// Start reserves a sequence number and tells what the next report has to build
// on. If too much waits, or for too long, everything but the oldest report is
// dropped first and a full report that says so takes its place; the oldest
// stays because the server may have recorded it and its receipt may be lost, and so
// do those that were carried.
func (s *Spool) Start(now time.Time) (Base, error) {
	if err := s.clearStray(); err != nil {
		return Base{}, err
	}
	if err := s.tidyContents(); err != nil {
		return Base{}, err
	}
	if err := s.squash(now); err != nil {
		return Base{}, err
	}
	if err := s.Tidy(now); err != nil {
		return Base{}, err
	}
	sets, err := s.expected()
	if err != nil {
		return Base{}, err
	}
	b := Base{Prev: s.chain.Prev, Sets: sets}
	if n := len(s.waiting); n > 0 {
		b.Prev = s.waiting[n-1].hash[:]
	}
	if s.chain.Seq == 0 && len(s.waiting) == 0 {
		b.Full = true
	}
	if s.fullNeeded() {
		b.Full, b.Gap = true, s.chain.Reason
	}
	if b.Seq, err = s.takeSeq(); err != nil {
		return Base{}, err
	}
	s.started = b
	return b, nil
}

// fullNeeded tells whether no full report was spooled since one became needed.
func (s *Spool) fullNeeded() bool {
	if !s.chain.Full {
		return false
	}
	n := len(s.waiting)
	return n == 0 || s.waiting[n-1].seq <= s.chain.DropTo
}

func (s *Spool) squash(now time.Time) error {
	first := 1
	for first < len(s.waiting) && s.waiting[first].seq <= s.chain.Carried {
		first++
	}
	if len(s.waiting) <= first {
		return nil
	}
	rest := s.waiting[first:]
	large := s.bytes() > s.opt.MaxBytes && (len(rest) > 1 || !rest[0].full)
	old := now.Sub(time.UnixMilli(rest[0].at)) > s.opt.MaxAge
	if !large && !old {
		return nil
	}
	from, to := rest[0].seq, rest[len(rest)-1].seq
	return s.dropFrom(from, to, fmt.Sprintf("reports %d to %d (%d of them, since %s) were dropped while the server was away",
		from, to, len(rest), time.UnixMilli(rest[0].at).UTC().Format(time.RFC3339)))
}

// dropFrom gives up the reports from a sequence number on and asks for a full
// one instead.
func (s *Spool) dropFrom(from, to uint64, reason string) error {
	c := s.chain
	if c.Full && c.Reason != "" {
		reason = joinGaps(c.Reason, reason) // the report that would have said it may be among the dropped
	}
	c.Full, c.Reason, c.DropFrom, c.DropTo = true, reason, from, max(to, from)
	s.started = Base{}
	if err := s.saveChain(c); err != nil {
		return err
	}
	kept := s.waiting[:0]
	for _, e := range s.waiting {
		if !c.dropped(e.seq) {
			kept = append(kept, e)
			continue
		}
		if err := s.files.remove(e.name()); err != nil {
			return err
		}
	}
	s.waiting = kept
	return s.tidyContents()
}

// maxGap bounds the statement of what is missing: a server keeps 500 bytes of a
// report's reason.
const maxGap = 400

// joinGaps puts two statements together. Where that becomes too long the first one,
// which says since when, and the last one stand, and that there is more between.
func joinGaps(old, now string) string {
	const more = "; …; "
	if joined := old + "; " + now; len(joined) <= maxGap {
		return joined
	}
	first, _, _ := strings.Cut(old, "; ")
	now = fact.Cut(now, maxGap/2)
	return fact.Cut(first, maxGap-len(now)-len(more)) + more + now
}

// expected replays what waits onto the acknowledged sets.
func (s *Spool) expected() (map[string]fact.Set, error) {
	sets, err := s.acknowledged()
	if err != nil {
		return nil, err
	}
	for _, e := range s.waiting {
		b, err := s.files.read(e.name())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		r, derr := decode(b)
		if err = errors.Join(err, derr); err == nil {
			var next map[string]fact.Set
			if next, err = r.apply(sets); err == nil {
				sets = next
				continue
			}
		}
		if sets == nil && s.chain.Full {
			continue // a delta on a state that is lost; its full successor will tell
		}
		last := s.waiting[len(s.waiting)-1].seq
		s.problem("report %d: %w: dropped with what follows it, a full report comes instead", e.seq, err)
		return sets, s.dropFrom(e.seq, last, fmt.Sprintf("report %d was damaged on disk", e.seq))
	}
	return sets, nil
}

// Acknowledged returns the sets that the server has acknowledged; nil if there are
// none, if they are damaged, or if something that changed them waits.
func (s *Spool) Acknowledged() (map[string]fact.Set, error) {
	if len(s.waiting) > 0 || s.chain.Full {
		return nil, nil
	}
	return s.acknowledged()
}

// acknowledged reads the acknowledged sets; nil if there are none, or if they
// are damaged, in which case the next report has to be full.
func (s *Spool) acknowledged() (map[string]fact.Set, error) {
	if s.chain.Seq == 0 {
		return nil, nil
	}
	name := stateName(s.chain.Seq)
	b, err := s.files.read(name)
	if err == nil {
		var sets map[string]fact.Set
		if sets, err = decodeState(b); err == nil {
			return sets, nil
		}
		if err := s.files.quarantine(name); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if s.chain.Full {
		return nil, nil
	}
	s.problem("%s: %w: a full report follows", name, err)
	c := s.chain
	c.Full, c.Reason, c.DropTo = true, "the copy of the acknowledged state was damaged", c.Seq
	if n := len(s.waiting); n > 0 {
		c.DropTo = s.waiting[n-1].seq
	}
	c.DropFrom = c.DropTo + 1 // nothing is dropped: what waits is good
	return nil, s.saveChain(c)
}

// Append makes a signed report durable. It has to be the one that Start asked
// for, with its contents Put before; else the error wraps ErrOrder.
func (s *Spool) Append(envelope []byte) error {
	r, err := decode(envelope)
	if err != nil {
		return fmt.Errorf("append report: %w", err)
	}
	b := s.started
	base := b.State().Digest()
	if b.Seq == 0 || r.seq != b.Seq || !bytes.Equal(r.prev, b.Prev) || b.Full && !r.full || !r.full && !bytes.Equal(r.base, base[:]) {
		return fmt.Errorf("append report %d: %w", r.seq, ErrOrder)
	}
	if err := s.Flush(); err != nil {
		return err
	}
	failpoint.Hit(failpoint.SpoolContent)
	e := entryOf(r, envelope)
	if err := s.files.write(e.name(), envelope); err != nil {
		s.stray = e.name() // it may be there, see clearStray
		return errors.Join(fmt.Errorf("append report %d: %w", r.seq, err), s.clearStray())
	}
	failpoint.Hit(failpoint.SpoolAppend)
	s.waiting = append(s.waiting, e)
	s.started = Base{}
	if err := s.tidyContents(); err != nil {
		return err
	}
	return s.Tidy(time.UnixMilli(e.at))
}

// clearStray removes the file of a report whose Append failed: the disk may hold all
// of it nevertheless, and a spool that is opened again would take it for one that
// waits, though another has taken its place in the chain. No report is begun before
// it is gone.
func (s *Spool) clearStray() error {
	if s.stray == "" {
		return nil
	}
	if err := s.files.remove(s.stray); err != nil {
		return err
	}
	s.stray = ""
	return nil
}

// Waiting is a report that has to be sent.
type Waiting struct {
	Seq      uint64
	Hash     [32]byte // of Envelope
	Full     bool
	Envelope []byte
}

// Next returns the oldest report that waits; ok is false if there is none.
func (s *Spool) Next() (w Waiting, ok bool, err error) {
	if len(s.waiting) == 0 {
		return w, false, nil
	}
	e := s.waiting[0]
	b, err := s.files.read(e.name())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return w, false, err
	}
	if err == nil && hashOf(b) == e.hash {
		return Waiting{Seq: e.seq, Hash: e.hash, Full: e.full, Envelope: b}, true, nil
	}
	s.problem("report %d: changed or gone on disk: a full report comes instead", e.seq)
	if err == nil {
		if err := s.files.quarantine(e.name()); err != nil {
			return w, false, err
		}
	}
	last := s.waiting[len(s.waiting)-1].seq
	return w, false, s.dropFrom(e.seq, last, fmt.Sprintf("report %d was damaged on disk", e.seq))
}

// Ack takes the oldest report out of the queue: r is the server's receipt for
// it, whose signature the caller has verified, and raw its binary form. If the
// receipt names another report, the error wraps ErrReceipt and nothing changes.
func (s *Spool) Ack(r identity.Receipt, raw []byte) error {
	if len(s.waiting) == 0 || s.waiting[0].hash != r.Envelope {
		return fmt.Errorf("acknowledge %x: %w", r.Envelope[:6], ErrReceipt)
	}
	e := s.waiting[0]
	b, err := s.files.read(e.name())
	if err != nil {
		return err
	}
	rep, err := decode(b)
	if err != nil {
		return fmt.Errorf("acknowledge report %d: %w", e.seq, err)
	}
	oldState := stateName(s.chain.Seq)
	known, err := s.advance(rep)
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.SpoolState)
	c := s.chain
	c.Seq, c.Prev, c.Receipt, c.At, c.State = e.seq, e.hash[:], raw, r.At, nil
	if known {
		c.State = rep.state
	}
	switch {
	case e.full && e.seq > c.DropTo:
		c.Full, c.Reason, c.DropFrom, c.DropTo = false, "", 0, 0
	case !known && !c.Full:
		c.Full, c.Reason, c.DropFrom, c.DropTo = true, "the acknowledged state is not known", e.seq+1, e.seq
	}
	if err := s.saveChain(c); err != nil {
		return err
	}
	failpoint.Hit(failpoint.SpoolRemove)
	s.waiting = s.waiting[1:]
	if err := s.keep(e); err != nil {
		return err
	}
	if err := s.files.remove(oldState); err != nil {
		return err
	}
	if err := s.tidyContents(); err != nil {
		return err
	}
	return s.Tidy(time.UnixMilli(e.at))
}

// advance writes the sets that a report leads to; known is false if they cannot
// be told because the sets before it are lost.
func (s *Spool) advance(rep report) (known bool, err error) {
	var sets map[string]fact.Set
	if !rep.full {
		if sets, err = s.acknowledged(); err != nil {
			return false, err
		}
	}
	next, err := rep.apply(sets)
	if errors.Is(err, fact.ErrBase) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	b, err := encodeState(next)
	if err != nil {
		return false, err
	}
	return true, s.files.write(stateName(rep.seq), b)
}

// Reset drops everything that waits and asks for a full report: the server has
// said that it has another state than the one that the oldest builds on.
func (s *Spool) Reset(reason string) error {
	from, to := s.chain.Seq+1, max(s.nextSeq, s.chain.Seq+1)
	return s.dropFrom(from, to, reason)
}
