package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
)

// keyOf makes the same key from the same number in every run.
func keyOf(n byte) Key { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize)) }

func TestEnvelopeOpensAndVerifies(t *testing.T) {
	k := keyOf(1)
	body := []byte("a report")
	e, err := OpenEnvelope(Seal(k, body))
	if err != nil || e.KeyID != IDOf(Public(k)) || !bytes.Equal(e.Body, body) {
		t.Fatalf("OpenEnvelope(Seal) = %v, %v", e, err)
	}
	if err := e.Verify(Public(k)); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

// TestEnvelopeFormIsAPromise pins the bytes: Ed25519 signatures are the same in
// every run (RFC 8032).
func TestEnvelopeFormIsAPromise(t *testing.T) {
	b := Seal(keyOf(1), []byte("a report"))
	if got := string(b[:4]); got != "RCE1" {
		t.Errorf("magic = %q, want RCE1", got)
	}
	if got, want := hex.EncodeToString(b[4:20]), IDOf(Public(keyOf(1))).String(); got != want {
		t.Errorf("key id = %s, want %s", got, want)
	}
	signed := "DSSEv1 40 application/vnd.rollcall.report.v1+proto 8 a report"
	if !ed25519.Verify(Public(keyOf(1)), []byte(signed), b[20:84]) {
		t.Errorf("the signature is not one over %q", signed)
	}
	if got := string(b[84:]); got != "a report" {
		t.Errorf("body = %q, want a report", got)
	}
}

func TestEnvelopeWithAnyFlippedBitIsRefused(t *testing.T) {
	k := keyOf(1)
	good := Seal(k, []byte("a report"))
	for i := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		e, err := OpenEnvelope(bad)
		if err == nil {
			err = e.Verify(Public(k))
		}
		if !errors.Is(err, ErrSignature) && !errors.Is(err, ErrEnvelope) {
			t.Errorf("bit %d flipped: %v, want ErrSignature or ErrEnvelope", i, err)
		}
	}
}

func TestEnvelopeOfAnotherKeyOrTypeIsRefused(t *testing.T) {
	k, other := keyOf(1), keyOf(2)
	e, err := OpenEnvelope(Seal(k, []byte("a report")))
	if err != nil {
		t.Fatal(err)
	}
	for claim, pub := range map[string]ed25519.PublicKey{"another key": Public(other), "no key": nil, "a short key": Public(k)[:31]} {
		if err := e.Verify(pub); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: Verify = %v, want ErrSignature", claim, err)
		}
	}
	// A signature that the key made over the same bytes as another type.
	copy(e.Signature[:], ed25519.Sign(k, pae(TypeReceipt, e.Body)))
	if err := e.Verify(Public(k)); !errors.Is(err, ErrSignature) {
		t.Errorf("signature of another type: Verify = %v, want ErrSignature", err)
	}
	copy(e.Signature[:], ed25519.Sign(k, e.Body))
	if err := e.Verify(Public(k)); !errors.Is(err, ErrSignature) {
		t.Errorf("signature over the bare body: Verify = %v, want ErrSignature", err)
	}
}

func TestOpenEnvelopeRefusesSizeAndShape(t *testing.T) {
	good := Seal(keyOf(1), []byte("x"))
	for claim, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":       {nil, ErrEnvelope},
		"a head only":   {good[:envelopeHead], ErrEnvelope},
		"another magic": {append([]byte("RCE2"), good[4:]...), ErrEnvelope},
		"too large":     {append(bytes.Clone(good), make([]byte, MaxEnvelope)...), ErrTooLarge},
	} {
		if _, err := OpenEnvelope(tt.b); !errors.Is(err, tt.want) {
			t.Errorf("%s: OpenEnvelope = %v, want %v", claim, err, tt.want)
		}
	}
	if _, err := OpenEnvelope(append(good, make([]byte, MaxEnvelope-len(good))...)); err != nil {
		t.Errorf("the largest envelope: OpenEnvelope = %v, want nil", err)
	}
}

func TestReceiptOpensOnlyAsItWasSigned(t *testing.T) {
	k := keyOf(3)
	for _, r := range []Receipt{{}, {Envelope: sha256.Sum256([]byte("e")), Index: 1<<64 - 1, At: -1}, {Index: 7, At: 1_700_000_000_123}, {Index: 7, Logged: true}, {Index: 7, At: 9, Logged: true, Leaf: 1<<64 - 1}} {
		b := r.Sign(k)
		if got, err := OpenReceipt(Public(k), b); got != r || err != nil {
			t.Errorf("OpenReceipt(Sign(%v)) = %v, %v", r, got, err)
		}
		for i := range 8 * len(b) {
			bad := bytes.Clone(b)
			bad[i/8] ^= 1 << (i % 8)
			if got, err := OpenReceipt(Public(k), bad); err == nil || got != (Receipt{}) {
				t.Errorf("bit %d flipped: OpenReceipt = %v, %v, want an error", i, got, err)
			}
		}
		for _, pub := range []ed25519.PublicKey{Public(keyOf(4)), nil} {
			if _, err := OpenReceipt(pub, b); !errors.Is(err, ErrSignature) {
				t.Errorf("another key: OpenReceipt = %v, want ErrSignature", err)
			}
		}
		for _, bad := range [][]byte{nil, b[:len(b)-1], append(bytes.Clone(b), 0)} {
			if _, err := OpenReceipt(Public(k), bad); err == nil {
				t.Errorf("OpenReceipt of %d bytes = nil, want an error", len(bad))
			}
		}
	}
}

// The forms of receipts lie in spools and stores: they may be added to, never
// changed.
func TestReceiptFormsAreAPromise(t *testing.T) {
	r := Receipt{Envelope: sha256.Sum256([]byte("e")), Index: 3, At: 1_700_000_000_123, Leaf: 258}
	for _, form := range []struct {
		logged bool
		want   string
	}{
		{false, "524352313f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea00000000000000030000018bcfe5687b174469237dd25b19fefe1279cc10466c08552b4f9e75dfcfdb776339f41402b73520e49241e79a2f6ab8bb1f048df547ae8f41eb70ea36f4901e03a8dd773d0d"},
		{true, "524352323f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea00000000000000030000018bcfe5687b0000000000000102401732b6851f6dc17c172df3b13cc032e52046b4d41d07634b7cc083baad332a66e74d19f6f43dae28f9586fddf28419f0376b240b930a5d4024ac85e9e30f0e"},
	} {
		r.Logged = form.logged
		if !r.Logged {
			r.Leaf = 0
		} else {
			r.Leaf = 258
		}
		if got := fmt.Sprintf("%x", r.Sign(keyOf(3))); got != form.want {
			t.Errorf("the form has changed:\n%s, want\n%s", got, form.want)
		}
		raw, err := hex.DecodeString(form.want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := OpenReceipt(Public(keyOf(3)), raw); err != nil || got != r {
			t.Errorf("%+v, %v, want %+v", got, err, r)
		}
	}
}

func FuzzOpenEnvelope(f *testing.F) {
	k := keyOf(1)
	good := Seal(k, []byte("a report"))
	f.Add(good)
	f.Add(good[:50])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := OpenEnvelope(b)
		if err != nil {
			if !errors.Is(err, ErrEnvelope) && !errors.Is(err, ErrTooLarge) {
				t.Errorf("OpenEnvelope = %v, want ErrEnvelope or ErrTooLarge", err)
			}
			return
		}
		if err := e.Verify(Public(k)); err == nil && !bytes.Equal(Seal(k, e.Body), b) {
			t.Errorf("%x verifies and is not what the key sealed", b)
		}
	})
}

func FuzzOpenReceipt(f *testing.F) {
	k := keyOf(3)
	good := Receipt{Index: 5, At: 6}.Sign(k)
	f.Add(good)
	f.Add(good[:20])
	f.Add(Receipt{Index: 5, At: 6, Logged: true, Leaf: 7}.Sign(k))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := OpenReceipt(Public(k), b); err == nil && !bytes.Equal(r.Sign(k), b) {
			t.Errorf("%x opens and is not what the key signed", b)
		}
	})
}
