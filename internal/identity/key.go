// Package identity holds the second noun of Rollcall: who speaks. One Ed25519
// key per agent signs every report and is the key of its TLS certificate; the
// server is known by the pin of its public key, which tokens carry.
//
// The package owns keys, pins, certificates, envelopes, receipts and tokens:
// their binary forms, how they are signed and how they are verified. What a
// report says, and what a token allows, is left to others.
package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Key is a private signing key.
type Key = ed25519.PrivateKey

// KeyID is the first 16 bytes of the SHA-256 of a public key: a hint for
// finding the key, never a proof.
type KeyID [16]byte

// String gives the key id in lower-case hexadecimal.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// ParseKeyID reads 32 hexadecimal digits.
func ParseKeyID(s string) (KeyID, error) {
	var id KeyID
	if b, err := hex.DecodeString(s); err != nil || copy(id[:], b) != len(id) || len(b) != len(id) {
		return KeyID{}, fmt.Errorf("key id %.80q: want %d hexadecimal digits", s, 2*len(id))
	}
	return id, nil
}

// IDOf returns the key id of a public key.
func IDOf(pub ed25519.PublicKey) KeyID {
	sum := sha256.Sum256(pub)
	return KeyID(sum[:16])
}

// Public returns the public half of a key.
func Public(k Key) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// NewKey makes a key from the system's randomness.
func NewKey() (Key, error) {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return k, nil
}

// LoadKey reads a PKCS #8 PEM key file (RFC 5958). It refuses a file that group
// or others can read. A missing file is fs.ErrNotExist.
func LoadKey(name string) (Key, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read key %s: mode %04o lets others read it: chmod 600 it, or better make a new key", name, info.Mode().Perm())
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("read key %s: no PEM block PRIVATE KEY in it", name)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", name, err)
	}
	ed, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read key %s: %T, want an Ed25519 key", name, k)
	}
	return ed, nil
}

// SaveKey writes a key file with mode 0600, durably and in one step.
func SaveKey(name string, k Key) error {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return fmt.Errorf("save key: %w", err)
	}
	return WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// LoadOrMakeKey reads the key file, or makes one if there is none; made tells
// which.
func LoadOrMakeKey(name string) (k Key, made bool, err error) {
	k, err = LoadKey(name)
	if !errors.Is(err, os.ErrNotExist) {
		return k, false, err
	}
	if k, err = NewKey(); err != nil {
		return nil, false, err
	}
	return k, true, SaveKey(name, k)
}

// WriteFile replaces a private file (0600) so that after a crash either the old
// or the new content is there: temporary file, fsync, rename, fsync of the
// folder.
func WriteFile(name string, content []byte) error {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return SyncDir(dir)
}

// SyncDir makes a folder's entries durable (fsync(2): "calling fsync does not
// necessarily ensure that the entry in the directory has also reached disk").
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}

// Words spells the first 64 bits of the SHA-256 of a public key as eight words,
// for two people to compare by voice.
func Words(pub ed25519.PublicKey) string { return WordsOf(pub) }

// WordsOf is Words for a public key of another kind, such as the text of an age
// recipient.
func WordsOf(public []byte) string {
	sum := sha256.Sum256(public)
	words := make([]string, 8)
	for i := range words {
		words[i] = wordlist[sum[i]]
	}
	return strings.Join(words, "-")
}
