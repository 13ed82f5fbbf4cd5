package store

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// How the bytes of a content are kept.
const (
	packPlain = 0 // as they are: zstd did not make them shorter
	packZstd  = 1 // RFC 8878
)

// packHead is the head of chunk 0: method, length of the content, length of
// what is stored of it (8 bytes big-endian each), SHA-256 of the content.
const packHead = 1 + 8 + 8 + sha256.Size

// Packed is a content that is ready to be stored: compressed and hashed, so that
// nothing of that happens inside of a transaction.
type Packed struct{ head, body []byte }

// Pack prepares a content. It returns ErrLimit above MaxBlob.
func Pack(content []byte) (Packed, error) {
	if len(content) > MaxBlob {
		return Packed{}, fmt.Errorf("pack content of %d bytes: %w: at most %d", len(content), ErrLimit, MaxBlob)
	}
	enc, err := encoder()
	if err != nil {
		return Packed{}, fmt.Errorf("pack content: %w", err)
	}
	body := enc.EncodeAll(content, make([]byte, 0, len(content)/3))
	if len(body) >= len(content) {
		return packed(packPlain, content, content), nil
	}
	return packed(packZstd, content, body), nil
}

// PackPlain prepares a content that is known to be compressed already, and keeps it
// as it is. It returns ErrLimit above MaxBlob.
func PackPlain(content []byte) (Packed, error) {
	if len(content) > MaxBlob {
		return Packed{}, fmt.Errorf("pack content of %d bytes: %w: at most %d", len(content), ErrLimit, MaxBlob)
	}
	return packed(packPlain, content, content), nil
}

func packed(method byte, content, body []byte) Packed {
	head := make([]byte, 0, packHead)
	head = append(head, method)
	head = binary.BigEndian.AppendUint64(head, uint64(len(content)))
	head = binary.BigEndian.AppendUint64(head, uint64(len(body)))
	sum := sha256.Sum256(content)
	return Packed{head: append(head, sum[:]...), body: body}
}

// chunks is the number of values that the content takes.
func (p Packed) chunks() int { return chunksOf(len(p.body)) }

func chunksOf(body int) int { return max(1, (packHead+body+maxChunk-1)/maxChunk) }

// chunk returns the payload of one value.
func (p Packed) chunk(i int) []byte {
	from, to := i*maxChunk-packHead, min((i+1)*maxChunk-packHead, len(p.body))
	if i > 0 {
		return p.body[from:to]
	}
	return append(append(make([]byte, 0, packHead+to), p.head...), p.body[:to]...)
}

// sizes reads the head of chunk 0; ok is false if it cannot be one.
func sizes(head []byte) (method byte, content, body int, ok bool) {
	if len(head) < packHead || head[0] > packZstd {
		return 0, 0, 0, false
	}
	c, b := binary.BigEndian.Uint64(head[1:]), binary.BigEndian.Uint64(head[9:])
	if c > MaxBlob || b > c {
		return 0, 0, 0, false
	}
	return head[0], int(c), int(b), true
}

// unpack gives the content back, or tells what is wrong.
func unpack(head, body []byte) (content []byte, reason string) {
	method, size, stored, ok := sizes(head)
	switch {
	case !ok || stored != len(body):
		return nil, "its sizes do not fit"
	case method == packPlain:
		content = append(make([]byte, 0, size), body...)
	default:
		dec, err := decoder()
		if err != nil {
			return nil, err.Error()
		}
		if content, err = dec.DecodeAll(body, make([]byte, 0, size)); err != nil {
			return nil, err.Error()
		}
	}
	if len(content) != size || sha256.Sum256(content) != [sha256.Size]byte(head[packHead-sha256.Size:packHead]) {
		return nil, "the SHA-256 of the content differs"
	}
	return content, ""
}

// encoder and decoder are made once: they own large tables and are safe for
// concurrent use in the form that is used here.
var (
	encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false),
			zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	})
	decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(MaxBlob))
	})
)
