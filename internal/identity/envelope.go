package identity

import (
	"crypto/ed25519"
	"errors"
	"fmt"
)

// The types that are signed. A signature over one is never valid for another.
const (
	TypeReport   = "application/vnd.rollcall.report.v1+proto"
	TypeReceipt  = "application/vnd.rollcall.receipt.v1"
	TypeReceipt2 = "application/vnd.rollcall.receipt.v2"
)

// MaxEnvelope is the size in bytes above which an envelope is refused before it
// is looked at: 4 MiB of payload and a generous header.
const MaxEnvelope = 4<<20 + 16<<10

// Errors of OpenEnvelope and Verify, for callers that branch on them.
var (
	ErrEnvelope  = errors.New("not an envelope")
	ErrTooLarge  = errors.New("envelope too large")
	ErrSignature = errors.New("signature does not verify")
)

var envelopeMagic = [4]byte{'R', 'C', 'E', '1'}

// Envelope is a signed report. Its binary form is "RCE1", the key id (16
// bytes), the signature (64 bytes), then the body: fixed places, so that
// nothing is parsed before the signature has been verified.
type Envelope struct {
	KeyID     KeyID
	Signature [ed25519.SignatureSize]byte
	Body      []byte
}

const envelopeHead = len(envelopeMagic) + len(KeyID{}) + ed25519.SignatureSize

// pae is the pre-authentication encoding of DSSE 1.0.2 (secure-systems-lab/dsse,
// protocol.md): lengths make it impossible to read one pair of type and body as
// another.
func pae(typ string, body []byte) []byte {
	return append(fmt.Appendf(make([]byte, 0, len(typ)+len(body)+40), "DSSEv1 %d %s %d ", len(typ), typ, len(body)), body...)
}

// Seal signs a report body and returns the envelope's binary form.
func Seal(k Key, body []byte) []byte {
	id := IDOf(Public(k))
	b := make([]byte, 0, envelopeHead+len(body))
	b = append(b, envelopeMagic[:]...)
	b = append(b, id[:]...)
	b = append(b, ed25519.Sign(k, pae(TypeReport, body))...)
	return append(b, body...)
}

// OpenEnvelope splits the binary form. It checks size and shape only, and
// returns ErrTooLarge or ErrEnvelope; the body shares memory with b.
func OpenEnvelope(b []byte) (Envelope, error) {
	var e Envelope
	if len(b) > MaxEnvelope {
		return e, fmt.Errorf("open envelope of %d bytes: %w, at most %d", len(b), ErrTooLarge, MaxEnvelope)
	}
	if len(b) <= envelopeHead || [4]byte(b[:4]) != envelopeMagic {
		return e, fmt.Errorf("open envelope of %d bytes: %w", len(b), ErrEnvelope)
	}
	copy(e.KeyID[:], b[4:])
	copy(e.Signature[:], b[4+len(e.KeyID):])
	e.Body = b[envelopeHead:]
	return e, nil
}

// Verify returns ErrSignature unless pub signed exactly this body as a report
// and has this key id.
func (e Envelope) Verify(pub ed25519.PublicKey) error {
	if len(pub) != ed25519.PublicKeySize || IDOf(pub) != e.KeyID || !ed25519.Verify(pub, pae(TypeReport, e.Body), e.Signature[:]) {
		return fmt.Errorf("verify envelope of key %s: %w", e.KeyID, ErrSignature)
	}
	return nil
}
