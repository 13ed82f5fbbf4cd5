package spool

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// maxPayload is the size in bytes of a payload after decompression, which a
// server accepts at most.
const maxPayload = 4 << 20

// report is what the spool needs to know of an envelope.
type report struct {
	hash  [sha256.Size]byte
	seq   uint64
	prev  []byte
	base  []byte
	state []byte
	at    int64 // claimed time, milliseconds
	full  bool
	delta []fact.Delta
}

// decode reads an envelope that this agent made. The signature is not checked:
// whoever can write the spool can read the key.
func decode(envelope []byte) (report, error) {
	e, err := identity.OpenEnvelope(envelope)
	if err != nil {
		return report{}, err
	}
	var body rollcallv1.Body
	if err := proto.Unmarshal(e.Body, &body); err != nil {
		return report{}, fmt.Errorf("open envelope: %w", err)
	}
	sum := sha256.Sum256(body.GetPayload())
	if !bytes.Equal(sum[:], body.GetPayloadDigest()) || len(body.GetPayload()) == 0 {
		return report{}, errors.New("open envelope: the payload is not the signed one, or empty")
	}
	plain, err := inflate(body.GetPayload(), maxPayload)
	if err != nil {
		return report{}, fmt.Errorf("open payload: %w", err)
	}
	var p rollcallv1.Report
	if err := proto.Unmarshal(plain, &p); err != nil {
		return report{}, fmt.Errorf("open payload: %w", err)
	}
	r := report{
		hash: sha256.Sum256(envelope), seq: body.GetSeq(), prev: body.GetPrev(), base: body.GetBase(),
		state: body.GetState(), at: body.GetTimeClaimedMs(), full: p.GetFull(),
	}
	for _, b := range p.GetDeltas() {
		d, err := fact.DecodeDelta(b)
		if err != nil {
			return report{}, fmt.Errorf("open payload: %w", err)
		}
		r.delta = append(r.delta, d)
	}
	return r, nil
}

// apply returns the sections that the report leads to; sets is left alone. It
// returns an error that wraps fact.ErrBase if they are not the promised ones.
func (r report) apply(sets map[string]fact.Set) (map[string]fact.Set, error) {
	out := map[string]fact.Set{}
	if !r.full {
		maps.Copy(out, sets)
	}
	for _, d := range r.delta {
		section := sectionOf(d)
		set, err := d.Apply(out[section])
		if err != nil {
			return nil, fmt.Errorf("section %q: %w", section, err)
		}
		if out[section] = set; len(set) == 0 {
			delete(out, section)
		}
	}
	if digest := stateOf(out).Digest(); !bytes.Equal(digest[:], r.state) {
		return nil, fmt.Errorf("report %d: state %s comes out: %w", r.seq, digest, fact.ErrBase)
	}
	return out, nil
}

// contents returns the digests of the file contents that the report names.
func (r report) contents() []fact.Digest {
	var out []fact.Digest
	for _, d := range r.delta {
		if sectionOf(d) != "etc" {
			continue
		}
		for _, f := range d.Put {
			if file, err := fact.ParseFile(f.Value); err == nil && file.HasContent() {
				out = append(out, file.Digest)
			}
		}
	}
	return out
}

func sectionOf(d fact.Delta) string {
	switch {
	case len(d.Put) > 0:
		return d.Put[0].Section()
	case len(d.Drop) > 0:
		return fact.SectionOf(d.Drop[0])
	}
	return ""
}

func stateOf(sets map[string]fact.Set) fact.State {
	s := make(fact.State, len(sets))
	for section, set := range sets {
		s[section] = set.Digest()
	}
	return s
}

// inflate decompresses at most limit bytes.
func inflate(b []byte, limit uint64) ([]byte, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(limit))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	defer d.Close()
	plain, err := d.DecodeAll(b, nil)
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return plain, nil
}

func deflate(b []byte) ([]byte, error) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(256<<10))
	if err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return e.EncodeAll(b, nil), nil
}
