package identity

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
)

// What is signed beside reports, rotations and receipts, by the server's key unless
// it says otherwise. A statement of one type is never
// valid as another.
const (
	// TypeLogKey: the body is the Ed25519 key (32 bytes) that signs the checkpoints
	// of this server's evidence log.
	TypeLogKey = "application/vnd.rollcall.logkey.v1"
	// TypeKeyState: the body is the JSON of what the evidence log held about one
	// agent's key at one size, see package proof.
	TypeKeyState = "application/vnd.rollcall.keystate.v1"
	// TypeServerKey: the body is the Ed25519 key (32 bytes) that the server has from
	// then on instead of the one that signs. Machines never follow it; who verifies a
	// proof by an old key does.
	TypeServerKey = "application/vnd.rollcall.serverkey.v1"
	// TypeCarriedAnswer: the body is a CarriedAnswer, which comes to a machine in a file.
	TypeCarriedAnswer = "application/vnd.rollcall.answer.v1+proto"
	// TypeCarriedEnrolment is signed by a machine's key: the body is a
	// CarriedEnrolment, which comes to the server in a file.
	TypeCarriedEnrolment = "application/vnd.rollcall.enrol.v1+proto"
)

// TypePolicy is what a policy key signs, which no server has: the body is the text
// of a policy, see package policy.
const TypePolicy = "application/vnd.rollcall.policy.v1"

// MaxStatement bounds the body of a statement in bytes.
const MaxStatement = 64 << 10

var statementMagic = [4]byte{'R', 'C', 'S', '1'}

const statementHead = len(statementMagic) + ed25519.SignatureSize

// Sign returns the signature (64 bytes) over the DSSE encoding of type and body, for
// what has a form of its own.
func Sign(k Key, typ string, body []byte) []byte { return ed25519.Sign(k, pae(typ, body)) }

// Verify returns ErrSignature unless pub made this signature by Sign.
func Verify(pub ed25519.PublicKey, typ string, body, signature []byte) error {
	if len(pub) != ed25519.PublicKeySize || !ed25519.Verify(pub, pae(typ, body), signature) {
		return fmt.Errorf("verify %s: %w", typ, ErrSignature)
	}
	return nil
}

// SignStatement returns the binary form of a signed statement: "RCS1", the
// signature over the DSSE encoding of type and body (64 bytes), the body.
func SignStatement(k Key, typ string, body []byte) []byte {
	b := make([]byte, 0, statementHead+len(body))
	b = append(b, statementMagic[:]...)
	b = append(b, Sign(k, typ, body)...)
	return append(b, body...)
}

// OpenStatement returns the body, which shares memory with b, if pub signed it as
// a statement of this type. ErrSignature is returned if it did not.
func OpenStatement(pub ed25519.PublicKey, typ string, b []byte) (body []byte, err error) {
	if len(b) < statementHead || len(b) > statementHead+MaxStatement || !bytes.Equal(b[:4], statementMagic[:]) {
		return nil, fmt.Errorf("open statement of %d bytes: not a statement", len(b))
	}
	body = b[statementHead:]
	if err := Verify(pub, typ, body, b[len(statementMagic):statementHead]); err != nil {
		return nil, fmt.Errorf("open statement: %w", err)
	}
	return body, nil
}
