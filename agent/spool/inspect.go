package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"rollcall/internal/fact"
)

// Rules that a spool keeps whatever happens to its machine; docs/security.md says
// the same at length.
const (
	RuleNoGap   = "J1" // what waits continues what was acknowledged, without a gap
	RuleNoReuse = "J2" // no sequence number above those that are reserved on disk is in use
)

// Inspection is what Inspect found in a spool.
type Inspection struct {
	Acked    uint64 // sequence number of the last acknowledged report
	Receipt  []byte // for it
	Reserved uint64 // numbers up to it count as used
	Waiting  []Waiting
	Faults   map[string][]error // by rule
}

// Inspect reads the spool in folder dir, which no agent uses meanwhile, and
// checks its rules. Nothing is changed. What the next Open will drop by itself is
// no fault.
func Inspect(dir string) (Inspection, error) {
	in := Inspection{Faults: map[string][]error{}}
	d := &disk{dir: dir}
	c, err := inspectChain(d)
	if err != nil {
		return in, err
	}
	in.Acked, in.Receipt = c.Seq, c.Receipt
	b, err := d.read(seqFile)
	if err == nil {
		in.Reserved, err = strconv.ParseUint(strings.TrimSpace(string(b)), 10, 63)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return in, fmt.Errorf("inspect spool %s: %w", dir, err)
	}
	names, err := d.list("")
	if err != nil {
		return in, err
	}
	prev := c.Prev
	for _, seq := range sequences(names) {
		if c.dropped(seq) {
			continue
		}
		env, err := d.read((entry{seq: seq}).name())
		if err != nil {
			return in, err
		}
		r, err := decode(env)
		switch {
		case err != nil:
			err = fmt.Errorf("report %d: %w", seq, err)
		case r.seq != seq || !bytes.Equal(r.prev, prev):
			err = fmt.Errorf("report %d: %w", seq, ErrOrder)
		}
		if err != nil {
			in.Faults[RuleNoGap] = append(in.Faults[RuleNoGap], err)
			break
		}
		prev = r.hash[:]
		in.Waiting = append(in.Waiting, Waiting{Seq: seq, Hash: r.hash, Full: r.full, Envelope: env})
	}
	used := c.Seq
	if n := len(in.Waiting); n > 0 {
		used = in.Waiting[n-1].Seq
	}
	if used > in.Reserved {
		in.Faults[RuleNoReuse] = append(in.Faults[RuleNoReuse], fmt.Errorf("number %d is in use, only those up to %d are reserved", used, in.Reserved))
	}
	return in, nil
}

// inspectChain reads the chain or its copy, as Open does.
func inspectChain(d *disk) (c chain, err error) {
	for _, name := range []string{chainFile, chainCopy} {
		var b []byte
		if b, err = d.read(name); err == nil {
			c, err = decodeChain(b)
		}
		if err == nil {
			return c, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return chain{}, nil
	}
	return c, fmt.Errorf("inspect spool %s: %w", d.dir, err)
}

// SequenceOf returns the sequence number of an envelope and its hash.
func SequenceOf(envelope []byte) (uint64, fact.Digest, error) {
	r, err := decode(envelope)
	return r.seq, r.hash, err
}
