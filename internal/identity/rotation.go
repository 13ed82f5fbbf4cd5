package identity

import (
	"crypto/ed25519"
	"errors"
	"fmt"
)

// TypeRotation is the type that statements of rotation are signed as.
const TypeRotation = "application/vnd.rollcall.rotate.v1"

// ErrRotation is wrapped by every error about bytes that are no statement of
// rotation.
var ErrRotation = errors.New("not a statement of rotation")

// Rotation says that a new key takes the place of an old one for a CI of a realm.
// Both keys sign it: the old one gives its place away, the new one proves that
// who asks holds it. Its binary form is "RCK1", the signatures of the old and of
// the new key (64 bytes each) and the body: realm (16 bytes), id of the old key
// (16), new public key (32), and the CI's id to the end.
type Rotation struct {
	Realm []byte
	Old   KeyID
	New   ed25519.PublicKey
	CI    string

	byOld []byte
	body  []byte
}

var rotationMagic = [4]byte{'R', 'C', 'K', '1'}

const (
	rotationSigned = len(rotationMagic) + 2*ed25519.SignatureSize
	rotationHead   = len(KeyID{}) + len(KeyID{}) + ed25519.PublicKeySize
	maxRotationCI  = 128
)

// SealRotation makes the statement that next takes the place of old.
func SealRotation(old, next Key, realm []byte, ci string) ([]byte, error) {
	if len(realm) != len(KeyID{}) || ci == "" || len(ci) > maxRotationCI {
		return nil, fmt.Errorf("make statement of rotation: %w: no realm, or no usable CI %.40q", ErrRotation, ci)
	}
	id := IDOf(Public(old))
	var body []byte
	body = append(append(append(append(body, realm...), id[:]...), Public(next)...), ci...)
	b := append([]byte{}, rotationMagic[:]...)
	b = append(b, ed25519.Sign(old, pae(TypeRotation, body))...)
	b = append(b, ed25519.Sign(next, pae(TypeRotation, body))...)
	return append(b, body...), nil
}

// OpenRotation reads the binary form and verifies the new key's signature. The
// old key's is left to Verify, for whoever knows the key. It returns ErrRotation
// or ErrSignature.
func OpenRotation(b []byte) (Rotation, error) {
	n := len(b) - rotationSigned - rotationHead
	if n < 1 || n > maxRotationCI || [4]byte(b[:4]) != rotationMagic {
		return Rotation{}, fmt.Errorf("open statement of %d bytes: %w", len(b), ErrRotation)
	}
	r := Rotation{byOld: b[4 : 4+ed25519.SignatureSize], body: b[rotationSigned:]}
	byNew := b[4+ed25519.SignatureSize : rotationSigned]
	r.Realm = r.body[:16]
	copy(r.Old[:], r.body[16:32])
	r.New = ed25519.PublicKey(r.body[32:64])
	r.CI = string(r.body[64:])
	if !ed25519.Verify(r.New, pae(TypeRotation, r.body), byNew) {
		return Rotation{}, fmt.Errorf("open statement of rotation, new key: %w", ErrSignature)
	}
	return r, nil
}

// Verify returns ErrSignature unless pub is the old key and signed the statement.
func (r Rotation) Verify(pub ed25519.PublicKey) error {
	if len(pub) != ed25519.PublicKeySize || IDOf(pub) != r.Old || !ed25519.Verify(pub, pae(TypeRotation, r.body), r.byOld) {
		return fmt.Errorf("verify statement of rotation, old key %s: %w", r.Old, ErrSignature)
	}
	return nil
}
