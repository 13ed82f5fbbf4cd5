// Package archive is how a whole store leaves a server and comes back: as a
// backup, which is one server's data folder at one moment, and as an export,
// which is all pairs of a store in order, for any engine.
//
// It owns the two forms and the file around them. A file has its name only once
// it is complete, on disk and read back; it is encrypted to offline recipients
// where there are any. Readers believe nothing, hold a bounded part in memory,
// and say at the end whether all was there. What is in a store, and whether that
// is sound, is left to others.
package archive

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"rollcall/internal/identity"
	"rollcall/internal/seal"
)

// ErrFormat is wrapped where a file is not what it should be, or was cut or
// changed.
var ErrFormat = errors.New("not a whole file of this kind")

// Written tells what Create has made.
type Written struct {
	Bytes  int64    // of the file
	SHA256 [32]byte // of the file
}

// partPrefix begins the names of files that are not complete.
const partPrefix = ".rollcall-part-"

// buffered is how much is read and written at once.
const buffered = 1 << 20

// Create makes the file name with what fill writes, encrypted unless to is
// empty. The file is then read back from its folder: its hash must be that of
// what was written, it must decrypt (with a key that exists for this run alone),
// and verify must find what it expects in the plain stream, up to its end. Only
// then does the name exist. It returns an error that wraps fs.ErrExist if there
// is such a file already; what an earlier run left half done in the folder is
// removed.
func Create(ctx context.Context, name string, to seal.Recipients, fill func(io.Writer) error, verify func(io.Reader) error) (Written, error) {
	if _, err := os.Lstat(name); err == nil {
		return Written{}, fmt.Errorf("make %s: %w", name, fs.ErrExist)
	}
	if err := sweep(filepath.Dir(name)); err != nil {
		return Written{}, fmt.Errorf("make %s: %w", name, err)
	}
	f, err := os.CreateTemp(filepath.Dir(name), partPrefix+"*")
	if err != nil {
		return Written{}, fmt.Errorf("make %s: %w", name, err)
	}
	var w Written
	var witness seal.Identities
	if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil && to.Len() > 0 {
		to, witness, err = to.Witnessed()
	}
	if err == nil {
		w, err = fillFile(ctx, f, to, fill)
	}
	if err == nil {
		err = readBack(ctx, f, w, witness, verify)
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return Written{}, errors.Join(fmt.Errorf("make %s: %w", name, err), remove(f.Name()))
	}
	return w, identity.SyncDir(filepath.Dir(name))
}

// sweep removes what killed runs have left in a folder: a file that nobody has
// locked.
func sweep(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, partPrefix+"*"))
	if err != nil {
		return err
	}
	for _, name := range left {
		f, err := os.Open(name)
		if err != nil {
			continue // not ours
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			err = remove(name)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func fillFile(ctx context.Context, f *os.File, to seal.Recipients, fill func(io.Writer) error) (w Written, err error) {
	h := sha256.New()
	count := &counter{ctx: ctx, w: io.MultiWriter(f, h)}
	out := bufio.NewWriterSize(count, buffered)
	if to.Len() == 0 {
		err = fill(out)
	} else {
		var enc io.WriteCloser
		if enc, err = to.Encrypt(out); err == nil {
			in := bufio.NewWriterSize(enc, buffered)
			err = fill(in)
			for _, end := range []func() error{in.Flush, enc.Close} {
				if err == nil {
					err = end()
				}
			}
		}
	}
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	h.Sum(w.SHA256[:0])
	w.Bytes = count.n
	return w, err
}

// counter counts, and ends a long copy with its context.
type counter struct {
	ctx context.Context
	w   io.Writer
	n   int64
}

func (c *counter) Write(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

func readBack(ctx context.Context, f *os.File, w Written, witness seal.Identities, verify func(io.Reader) error) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	h := sha256.New()
	raw := io.TeeReader(bufio.NewReaderSize(&stopper{ctx, f}, buffered), h)
	plain, err := raw, error(nil)
	if witness.Len() > 0 {
		plain, err = seal.Decrypt(raw, witness)
	}
	if err == nil {
		err = verify(plain)
	}
	if err == nil {
		err = atEnd(plain)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, raw)
	}
	if err == nil && [32]byte(h.Sum(nil)) != w.SHA256 {
		err = errors.New("what is on the disk is not what was written")
	}
	if err != nil {
		return fmt.Errorf("read it back: %w", err)
	}
	return nil
}

// stopper ends a long read with its context.
type stopper struct {
	ctx context.Context
	r   io.Reader
}

func (s *stopper) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(b)
}

// atEnd returns an error unless r has ended.
func atEnd(r io.Reader) error {
	switch n, err := io.Copy(io.Discard, r); {
	case err != nil:
		return err
	case n > 0:
		return fmt.Errorf("%w: %d bytes follow its end", ErrFormat, n)
	}
	return nil
}

// Open opens a file that Create made and calls read with the plain stream, which
// must be read to its end. It returns an error that says so if the file is
// encrypted and no identity is given, and one that wraps seal.ErrNoIdentity if
// none fits.
func Open(ctx context.Context, name string, ids seal.Identities, read func(io.Reader) error) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	r := bufio.NewReaderSize(&stopper{ctx, f}, buffered)
	plain := io.Reader(r)
	if head, perr := r.Peek(len(seal.Magic)); perr == nil && strings.HasPrefix(string(head), seal.Magic) {
		if ids.Len() == 0 {
			err = errors.New("it is encrypted: name the key file of a recipient with --identity")
		} else {
			plain, err = seal.Decrypt(r, ids)
		}
	}
	if err == nil {
		err = read(plain)
	}
	if err == nil {
		err = atEnd(plain)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}
