package etc

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"rollcall/internal/fact"
)

// ErrChanged is returned by Scanner.Read when the file no longer has the content
// that was asked for. The next scan reports what it has now.
var ErrChanged = errors.New("the file has changed since the scan")

// Content is the content of one file.
type Content struct {
	Digest fact.Digest
	Path   string // below /etc, raw
	Sealed bool   // the digest is of the ciphertext, which is in the Store
}

// Contents lists the contents that the facts of the last scan name and that the
// server may ask for, in no order. Several files may have the same content.
func (c *Cache) Contents() []Content {
	var all []Content
	for _, e := range c.entries {
		if content, ok := e.content(); ok {
			all = append(all, content)
		}
	}
	return all
}

// Read reads a content that is not sealed out of its file again. It returns
// ErrChanged if the file is gone or different, or is no longer reached without
// following a link.
func (s *Scanner) Read(c Content) ([]byte, error) {
	if c.Sealed {
		return nil, fmt.Errorf("read etc/%s: the content is sealed; it is in the store", fact.Escape(c.Path))
	}
	b, err := s.readFile(c.Path)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENXIO),
		errors.Is(err, errIrregular), err == nil && fact.Digest(sha256.Sum256(b)) != c.Digest:
		return nil, fmt.Errorf("read etc/%s: %w", fact.Escape(c.Path), ErrChanged)
	case err != nil:
		return nil, fmt.Errorf("read etc/%s: %w", fact.Escape(c.Path), err)
	}
	return b, nil
}

func (s *Scanner) readFile(rel string) ([]byte, error) {
	fd, err := s.openRoot()
	if err != nil {
		return nil, err
	}
	names := strings.Split("etc/"+rel, "/")
	for i, name := range names {
		if name == "" || name == "." || name == ".." {
			unix.Close(fd)
			return nil, unix.ENOENT
		}
		flags := 0
		if i < len(names)-1 {
			flags = unix.O_DIRECTORY
		}
		next, err := openat(fd, name, flags)
		unix.Close(fd)
		if err != nil {
			return nil, err
		}
		fd = next
	}
	f := os.NewFile(uintptr(fd), rel)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > MaxContent {
		return nil, errIrregular
	}
	var b bytes.Buffer
	b.Grow(int(st.Size) + bytes.MinRead) // at once, or the end of a large file would hold it twice
	_, err = b.ReadFrom(io.LimitReader(f, MaxContent+1))
	return b.Bytes(), err
}
