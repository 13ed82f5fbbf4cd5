package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Receipt is the server's signed word that a report is on disk.
type Receipt struct {
	Envelope [sha256.Size]byte // SHA-256 of the envelope's binary form
	Index    uint64            // how many reports of this key are recorded, this one included
	At       int64             // server time of the record, milliseconds since 1970
	// Logged tells that the receipt is of the second form, which says where in the
	// evidence log the report is: Leaf is the index of its leaf.
	Logged bool
	Leaf   uint64
}

// Forms of receipts. An agent says in its report which ones it reads; one that
// says nothing gets the first.
const (
	ReceiptForm1 = 1
	ReceiptForm2 = 2 // the newest
)

var (
	receiptMagic  = [4]byte{'R', 'C', 'R', '1'}
	receipt2Magic = [4]byte{'R', 'C', 'R', '2'}
)

const (
	receiptBody  = len(receiptMagic) + sha256.Size + 8 + 8
	receipt2Body = receiptBody + 8
)

// Sign returns the receipt's binary form: "RCR1", envelope hash, index and time
// as big-endian 64-bit numbers, then the signature. If it is Logged: "RCR2", the
// same, the leaf as another such number, then the signature over that.
func (r Receipt) Sign(k Key) []byte {
	b := make([]byte, 0, receipt2Body+ed25519.SignatureSize)
	magic, typ := receiptMagic, TypeReceipt
	if r.Logged {
		magic, typ = receipt2Magic, TypeReceipt2
	}
	b = append(b, magic[:]...)
	b = append(b, r.Envelope[:]...)
	b = binary.BigEndian.AppendUint64(b, r.Index)
	b = binary.BigEndian.AppendUint64(b, uint64(r.At))
	if r.Logged {
		b = binary.BigEndian.AppendUint64(b, r.Leaf)
	}
	return append(b, ed25519.Sign(k, pae(typ, b))...)
}

// OpenReceipt verifies and reads the binary form. It returns ErrSignature if pub
// did not sign it.
func OpenReceipt(pub ed25519.PublicKey, b []byte) (Receipt, error) {
	r, err := ReadReceipt(b)
	if err != nil {
		return r, err
	}
	typ, size := TypeReceipt, receiptBody
	if r.Logged {
		typ, size = TypeReceipt2, receipt2Body
	}
	if len(pub) != ed25519.PublicKeySize || !ed25519.Verify(pub, pae(typ, b[:size]), b[size:]) {
		return Receipt{}, fmt.Errorf("open receipt: %w", ErrSignature)
	}
	return r, nil
}

// ReadReceipt reads the binary form of a receipt whose signature does not matter.
func ReadReceipt(b []byte) (Receipt, error) {
	var r Receipt
	switch {
	case len(b) == receiptBody+ed25519.SignatureSize && [4]byte(b[:4]) == receiptMagic:
	case len(b) == receipt2Body+ed25519.SignatureSize && [4]byte(b[:4]) == receipt2Magic:
		r.Logged, r.Leaf = true, binary.BigEndian.Uint64(b[receiptBody:])
	default:
		return r, fmt.Errorf("read receipt of %d bytes: not a receipt", len(b))
	}
	copy(r.Envelope[:], b[4:])
	r.Index = binary.BigEndian.Uint64(b[4+sha256.Size:])
	r.At = int64(binary.BigEndian.Uint64(b[4+sha256.Size+8:]))
	return r, nil
}

// OpenReceiptOf is OpenReceipt for a server that had several keys one after the
// other: any of them may have signed.
func OpenReceiptOf(keys []ed25519.PublicKey, b []byte) (r Receipt, err error) {
	err = fmt.Errorf("open receipt: %w", ErrSignature)
	for _, pub := range keys {
		if r, err = OpenReceipt(pub, b); err == nil {
			return r, nil
		}
	}
	return r, err
}
