// Package bundle is the file that goes between a machine without a line and its
// server on a stick: signed reports, the contents that they name and a request for
// admission on the way there, receipts and answers on the way back.
//
// The file proves nothing by itself and is not encrypted: reports, requests,
// receipts and answers are signed each, contents are known by their digests, and
// what is secret was sealed before. The package promises that what is read back is
// what was written, that a file which was cut off or damaged is told from a whole
// one, that nothing in it makes a reader hold more than one bounded record, and
// that a file is there under its name either whole or not at all. What the records
// say is left to others.
package bundle

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// Kind says what a record is.
type Kind byte

// The kinds. Changing one breaks every file that is on its way.
const (
	Head      Kind = 'h' // BundleHead, always the first record
	Enrolment Kind = 'q' // public key (32 bytes), CarriedEnrolment as a statement that it signed
	Envelope  Kind = 'e' // identity.Envelope
	Content   Kind = 'c' // of a file
	Receipt   Kind = 'r' // identity.Receipt
	Answer    Kind = 'a' // CarriedAnswer as a signed statement
	end       Kind = '.' // SHA-256 of all before it
)

// Bounds of a file.
const (
	MaxRecords = 500_000
	MaxBytes   = 2 << 30
	MaxContent = 16 << 20 // of one content, see store.MaxBlob
	maxHead    = 4 << 10
	maxUnknown = 8 << 20 // of a record of a kind that a later program writes
)

// A file is "RCB1", then records: the kind (one byte), the length as uvarint, as
// many bytes. The last one is the end.
const magic = "RCB1"

// ErrDamaged is wrapped by every error about a file that is no bundle, or not a
// whole one.
var ErrDamaged = errors.New("the file is damaged or cut off")

// Writer writes one bundle.
type Writer struct {
	w   *bufio.Writer
	sum hash.Hash
	n   int
	err error
}

// NewWriter begins a bundle with its head.
func NewWriter(w io.Writer, head *rollcallv1.BundleHead) (*Writer, error) {
	out := &Writer{sum: sha256.New()}
	out.w = bufio.NewWriter(w)
	out.write([]byte(magic))
	b, err := proto.Marshal(head)
	if err == nil && len(b) > maxHead {
		err = errors.New("it is too large")
	}
	if err != nil {
		return nil, fmt.Errorf("write head of bundle: %w", err)
	}
	return out, out.Add(Head, b)
}

func (w *Writer) write(b []byte) {
	if w.err == nil {
		w.sum.Write(b)
		_, w.err = w.w.Write(b)
	}
}

// Add appends a record.
func (w *Writer) Add(k Kind, b []byte) error {
	if w.n++; w.n > MaxRecords || len(b) > limit(k) {
		return fmt.Errorf("write bundle: record %d of %d bytes is over the limit", w.n, len(b))
	}
	w.write(binary.AppendUvarint([]byte{byte(k)}, uint64(len(b))))
	w.write(b)
	if w.err != nil {
		return fmt.Errorf("write bundle: %w", w.err)
	}
	return nil
}

// Close writes the end, without which the bundle is not whole.
func (w *Writer) Close() error {
	if err := w.Add(end, w.sum.Sum(nil)); err != nil {
		return err
	}
	if err := w.w.Flush(); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

func limit(k Kind) int {
	switch k {
	case Head:
		return maxHead
	case Enrolment, Answer:
		return identity.MaxStatement + 1<<10
	case Envelope:
		return identity.MaxEnvelope
	case Content:
		return MaxContent
	case Receipt:
		return 1 << 10
	case end:
		return sha256.Size
	}
	return maxUnknown
}

// Create writes a bundle into the file name, readable for its owner alone where
// the file system knows owners. fill adds the records; if it fails, or the process
// ends before it is done, whatever was there under the name is there still.
func Create(name string, head *rollcallv1.BundleHead, fill func(*Writer) error) error {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, ".rollcall-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	w, err := NewWriter(f, head)
	if err == nil {
		err = fill(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return identity.SyncDir(dir)
}
