package identity

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"
)

var realmOfTest = bytes.Repeat([]byte{9}, 16)

func TestARotationSaysWhatBothKeysSigned(t *testing.T) {
	old, next := keyOf(1), keyOf(2)
	b, err := SealRotation(old, next, realmOfTest, "ci1")
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenRotation(b)
	if err != nil || r.Old != IDOf(Public(old)) || !r.New.Equal(Public(next)) || r.CI != "ci1" || !bytes.Equal(r.Realm, realmOfTest) {
		t.Fatalf("OpenRotation = %+v, %v", r, err)
	}
	if err := r.Verify(Public(old)); err != nil {
		t.Errorf("Verify: %v", err)
	}
	for claim, pub := range map[string]ed25519.PublicKey{"the new key": Public(next), "no key": nil, "another": Public(keyOf(3))} {
		if err := r.Verify(pub); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: Verify = %v, want ErrSignature", claim, err)
		}
	}
}

func TestARotationWithAnyFlippedBitIsRefused(t *testing.T) {
	b, err := SealRotation(keyOf(1), keyOf(2), realmOfTest, "ci1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 * len(b) {
		bad := bytes.Clone(b)
		bad[i/8] ^= 1 << (i % 8)
		r, err := OpenRotation(bad)
		if err == nil {
			err = r.Verify(Public(keyOf(1)))
		}
		if !errors.Is(err, ErrSignature) && !errors.Is(err, ErrRotation) {
			t.Errorf("bit %d flipped: %v, want ErrSignature or ErrRotation", i, err)
		}
	}
	for _, bad := range [][]byte{nil, b[:rotationSigned+rotationHead], b[:len(b)-1], append(bytes.Clone(b), make([]byte, 200)...)} {
		if _, err := OpenRotation(bad); err == nil {
			t.Errorf("OpenRotation of %d bytes = nil, want an error", len(bad))
		}
	}
}

// A key that is not there cannot be rotated to, and no other statement of either
// key passes for this one.
func TestARotationNeedsTheNewKeyItself(t *testing.T) {
	old, next := keyOf(1), keyOf(2)
	b, err := SealRotation(old, next, realmOfTest, "ci1")
	if err != nil {
		t.Fatal(err)
	}
	body := b[rotationSigned:]
	for claim, sig := range map[string][]byte{
		"the old key instead of the new": ed25519.Sign(old, pae(TypeRotation, body)),
		"signed as a report":             ed25519.Sign(next, pae(TypeReport, body)),
		"the bare body":                  ed25519.Sign(next, body),
	} {
		bad := bytes.Clone(b)
		copy(bad[4+ed25519.SignatureSize:], sig)
		if _, err := OpenRotation(bad); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v, want ErrSignature", claim, err)
		}
	}
	if _, err := SealRotation(old, next, nil, "ci1"); !errors.Is(err, ErrRotation) {
		t.Errorf("without a realm: %v", err)
	}
	if _, err := SealRotation(old, next, realmOfTest, ""); !errors.Is(err, ErrRotation) {
		t.Errorf("without a CI: %v", err)
	}
}

func FuzzOpenRotation(f *testing.F) {
	old := keyOf(1)
	good, err := SealRotation(old, keyOf(2), realmOfTest, "ci1")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:90])
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := OpenRotation(b)
		if err != nil {
			if !errors.Is(err, ErrRotation) && !errors.Is(err, ErrSignature) {
				t.Errorf("OpenRotation = %v", err)
			}
			return
		}
		if err := r.Verify(Public(old)); err == nil && r.New.Equal(Public(keyOf(2))) && !bytes.Equal(b, good) && r.CI == "ci1" && bytes.Equal(r.Realm, realmOfTest) {
			t.Errorf("%x verifies and is not what the keys signed", b)
		}
	})
}
