package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// ErrCorrupt is matched by every error about bytes on disk that are not what
// was written.
var ErrCorrupt = errors.New("stored data is damaged")

// CorruptError names the damaged record. It matches ErrCorrupt.
type CorruptError struct {
	Key    Key
	Reason string
}

// Error names the record, what is wrong with it and what to do.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("record %.200s is damaged: %s: restore a backup, or run rollcall-server check to see what else is", e.Key, e.Reason)
}

// Is tells that every CorruptError is an ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

const frameHead = 1 + crc32.Size

// Frame wraps the payload of a record for the key that it will be stored under:
// the record's version, then CRC-32C (RFC 3720 appendix B.4) over key, version
// and payload, big-endian, then the payload.
//
// CRC-32C finds every damage of up to three bits in a record with certainty,
// because values are far shorter than 2^31 bits, and any other with a chance of
// missing it of 1 in 4 billion; it costs a twentieth of a SHA-256. What must
// withstand somebody who means it (contents, sets, envelopes) is named by its
// SHA-256 as well. The key is part of the sum, so that a record that turns up
// under another key is found too.
func Frame(k Key, version byte, payload []byte) []byte {
	return frameIn(k, version, append(make([]byte, frameHead, frameHead+len(payload)), payload...))
}

// frameIn is Frame for a payload that stands behind room for the frame's head.
func frameIn(k Key, version byte, b []byte) []byte {
	b[0] = version
	binary.BigEndian.PutUint32(b[1:], frameSum(k, version, b[frameHead:]))
	return b
}

// Unframe returns version and payload of what Frame wrapped for the same key;
// the payload shares memory with b. It returns a CorruptError if a bit of the
// key or of the value has changed.
func Unframe(k Key, b []byte) (version byte, payload []byte, err error) {
	if len(b) < frameHead {
		return 0, nil, &CorruptError{Key: k, Reason: fmt.Sprintf("%d bytes are too few", len(b))}
	}
	version, payload = b[0], b[frameHead:]
	if frameSum(k, version, payload) != binary.BigEndian.Uint32(b[1:]) {
		return 0, nil, &CorruptError{Key: k, Reason: "its checksum differs"}
	}
	return version, payload, nil
}

func frameSum(k Key, version byte, payload []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // made once by the library
	var head [4]byte
	head[0], head[1] = byte(k.Space), version
	binary.BigEndian.PutUint16(head[2:], uint16(len(k.K))) // MaxKey fits
	sum := crc32.Update(0, table, head[:])
	sum = crc32.Update(sum, table, k.K)
	return crc32.Update(sum, table, payload)
}
