package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// FingerprintKeySize is the length of a fingerprint key in bytes.
const FingerprintKeySize = 32

// NewFingerprintKey draws a key for [Fingerprint]. It stays on the machine it
// was made on; random is crypto/rand.Reader outside of tests.
func NewFingerprintKey(random io.Reader) ([]byte, error) {
	key := make([]byte, FingerprintKeySize)
	if _, err := io.ReadFull(random, key); err != nil {
		return nil, fmt.Errorf("draw fingerprint key: %w", err)
	}
	return key, nil
}

// Fingerprint returns the hex HMAC-SHA-256 of content under a key of
// FingerprintKeySize bytes: it differs when the content differs and, unlike a
// plain hash of a short password, cannot be guessed at without the key. A key
// of another length is a programming error and panics, since it would turn the
// fingerprint into just such a plain hash.
func Fingerprint(key, content []byte) string {
	if len(key) != FingerprintKeySize {
		panic(fmt.Sprintf("seal: fingerprint key of %d bytes, not %d", len(key), FingerprintKeySize))
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(content)
	return hex.EncodeToString(mac.Sum(nil))
}
