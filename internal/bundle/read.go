package bundle

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"google.golang.org/protobuf/proto"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

// Record is one of a bundle.
type Record struct {
	Kind Kind
	Data []byte // its own memory
	At   int64  // where Data begins in the file
}

// Reader reads a bundle that anybody may have made.
type Reader struct {
	r    *bufio.Reader
	sum  hash.Hash
	at   int64
	n    int
	head *rollcallv1.BundleHead
	done bool
}

// NewReader reads the head of a bundle. What it says is nobody's word.
func NewReader(r io.Reader) (*Reader, error) {
	in := &Reader{r: bufio.NewReader(r), sum: sha256.New()}
	b, err := in.take(len(magic))
	if err != nil || string(b) != magic {
		return nil, fmt.Errorf("read bundle: %w: it does not begin with %s", ErrDamaged, magic)
	}
	in.sum.Write(b)
	rec, err := in.next()
	if err != nil {
		return nil, err
	}
	in.head = &rollcallv1.BundleHead{}
	if rec.Kind != Head || proto.Unmarshal(rec.Data, in.head) != nil {
		return nil, fmt.Errorf("read bundle: %w: it has no head", ErrDamaged)
	}
	return in, nil
}

// Head is what the bundle says of itself.
func (r *Reader) Head() *rollcallv1.BundleHead { return r.head }

// Next returns the next record of a kind that is known here. The error is io.EOF
// after the last one of a whole bundle and wraps ErrDamaged where it is damaged:
// what came before is as it was written, as far as its own signatures and digests
// go.
func (r *Reader) Next() (Record, error) {
	for {
		rec, err := r.next()
		if err != nil {
			return Record{}, err
		}
		switch rec.Kind {
		case Head:
			return Record{}, r.damaged("it has two heads")
		case Enrolment, Envelope, Content, Receipt, Answer:
			return rec, nil
		}
	}
}

func (r *Reader) damaged(what string) error {
	return fmt.Errorf("read bundle, byte %d: %w: %s", r.at, ErrDamaged, what)
}

// next reads a record of any kind; the end is checked and is io.EOF.
func (r *Reader) next() (Record, error) {
	if r.done {
		return Record{}, io.EOF
	}
	before := r.sum.Sum(nil)
	kind, err := r.take(1)
	if err != nil {
		return Record{}, r.short(err)
	}
	size, err := binary.ReadUvarint(counting{r})
	if err != nil {
		return Record{}, r.short(err)
	}
	k := Kind(kind[0])
	if r.n++; r.n > MaxRecords || size > uint64(limit(k)) || r.at+int64(size) > MaxBytes {
		return Record{}, r.damaged("a record is over the limit")
	}
	rec := Record{Kind: k, At: r.at}
	if rec.Data, err = r.take(int(size)); err != nil {
		return Record{}, r.short(err)
	}
	if k == end {
		r.done = true
		if string(before) != string(rec.Data) {
			return Record{}, r.damaged("its checksum differs")
		}
		if _, err := r.r.ReadByte(); !errors.Is(err, io.EOF) {
			return Record{}, r.damaged("something follows its end")
		}
		return Record{}, io.EOF
	}
	r.sum.Write(kind)
	r.sum.Write(binary.AppendUvarint(nil, size))
	r.sum.Write(rec.Data)
	return rec, nil
}

// short names an end that came too early.
func (r *Reader) short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.damaged("it ends in the middle")
	}
	return fmt.Errorf("read bundle, byte %d: %w", r.at, err)
}

// take reads n bytes, growing with what is there: a length that lies costs
// nothing.
func (r *Reader) take(n int) ([]byte, error) {
	const step = 64 << 10
	b := make([]byte, 0, min(n, step))
	for len(b) < n {
		part := min(n-len(b), step)
		b = append(b, make([]byte, part)...)
		got, err := io.ReadFull(r.r, b[len(b)-part:])
		r.at += int64(got)
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

// counting counts the bytes of a length.
type counting struct{ r *Reader }

func (c counting) ReadByte() (byte, error) {
	b, err := c.r.r.ReadByte()
	if err == nil {
		c.r.at++
	}
	return b, err
}
