package etc

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"rollcall/internal/fact"
	"rollcall/internal/seal"
)

const (
	chunk     = 256 << 10 // bytes read at once
	overlap   = 4 << 10   // bytes of the chunk before that are sniffed again
	xattrText = "some extended attributes are left out: too many, too long or secret"
)

var (
	errIrregular = errors.New("no longer a regular file")
	errEnormous  = fmt.Errorf("larger than %d MiB: left out", maxHashed>>20)
	errEnough    = fmt.Errorf("more than %d MiB to read: left out in this scan", maxRead>>20)
)

// regular reads a regular file and makes its value.
func (w *walker) regular(dir int, name, rel string, old *entry) {
	fd, err := openat(dir, name, 0)
	if err != nil {
		w.unreadable(rel, old, err)
		return
	}
	defer unix.Close(fd)
	w.res.Opened++
	var e *entry
	const attempts = 3 // a file that is being written gets a moment
	for range attempts {
		var settled bool
		e, settled, err = w.read(fd, rel, old)
		if err != nil || settled {
			break
		}
	}
	switch {
	case errors.Is(err, errIrregular):
		w.unreadable(rel, old, unix.ELOOP)
	case errors.Is(err, errEnormous), errors.Is(err, errEnough):
		w.leave(rel, err.Error())
	case err != nil:
		w.unreadable(rel, old, err)
	default:
		w.learn(e, old)
	}
}

// read makes the entry of an open file. settled tells that the file did not
// change while it was read.
func (w *walker) read(fd int, rel string, old *entry) (e *entry, settled bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, false, err
	}
	key := keyOf(&st)
	if key.kind() != unix.S_IFREG {
		return nil, false, errIrregular
	}
	f := w.file(&st)
	cf, isConffile := w.scanner.Conffiles["/etc/"+rel]
	var shipped *[16]byte
	if isConffile {
		shipped = &cf.MD5
	}
	c, err := w.digest(fd, key.size, w.secret(rel), shipped)
	if err != nil {
		return nil, false, err
	}
	var left bool
	if f.Xattr, left = xattrs(fd, c.secret, w.dents); left {
		w.problem(rel, xattrText)
	}
	f.Kind, f.Digest = fact.KindPlain, c.sum
	var radar string
	if c.secret {
		f.Digest = fact.Digest{}
		radar = w.scanner.radarText(rel, c.plain)
		w.withhold(&f, rel, c.plain, c.fingerprint, old)
		clear(c.plain)
	}
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, false, err
	}
	settled = keyOf(&st) == key
	e = w.newEntry(rel, key, f)
	e.radar = radar
	if generatedContent(rel, c.plain) {
		e.value = ""
	}
	e.trusted = e.trusted && settled
	if isConffile {
		e.compared, e.against, e.differs = true, cf.MD5, c.md5 != cf.MD5
	}
	return e, settled, nil
}

func (w *walker) secret(rel string) bool {
	return seal.Secret(rel) || w.scanner.Secret != nil && w.scanner.Secret(rel)
}

// digested is what reading a file once gives.
type digested struct {
	sum         fact.Digest
	md5         [16]byte // dpkg's digest, if asked for
	secret      bool
	fingerprint string // of a secret
	plain       []byte // the content, if it is small or a secret to be sealed
}

// digest reads a file in chunks, so that a large one does not take its size in
// memory. A secret is read a second time, as a whole, if it is to be sealed. What
// stands in comments counts unless the file is as its package ships it: examples
// are public.
func (w *walker) digest(fd int, size int64, secret bool, shipped *[16]byte) (digested, error) {
	if size > maxHashed {
		return digested{}, errEnormous
	}
	if w.res.Read+size > maxRead {
		return digested{}, errEnough
	}
	if w.buf == nil {
		w.buf = make([]byte, overlap+chunk)
	}
	w.sha.Reset()
	w.md5.Reset()
	d, commented := digested{secret: secret}, false
	keep, whole := 0, true
	for offset := int64(0); ; {
		n, err := readAt(fd, w.buf[keep:], offset)
		if err != nil {
			return digested{}, err
		}
		offset += int64(n)
		w.res.Read += int64(n)
		if offset > maxHashed {
			return digested{}, errEnormous
		}
		got := w.buf[:keep+n]
		w.sha.Write(got[keep:])
		if shipped != nil {
			w.md5.Write(got[keep:])
		}
		if !d.secret {
			secret, comment := w.sniff(got)
			d.secret, commented = secret, commented || comment
		}
		if len(got) < len(w.buf) {
			if whole {
				d.plain = got
			}
			break
		}
		keep, whole = copy(w.buf, got[len(got)-overlap:]), false
	}
	w.sha.Sum(d.sum[:0])
	w.md5.Sum(d.md5[:0])
	d.secret = d.secret || commented && (shipped == nil || d.md5 != *shipped)
	if d.secret {
		return d, w.fingerprint(fd, &d, size, whole)
	}
	return d, nil
}

// sniff tells whether a piece of content, or a comment in it, looks like a secret.
func (w *walker) sniff(piece []byte) (secret, comment bool) {
	if w.scanner.Sniff != nil {
		return w.scanner.Sniff(piece)
	}
	return Sniff(piece)
}

// Sniff is what a Scanner without a function of its own asks.
func Sniff(piece []byte) (secret, comment bool) {
	secret = seal.Sniff(piece)
	return secret, !secret && seal.SniffComments(piece)
}

// fingerprint completes a secret. The keyed fingerprint of one that is too large
// to be sealed is taken of its digest.
func (w *walker) fingerprint(fd int, d *digested, size int64, whole bool) error {
	switch {
	case whole:
	case size > MaxContent:
		d.fingerprint = seal.Fingerprint(w.scanner.Key, d.sum[:])
		return nil
	default:
		d.plain = make([]byte, size)
		n, err := readAt(fd, d.plain, 0)
		if err != nil {
			return err
		}
		d.plain = d.plain[:n]
	}
	d.fingerprint = seal.Fingerprint(w.scanner.Key, d.plain)
	return nil
}

// withhold makes the value of a secret: sealed with the ciphertext it had, sealed
// anew, or known by its fingerprint only.
func (w *walker) withhold(f *fact.File, rel string, plain []byte, fingerprint string, old *entry) {
	s := w.scanner
	f.Kind, f.Fingerprint = fact.KindKeyed, fingerprint
	if s.Recipients.Len() == 0 || plain == nil {
		return
	}
	if old != nil && !old.resealed {
		before, err := fact.ParseFile(old.value)
		if err == nil && before.Kind == fact.KindSealed && before.Fingerprint == fingerprint && s.Store.Has(before.Digest) {
			f.Kind, f.Digest = fact.KindSealed, before.Digest
			return
		}
	}
	sealed, err := s.Recipients.Seal(plain)
	digest := fact.Digest(sha256.Sum256(sealed))
	if err == nil {
		err = s.Store.Put(digest, sealed)
	}
	if err != nil {
		w.problem(rel, fact.Value(err.Error()))
		return
	}
	f.Kind, f.Digest = fact.KindSealed, digest
}

// readAt fills buf from a file and returns less only at its end.
func readAt(fd int, buf []byte, offset int64) (int, error) {
	n := 0
	for n < len(buf) {
		m, err := unix.Pread(fd, buf[n:], offset+int64(n))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return n, err
		case m == 0:
			return n, nil
		}
		n += max(m, 0)
	}
	return n, nil
}
