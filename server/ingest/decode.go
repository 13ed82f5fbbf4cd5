package ingest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Limits of one report.
const (
	maxPayload      = 4 << 20 // bytes after inflating
	maxWindow       = 8 << 20 // bytes that zstd may look back: what encoders use by default
	maxSections     = 64
	maxCollectors   = 200
	maxEvents       = 2000
	maxMeasurements = 64 << 10
	maxMissing      = 20_000 // contents asked for at once; the rest when the report comes again
	maxText         = 500    // bytes of a status detail, an event, a reason
)

// decodeBody parses a body whose signature has been verified.
func (s *Service) decodeBody(b []byte) (*rollcallv1.Body, error) {
	body := &rollcallv1.Body{}
	if err := proto.Unmarshal(b, body); err != nil {
		return nil, fmt.Errorf("decode body: %w: %w", ErrMalformed, err)
	}
	if !bytes.Equal(body.GetRealm(), s.RealmID()) {
		return nil, fmt.Errorf("decode body: %w: enrol the machine here", ErrRealm)
	}
	if n := len(body.GetPrev()); n != 0 && n != sha256.Size {
		return nil, fmt.Errorf("decode body: %w: prev has %d bytes", ErrMalformed, n)
	}
	if len(body.GetState()) != sha256.Size || body.GetSeq() == 0 || len(body.GetMeasurements()) > maxMeasurements {
		return nil, fmt.Errorf("decode body: %w: no state, no sequence number, or too many measurements", ErrMalformed)
	}
	if err := checkMeasurements(body.GetMeasurements()); err != nil {
		return nil, err
	}
	if len(body.GetPayload()) > 0 {
		if sum := sha256.Sum256(body.GetPayload()); !bytes.Equal(sum[:], body.GetPayloadDigest()) {
			return nil, fmt.Errorf("decode body: %w: the payload is not the one that was signed for", ErrMalformed)
		}
	}
	return body, nil
}

// checkMeasurements refuses what is not a fact set: it is handed on to people.
func checkMeasurements(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	set, err := fact.DecodeSet(b)
	for i := 0; err == nil && i < len(set); i++ {
		err = set[i].Check()
	}
	if err != nil {
		return fmt.Errorf("decode body: measurements: %w: %w", ErrMalformed, err)
	}
	return nil
}

// decodeReport unpacks a payload. Its deltas are read where they are applied.
func decodeReport(payload []byte) (*rollcallv1.Report, error) {
	plain, err := inflate(payload)
	if err != nil {
		return nil, err
	}
	if err := fewFields(plain); err != nil {
		return nil, err
	}
	r := &rollcallv1.Report{}
	if err := proto.Unmarshal(plain, r); err != nil {
		return nil, fmt.Errorf("decode report: %w: %w", ErrMalformed, err)
	}
	if len(r.GetDeltas()) > maxSections || len(r.GetCollectors()) > maxCollectors || len(r.GetEvents()) > maxEvents {
		return nil, fmt.Errorf("decode report: %w: too many sections, collectors or events", ErrMalformed)
	}
	for _, b := range r.GetDeltas() {
		if _, _, err := fact.DeltaEnds(b); err != nil {
			return nil, fmt.Errorf("decode report: %w: %w", ErrMalformed, err)
		}
	}
	return r, nil
}

// maxFields is how often any field may stand in a report.
const maxFields = max(maxSections, maxCollectors, maxEvents)

// fewFields refuses a report whose fields stand in it too often, before they are
// decoded: two million empty entries have 4 MiB on the wire and 200 in memory.
func fewFields(plain []byte) error {
	seen := map[protowire.Number]int{}
	for len(plain) > 0 {
		num, _, n := protowire.ConsumeField(plain)
		if n < 0 {
			return fmt.Errorf("decode report: %w: %w", ErrMalformed, protowire.ParseError(n))
		}
		if seen[num]++; seen[num] > maxFields || len(seen) > maxFields {
			return fmt.Errorf("decode report: %w: more than %d entries of one kind", ErrMalformed, maxFields)
		}
		plain = plain[n:]
	}
	return nil
}

// inflate undoes zstd (RFC 8878) with bounded memory.
func inflate(b []byte) ([]byte, error) {
	z, err := inflater()
	if err != nil {
		return nil, fmt.Errorf("inflate report: %w", err)
	}
	var head zstd.Header
	if err := head.Decode(b); err == nil && head.FrameContentSize > maxPayload { // before room is made for it
		return nil, fmt.Errorf("inflate report: %w: more than %d bytes", identity.ErrTooLarge, maxPayload)
	}
	plain, err := z.DecodeAll(b, nil)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) || len(plain) > maxPayload {
		return nil, fmt.Errorf("inflate report: %w: more than %d bytes", identity.ErrTooLarge, maxPayload)
	}
	if err != nil {
		return nil, fmt.Errorf("inflate report: %w: %w", ErrMalformed, err)
	}
	return plain, nil
}

// inflater is made once: it owns tables that are costly to make for each report,
// and takes several reports at once.
var inflater = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxWindow), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
})

func cut(s string) string { return fact.Cut(s, maxText) }
