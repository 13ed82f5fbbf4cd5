package identity

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"
)

// Prefixes of the two kinds of token, so that one is never taken for the other.
const (
	EnrolPrefix = "rc1."   // admits one machine
	LoginPrefix = "rcop1." // lets one operator in
)

// ErrToken is wrapped by every error about text that is not a token.
var ErrToken = errors.New("not a valid token")

// maxToken bounds the text before it is decoded.
const maxToken = 4096

// Token is what an operator carries to a machine (EnrolPrefix) or keeps for
// herself (LoginPrefix): where the server is, how to recognise it, and a secret
// of which the server keeps the hash only.
type Token struct {
	ID     string    `json:"id"`   // hexadecimal, chosen by the server
	URLs   []string  `json:"urls"` // host:port, tried in order
	Pins   []string  `json:"pins"` // present and next server key, see Pin
	Secret []byte    `json:"secret"`
	Server []byte    `json:"server"` // the server's Ed25519 key, which signs receipts
	Site   string    `json:"site,omitempty"`
	Class  string    `json:"class,omitempty"`
	CI     string    `json:"ci,omitempty"` // the CI that a reinstalled machine takes over
	Name   string    `json:"name,omitempty"`
	Expiry time.Time `json:"exp,omitzero"`
	Realm  []byte    `json:"realm,omitempty"`  // of the server; missing: what Server founded, see RealmOf
	Public bool      `json:"public,omitempty"` // it lies in a boot image: no secret, and not to be removed after use
}

// RealmID names the installation that the token leads to.
func (t Token) RealmID() []byte {
	if len(t.Realm) > 0 {
		return t.Realm
	}
	return RealmOf(t.Server)
}

// NewSecret returns 16 random bytes.
func NewSecret() []byte {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return b
}

// HashSecret returns what the server keeps of a secret.
func HashSecret(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:])
}

// Encode gives the token as one word: prefix, base64url of JSON (RFC 4648
// section 5), a dot, and a checksum against typing errors.
func (t Token) Encode(prefix string) (string, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("encode token: %w", err)
	}
	body := base64.RawURLEncoding.EncodeToString(b)
	return fmt.Sprintf("%s%s.%08x", prefix, body, crc32.ChecksumIEEE([]byte(body))), nil
}

// ParseToken reads what Encode wrote. Errors wrap ErrToken and never repeat the
// text, which is a secret.
func ParseToken(prefix, s string) (Token, error) {
	var t Token
	s = strings.TrimSpace(s)
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return t, fmt.Errorf("%w: it does not begin with %q", ErrToken, prefix)
	}
	body, sum, ok := strings.Cut(rest, ".")
	if !ok || len(rest) > maxToken {
		return t, fmt.Errorf("%w: cut off, or too long", ErrToken)
	}
	if sum != fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(body))) {
		return t, fmt.Errorf("%w: the checksum differs, was a part of it lost?", ErrToken)
	}
	b, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return t, fmt.Errorf("%w: bad base64", ErrToken)
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return Token{}, fmt.Errorf("%w: bad JSON", ErrToken)
	}
	if len(t.Secret) != 16 || len(t.URLs) == 0 || len(t.Pins) == 0 || len(t.Server) != ed25519.PublicKeySize {
		return Token{}, fmt.Errorf("%w: secret, address, pin or server key is missing", ErrToken)
	}
	return t, nil
}

// ExporterLabel is the label of the TLS exporter (RFC 8446 section 7.5) that
// binds the proof of a token to one connection.
const ExporterLabel = "EXPORTER-rollcall-enrol"

// Proof is the HMAC-SHA-256 with the token's hashed secret over the exporter
// value and the agent's public key. The server can compute it from what it
// keeps; nobody between can use it elsewhere.
func Proof(secretHash string, exporter []byte, pub ed25519.PublicKey) []byte {
	m := hmac.New(sha256.New, []byte(secretHash))
	m.Write(exporter)
	m.Write(pub)
	return m.Sum(nil)
}

// CarriedBinding stands in the place of the exporter value in the proof of a request
// that comes in a file: there is no connection to bind it to, so the proof is bound
// to everything that is asked for, the key among it. Who copies the file can ask for
// the same once more, and nothing else. asked is the encoded CarriedEnrolment.Asked.
func CarriedBinding(asked []byte) []byte {
	sum := sha256.Sum256(append([]byte("rollcall carried enrolment v1\x00"), asked...))
	return sum[:]
}
