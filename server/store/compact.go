package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"
)

// Compact is a record that is read and written with every report, and has a form
// that is shorter and faster than JSON: PutJSON stores it in a frame of version 2,
// and DecodeJSON reads that as well as what older programs stored. The form is a
// list of fields, see Fields. As with JSON, fields may be added, and those that a
// program does not know are passed over.
type Compact interface {
	// AppendFields adds everything that the record says.
	AppendFields(*Fields) error
}

// compactReader is a Compact as it is read.
type compactReader interface {
	// ReadField takes one field in. It keeps nothing of value, which is bad if the
	// error is not nil.
	ReadField(number uint64, value []byte) error
}

// Fields is a list of numbered values: number and length (uvarint), then the
// bytes. What is empty or zero is left out, so that absent and empty are one.
type Fields struct{ b []byte }

// Text adds a string.
func (f *Fields) Text(number uint64, s string) {
	if s != "" {
		f.head(number, len(s))
		f.b = append(f.b, s...)
	}
}

// Bytes adds bytes.
func (f *Fields) Bytes(number uint64, parts ...[]byte) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n == 0 {
		return
	}
	f.head(number, n)
	for _, p := range parts {
		f.b = append(f.b, p...)
	}
}

// Uint adds a number, big-endian without leading zeros.
func (f *Fields) Uint(number, v uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	for i := range b {
		if b[i] != 0 {
			f.Bytes(number, b[i:])
			return
		}
	}
}

// Bool adds true.
func (f *Fields) Bool(number uint64, v bool) {
	if v {
		f.Uint(number, 1)
	}
}

// Time adds a time, as nanoseconds since 1970.
func (f *Fields) Time(number uint64, t time.Time) {
	if !t.IsZero() {
		f.Uint(number, uint64(t.UnixNano()))
	}
}

// JSON adds what is rarely there, or has many parts, as JSON.
func (f *Fields) JSON(number uint64, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		f.Bytes(number, b)
	}
	return err
}

func (f *Fields) head(number uint64, length int) {
	f.b = binary.AppendUvarint(binary.AppendUvarint(f.b, number), uint64(length))
}

// UintOf reads what Uint wrote, TimeOf what Time did.
func UintOf(b []byte) uint64 {
	var v uint64
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

// TimeOf reads what Time wrote, in UTC.
func TimeOf(b []byte) time.Time { return time.Unix(0, int64(UintOf(b))).UTC() }

var errFields = errors.New("not a list of fields")

// readFields hands each field to v.
func readFields(b []byte, v compactReader) error {
	for len(b) > 0 {
		number, n := binary.Uvarint(b)
		if n <= 0 {
			return errFields
		}
		length, m := binary.Uvarint(b[n:])
		if m <= 0 || length > uint64(len(b)-n-m) {
			return errFields
		}
		b = b[n+m:]
		if err := v.ReadField(number, b[:length]); err != nil {
			return err
		}
		b = b[length:]
	}
	return nil
}
