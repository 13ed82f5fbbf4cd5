package evidence

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"rollcall/internal/identity"

	"golang.org/x/mod/sumdb/note"
)

// algCosignature is the type of key that signs C2SP cosignature/v1.
const algCosignature = 4

// Witness verifies the cosignatures of one witness. It implements note.Verifier.
type Witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

// NewWitness returns the witness of a public key. A name holds no spaces and no
// plus signs.
func NewWitness(name string, pub ed25519.PublicKey) (Witness, error) {
	if name == "" || len(name) > 100 || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || r == '+' || !unicode.IsPrint(r) }) {
		return Witness{}, fmt.Errorf("witness %.40q: want a name of 1 to 100 characters without spaces and plus signs", name)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%c%s", name, algCosignature, pub)
	return Witness{name, binary.BigEndian.Uint32(h.Sum(nil)), pub}, nil
}

// ParseWitness reads a witness's verifier key, NAME+HASH+KEY.
func ParseWitness(vkey string) (Witness, error) {
	name, hash, key := cut2(strings.TrimSpace(vkey))
	b, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(b) != 1+ed25519.PublicKeySize || b[0] != algCosignature {
		return Witness{}, fmt.Errorf("witness key %.80q: want NAME+HASH+KEY with a key for cosignatures", vkey)
	}
	w, err := NewWitness(name, b[1:])
	if err != nil {
		return Witness{}, err
	}
	if sum, err := strconv.ParseUint(hash, 16, 32); err != nil || len(hash) != 8 || uint32(sum) != w.hash {
		return Witness{}, fmt.Errorf("witness key %.80q: its checksum differs, was a part of it lost?", vkey)
	}
	return w, nil
}

// String gives the verifier key.
func (w Witness) String() string {
	return fmt.Sprintf("%s+%08x+%s", w.name, w.hash, base64.StdEncoding.EncodeToString(append([]byte{algCosignature}, w.key...)))
}

// Name implements note.Verifier.
func (w Witness) Name() string { return w.name }

// KeyHash implements note.Verifier.
func (w Witness) KeyHash() uint32 { return w.hash }

// Verify implements note.Verifier: the signature is the time, 8 bytes big-endian
// in seconds, and 64 bytes over what cosigned gives.
func (w Witness) Verify(msg, sig []byte) bool {
	return len(sig) == 8+ed25519.SignatureSize && ed25519.Verify(w.key, cosigned(binary.BigEndian.Uint64(sig), msg), sig[8:])
}

// cosigned is what a witness signs, C2SP tlog-cosignature: that it saw this
// checkpoint at this time, and nothing that contradicts it before.
func cosigned(at uint64, text []byte) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at), text...)
}

// Cosignature is a witness's word about a checkpoint.
type Cosignature struct {
	Witness Witness
	At      time.Time // by the witness's clock
}

func cosignatureOf(sig note.Signature, witnesses []Witness) Cosignature {
	var c Cosignature
	for _, w := range witnesses {
		if w.name == sig.Name && w.hash == sig.Hash {
			c.Witness = w
		}
	}
	if b, err := base64.StdEncoding.DecodeString(sig.Base64); err == nil && len(b) >= 12 {
		c.At = time.Unix(int64(binary.BigEndian.Uint64(b[4:])), 0).UTC()
	}
	return c
}

// Cosign opens a checkpoint of a log and returns it with the cosignature of a
// witness, and with no other signature than those of both.
func Cosign(msg []byte, log, name string, k identity.Key, now time.Time) ([]byte, error) {
	w, err := NewWitness(name, identity.Public(k))
	if err != nil {
		return nil, err
	}
	if _, _, err := OpenCheckpoint(msg, log); err != nil {
		return nil, err
	}
	v, err := note.NewVerifier(log)
	if err != nil {
		return nil, fmt.Errorf("cosign: %w", err)
	}
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil {
		return nil, fmt.Errorf("cosign: %w", err)
	}
	at := uint64(now.Unix())
	n.UnverifiedSigs = nil
	b, err := note.Sign(n, signer{w, k, func(msg []byte) ([]byte, []byte) { return be64(at), cosigned(at, msg) }})
	if err != nil {
		return nil, fmt.Errorf("cosign: %w", err)
	}
	return b, nil
}
