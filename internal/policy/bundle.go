package policy

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"rollcall/internal/identity"
)

// MaxBundle bounds a bundle in bytes.
const MaxBundle = 16 << 10

// Errors of Open and Read, beside identity.ErrSignature and those of the text.
var (
	ErrBundle = errors.New("not a policy bundle")
	ErrKey    = errors.New("signed by a key that is not the policy key of this machine")
)

// A bundle is text, so that people can read what it says: three lines of fixed
// length, an empty one, and the policy as it was written. The signature is over the
// DSSE encoding of identity.TypePolicy and the exact bytes of the text.
//
//	rollcall policy 1
//	key BASE64 of the Ed25519 public key
//	signature BASE64
//
//	realm = …
const (
	bundleMagic  = "rollcall policy 1\nkey "
	bundleMiddle = "\nsignature "
	bundleEnd    = "\n\n"

	keyLength  = (ed25519.PublicKeySize + 2) / 3 * 4
	signLength = (ed25519.SignatureSize + 2) / 3 * 4
	bundleHead = len(bundleMagic) + keyLength + len(bundleMiddle) + signLength + len(bundleEnd)
)

// Sign makes a bundle of the text of a policy. The error is about the text.
func Sign(k identity.Key, text []byte) ([]byte, error) {
	if len(text) > MaxBundle-bundleHead {
		return nil, fmt.Errorf("policy of %d bytes: at most %d", len(text), MaxBundle-bundleHead)
	}
	if _, err := parse(text); err != nil {
		return nil, err
	}
	b := []byte(bundleMagic)
	b = base64.StdEncoding.AppendEncode(b, identity.Public(k))
	b = append(b, bundleMiddle...)
	b = base64.StdEncoding.AppendEncode(b, identity.Sign(k, identity.TypePolicy, text))
	b = append(b, bundleEnd...)
	return append(b, text...), nil
}

// Open reads a bundle that one of the pinned keys has signed: pins are of the form
// of identity.PinOf. Nothing of the text is looked at before the signature is good.
// Whose realm it is for and when it counts is for the caller to see.
func Open(b []byte, pins []string) (Policy, error) {
	_, p, err := read(b, func(key ed25519.PublicKey) error {
		pin, err := identity.PinOf(key)
		if err == nil && !slices.Contains(pins, pin) {
			err = ErrKey
		}
		return err
	})
	return p, err
}

// Read reads a bundle for somebody who has no policy key to compare with: that it
// is whole, signed by the key that it names, which is returned. It tells nothing
// about whether that key is the right one.
func Read(b []byte) (ed25519.PublicKey, Policy, error) {
	return read(b, func(ed25519.PublicKey) error { return nil })
}

func read(b []byte, trusted func(ed25519.PublicKey) error) (ed25519.PublicKey, Policy, error) {
	fail := func(err error) (ed25519.PublicKey, Policy, error) {
		return nil, Policy{}, fmt.Errorf("open policy bundle of %d bytes: %w", len(b), err)
	}
	if len(b) <= bundleHead || len(b) > MaxBundle {
		return fail(ErrBundle)
	}
	head, text := b[:bundleHead], b[bundleHead:]
	key, rest, ok := field(head, bundleMagic, keyLength)
	if !ok {
		return fail(ErrBundle)
	}
	signature, rest, ok := field(rest, bundleMiddle, signLength)
	if !ok || string(rest) != bundleEnd {
		return fail(ErrBundle)
	}
	if err := trusted(key); err != nil {
		return fail(err)
	}
	if err := identity.Verify(key, identity.TypePolicy, text, signature); err != nil {
		return fail(err)
	}
	p, err := parse(text)
	if err != nil {
		return fail(err)
	}
	return key, p, nil
}

// field takes what stands in Base64 behind a word. Only the one way to write it that
// there is counts.
func field(b []byte, word string, length int) (value, rest []byte, ok bool) {
	b, ok = bytes.CutPrefix(b, []byte(word))
	if !ok || len(b) < length {
		return nil, nil, false
	}
	value, err := base64.StdEncoding.Strict().DecodeString(string(b[:length]))
	return value, b[length:], err == nil
}

// Text is what a bundle says, as it was written: of one that Read or Open took, UTF-8
// without control characters but for tabs and ends of lines.
func Text(b []byte) []byte { return b[min(bundleHead, len(b)):] }
