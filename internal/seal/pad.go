package seal

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// The length of an age file tells the length of what it holds: the header is
// readable, and each 64 KiB of content grow by 16 bytes. The length of a
// password, or how many accounts shadow has, would show. age knows no padding,
// and a filler in the header could be subtracted, for the header is readable.
// What "age -d" prints has a length that everybody can compute; so no padding is
// possible that "age -d" alone takes off again.
//
// Therefore the content is wrapped before it is sealed, in the oldest format with
// room for a filler that every Debian machine reads: a gzip member (RFC 1952)
// whose extra field fills it up to a multiple of padStep. "age -d | gunzip" gives
// the file. The content is stored in it, not compressed: how well a content
// compresses tells about it as well. A line of the age header says that it is
// so, authenticated like the rest of the header; other programs skip the line.
// What was sealed without it is opened as it is.
const (
	padStep   = 1 << 10
	padStanza = "rollcall-pad" // type of the header line; its argument is the version
	padV1     = "1"            // gzip member with an extra field of subfield "RP"
)

// padSubfield is the identification of our subfield of gzip's extra field.
var padSubfield = [2]byte{'R', 'P'}

// padMark is a recipient that puts the line into the header beside its own.
type padMark struct{ age.Recipient }

// WrapWithLabels implements age.RecipientWithLabels: age mixes only recipients of
// equal labels, so those of the recipient inside must show.
func (p padMark) WrapWithLabels(fileKey []byte) (stanzas []*age.Stanza, labels []string, err error) {
	if r, ok := p.Recipient.(age.RecipientWithLabels); ok {
		stanzas, labels, err = r.WrapWithLabels(fileKey)
	} else {
		stanzas, err = p.Wrap(fileKey)
	}
	return append(stanzas, &age.Stanza{Type: padStanza, Args: []string{padV1}}), labels, err
}

// padSeen is an identity that looks for the line while the others look for
// their key. What it saw counts only after age has verified the header.
type padSeen struct {
	keys    []age.Identity
	version string // of the padding; empty for none
}

// Unwrap implements age.Identity.
func (p *padSeen) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	p.version = ""
	for _, s := range stanzas {
		if s.Type != padStanza {
			continue
		}
		if len(s.Args) != 1 || p.version != "" {
			return nil, errors.New("malformed padding line in the header")
		}
		p.version = s.Args[0]
	}
	for _, key := range p.keys {
		fileKey, err := key.Unwrap(stanzas)
		if errors.Is(err, age.ErrIncorrectIdentity) {
			continue
		}
		return fileKey, err
	}
	return nil, age.ErrIncorrectIdentity
}

// pad wraps a content so that its length is a multiple of padStep.
func pad(plain []byte) ([]byte, error) {
	bare, err := gzipped(plain, 0)
	if err != nil {
		return nil, err
	}
	return gzipped(plain, (padStep-len(bare)%padStep)%padStep)
}

func gzipped(plain []byte, filler int) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(plain) + len(plain)/1000 + 2*padStep)
	w, err := gzip.NewWriterLevel(&b, gzip.NoCompression)
	if err != nil {
		return nil, fmt.Errorf("pad: %w", err)
	}
	w.Extra = make([]byte, 4+filler)
	copy(w.Extra, padSubfield[:])
	binary.LittleEndian.PutUint16(w.Extra[2:], uint16(filler))
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("pad: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pad: %w", err)
	}
	return b.Bytes(), nil
}

// unpad reads the content out of what pad made, whose end must be the end of r.
func unpad(r io.Reader, version string, limit int64) ([]byte, error) {
	if version != padV1 {
		return nil, fmt.Errorf("padding of version %.20q: made by a newer version", version)
	}
	in := bufio.NewReader(r)
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("padding: %w", err)
	}
	z.Multistream(false)
	if len(z.Extra) < 4 || [2]byte(z.Extra[:2]) != padSubfield {
		return nil, errors.New("padding: not made by Rollcall")
	}
	plain, err := bounded(z, limit)
	if err != nil {
		return nil, err
	}
	switch _, err := in.ReadByte(); err {
	case io.EOF:
		return plain, nil
	case nil:
		return nil, errors.New("padding: something follows its end")
	default:
		return nil, err
	}
}

// bounded reads r to its end, which must come within limit bytes. The end must be
// seen even if the limit is reached exactly: only then is it known that nothing
// was cut off.
func bounded(r io.Reader, limit int64) ([]byte, error) {
	plain, err := io.ReadAll(io.LimitReader(r, limit))
	if err != nil {
		return nil, err
	}
	switch n, err := io.ReadFull(r, make([]byte, 1)); {
	case n > 0:
		return nil, fmt.Errorf("%w of %d bytes", ErrTooLarge, limit)
	case err != io.EOF:
		return nil, err
	}
	return plain, nil
}
