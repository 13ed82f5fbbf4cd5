package identity

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"
)

func TestStatementOpensOnlyAsItWasSigned(t *testing.T) {
	k := keyOf(5)
	b := SignStatement(k, TypeLogKey, []byte("a body"))
	if body, err := OpenStatement(Public(k), TypeLogKey, b); err != nil || string(body) != "a body" {
		t.Fatalf("OpenStatement = %q, %v", body, err)
	}
	for i := range 8 * len(b) {
		bad := bytes.Clone(b)
		bad[i/8] ^= 1 << (i % 8)
		if body, err := OpenStatement(Public(k), TypeLogKey, bad); err == nil || body != nil {
			t.Errorf("bit %d flipped: %q, %v, want an error", i, body, err)
		}
	}
	for _, bad := range [][]byte{nil, b[:len(b)-1], append(bytes.Clone(b), 0), b[:20]} {
		if _, err := OpenStatement(Public(k), TypeLogKey, bad); err == nil {
			t.Errorf("%d bytes open", len(bad))
		}
	}
}

// TestSignatureOfOneTypeIsNoneOfAnother is CVE class 19, signature confusion
// (cosign CVE-2022-36056): whatever the server's or an agent's key signs as one
// thing, it has not signed as any other.
func TestSignatureOfOneTypeIsNoneOfAnother(t *testing.T) {
	k := keyOf(5)
	body := bytes.Repeat([]byte("b"), receiptBody)
	copy(body, receiptMagic[:])
	types := []string{TypeReport, TypeReceipt, TypeReceipt2, TypeLogKey, TypeKeyState, TypeServerKey}
	second := append(append(bytes.Clone(receipt2Magic[:]), body[4:]...), make([]byte, 8)...)
	for _, signed := range types {
		sig := ed25519.Sign(k, pae(signed, body))
		opens := map[string]error{
			TypeReport:  Envelope{KeyID: IDOf(Public(k)), Signature: [64]byte(sig), Body: body}.Verify(Public(k)),
			TypeReceipt: errOf(OpenReceipt(Public(k), append(bytes.Clone(body), sig...))),
			// Its body has another length, so it is signed by itself.
			TypeReceipt2: errOf(OpenReceipt(Public(k), append(bytes.Clone(second), ed25519.Sign(k, pae(signed, second))...))),
		}
		for _, typ := range types[3:] {
			opens[typ] = errOf(OpenStatement(Public(k), typ, append(append(bytes.Clone(statementMagic[:]), sig...), body...)))
		}
		for typ, err := range opens {
			if (typ == signed) != (err == nil) || err != nil && !errors.Is(err, ErrSignature) {
				t.Errorf("signed as %s, opened as %s: %v", signed, typ, err)
			}
		}
	}
}

func errOf[T any](_ T, err error) error { return err }

func FuzzOpenStatement(f *testing.F) {
	k := keyOf(5)
	f.Add(SignStatement(k, TypeLogKey, []byte("a body")))
	f.Add([]byte("RCS1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if body, err := OpenStatement(Public(k), TypeLogKey, b); err == nil && !bytes.Equal(SignStatement(k, TypeLogKey, body), b) {
			t.Errorf("%x opens and is not what the key signed", b)
		}
	})
}
