package proof

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"rollcall/server/evidence"
)

// leavesMagic begins a file of all leaves; each follows as its length (2 bytes
// big-endian) and its bytes.
const leavesMagic = "rollcall leaves v1\n"

const maxLeaf = 1 << 10

// Leaves gives all leaves of a log in their order. It may be called once.
type Leaves func(yield func([]byte, error) bool)

// LeavesWriter writes a file of leaves.
type LeavesWriter struct{ w *bufio.Writer }

// NewLeavesWriter begins a file of leaves.
func NewLeavesWriter(w io.Writer) (*LeavesWriter, error) {
	b := bufio.NewWriter(w)
	_, err := b.WriteString(leavesMagic)
	return &LeavesWriter{b}, err
}

// Add writes the next leaf.
func (l *LeavesWriter) Add(leaf []byte) error {
	if len(leaf) > maxLeaf {
		return fmt.Errorf("write leaves: a leaf of %d bytes", len(leaf))
	}
	var head [2]byte
	binary.BigEndian.PutUint16(head[:], uint16(len(leaf)))
	_, err := l.w.Write(head[:])
	if err == nil {
		_, err = l.w.Write(leaf)
	}
	return err
}

// Flush ends the file.
func (l *LeavesWriter) Flush() error { return l.w.Flush() }

// ReadLeaves reads a file of leaves. A leaf is valid until the next one is read.
func ReadLeaves(r io.Reader) Leaves {
	return func(yield func([]byte, error) bool) {
		b := bufio.NewReaderSize(r, 1<<16)
		head := make([]byte, len(leavesMagic))
		if _, err := io.ReadFull(b, head); err != nil || string(head) != leavesMagic {
			yield(nil, fmt.Errorf("read leaves: it does not begin with %q", leavesMagic))
			return
		}
		buf := make([]byte, maxLeaf)
		for {
			_, err := io.ReadFull(b, head[:2])
			if errors.Is(err, io.EOF) {
				return
			}
			n := int(binary.BigEndian.Uint16(head))
			if err == nil && n > maxLeaf {
				err = fmt.Errorf("a leaf of %d bytes", n)
			}
			if err == nil {
				_, err = io.ReadFull(b, buf[:min(n, maxLeaf)])
			}
			if err != nil {
				yield(nil, fmt.Errorf("read leaves: %w", err))
				return
			}
			if !yield(buf[:n], nil) {
				return
			}
		}
	}
}

// aboutKeys are the kinds of leaves that decide who speaks for a CI.
var aboutKeys = []evidence.Kind{evidence.Enrol, evidence.Approve, evidence.Revoke, evidence.Adopt, evidence.Rotate, evidence.Resolve}

// allLeaves checks the file against all leaves of the log: they make the tree of
// the checkpoint, every leaf about the CI's keys up to the report is in the file or
// is of another key, and no other report of the CI came until the time asked about.
func (v *verifier) allLeaves() (string, error) {
	if v.leaf.Kind == "" || v.public == nil {
		return "", errBefore
	}
	var tree evidence.Growing
	n := uint64(0)
	var found error
	for b, err := range v.trust.Leaves {
		if err != nil {
			return "", err
		}
		if n == v.check.Size {
			break
		}
		tree.Add(b)
		if err := v.beside(n, b); err != nil && found == nil {
			found = err
		}
		n++
	}
	if n < v.check.Size {
		return "", fmt.Errorf("there are %d, the checkpoint is about %d", n, v.check.Size)
	}
	root, err := tree.Root()
	if err != nil {
		return "", err
	}
	if root != v.check.Root {
		return "", errors.New("they are not those of the checkpoint")
	}
	if found != nil {
		return "", found
	}
	return fmt.Sprintf("all %d were read: none about the machine's keys, and no other report until then, was left out", n), nil
}

// beside looks at one leaf that may speak against the file.
func (v *verifier) beside(n uint64, b []byte) error {
	leaf, err := evidence.ParseLeaf(b)
	if err != nil {
		return fmt.Errorf("leaf %d: %w", n, err)
	}
	if leaf.CI != v.CI || n == v.Report.Index {
		return nil
	}
	when := time.UnixMilli(leaf.At).UTC().Format(time.RFC3339)
	known := slices.ContainsFunc(v.keys, func(k opened) bool { return k.index == n })
	if slices.Contains(aboutKeys, leaf.Kind) && n < v.Report.Index && !known && n > v.since() {
		return fmt.Errorf("leaf %d (%s of this CI, %s) came between the key's admission and the report, and is not in the file", n, leaf.Kind, when)
	}
	later := slices.ContainsFunc(v.Later, func(l Leaf) bool { return l.Index == n })
	if leaf.Kind == evidence.Report && n > v.Report.Index && leaf.At <= v.At && !later {
		return fmt.Errorf("leaf %d is a report of this CI, received %s, and is not in the file", n, when)
	}
	return nil
}

// since is the index of the leaf that admitted the key.
func (v *verifier) since() uint64 {
	var at uint64
	for _, k := range v.keys {
		if k.index < v.Report.Index && k.entry.Admits {
			at = k.index
		}
	}
	return at
}
