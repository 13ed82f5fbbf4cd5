package collect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Sizes of deb822 files (deb822(5)).
const (
	stanzaBlock = 128 << 10 // bytes read at once
	maxStanza   = 4 << 20   // bytes of one stanza; the longest in Debian has some 100 KiB
)

// stanzas cuts a deb822 file into its stanzas without holding more than one of
// them. dpkg's status and apt's Packages files are megabytes: this loop is the
// hot one of the whole agent, so it hands out slices of its buffer.
type stanzas struct {
	r     io.Reader
	buf   []byte
	start int    // of data in buf
	data  []byte // unread part of buf
	end   bool
}

func newStanzas(r io.Reader) *stanzas { return &stanzas{r: r, buf: make([]byte, stanzaBlock)} }

var stanzaEnd = []byte("\n\n")

// next gives the next stanza, which is valid until the next call, or io.EOF.
func (s *stanzas) next() ([]byte, error) {
	searched := 0
	for {
		if len(s.data) > 0 && s.data[0] == '\n' && searched == 0 {
			s.skip(1)
			continue
		}
		if i := bytes.Index(s.data[searched:], stanzaEnd); i >= 0 {
			stanza := s.data[:searched+i+1]
			s.skip(len(stanza) + 1)
			return stanza, nil
		}
		if s.end {
			stanza := s.data
			s.skip(len(stanza))
			if len(stanza) == 0 {
				return nil, io.EOF
			}
			return stanza, nil
		}
		searched = max(0, len(s.data)-1)
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

func (s *stanzas) skip(n int) {
	s.start += n
	s.data = s.data[n:]
}

// fill reads more behind the unread part. Only when the buffer is full does that
// part move to the front, or the buffer grow.
func (s *stanzas) fill() error {
	end := s.start + len(s.data)
	if end == len(s.buf) {
		switch {
		case s.start > 0:
			end, s.start = copy(s.buf, s.data), 0
		case end >= maxStanza:
			return fmt.Errorf("%w: a stanza of more than %d bytes", ErrTooBig, maxStanza)
		default:
			s.buf = append(s.buf, make([]byte, end)...)
		}
	}
	n, err := s.r.Read(s.buf[end:])
	s.data = s.buf[s.start : end+n]
	switch {
	case errors.Is(err, io.EOF):
		s.end = true
	case err != nil:
		return err
	}
	return nil
}

// fields gives the fields of a stanza: name and value, which for a folded field
// goes on over the lines that follow, each after "\n " or "\n\t". Comments and
// lines that are no field are left out.
func fields(stanza []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for len(stanza) > 0 {
			end := fieldEnd(stanza)
			field := stanza[:end]
			stanza = stanza[min(end+1, len(stanza)):]
			if field = bytes.TrimRight(field, "\r\n"); len(field) == 0 || field[0] == '#' {
				continue
			}
			name, value, ok := bytes.Cut(field, []byte(":"))
			if !ok || len(name) == 0 || name[0] == ' ' || name[0] == '\t' {
				continue
			}
			if !yield(name, bytes.TrimSpace(value)) {
				return
			}
		}
	}
}

// fieldEnd finds the newline that ends the first field of a stanza.
func fieldEnd(stanza []byte) int {
	for i := 0; ; {
		n := bytes.IndexByte(stanza[i:], '\n')
		if n < 0 {
			return len(stanza)
		}
		i += n
		if i+1 >= len(stanza) || stanza[i+1] != ' ' && stanza[i+1] != '\t' {
			return i
		}
		i++
	}
}

// is compares a field's name, in which case does not count.
func is(name []byte, want string) bool {
	return len(name) == len(want) && (string(name) == want || strings.EqualFold(string(name), want))
}

// eachStanza calls f for every stanza of a file until f returns an error.
func (h Host) eachStanza(name string, f func(stanza []byte) error) error {
	file, err := h.FS.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	return eachStanza(name, file, f)
}

func eachStanza(name string, r io.Reader, f func(stanza []byte) error) error {
	s := newStanzas(r)
	for {
		stanza, err := s.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read %s: %w", name, err)
		}
		if err := f(stanza); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
}
