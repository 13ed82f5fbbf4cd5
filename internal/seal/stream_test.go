package seal

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func encrypted(t *testing.T, to Recipients, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := to.Encrypt(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAStreamOpensForEachRecipientAndTheWitnessAlone(t *testing.T) {
	private1, public1 := GenerateIdentity()
	private2, public2 := GenerateIdentity()
	stranger, _ := GenerateIdentity()
	to, err := ParseRecipients([]string{public1, public2})
	if err != nil {
		t.Fatal(err)
	}
	more, witness, err := to.Witnessed()
	if err != nil || strings.Join(more.Names(), " ") != strings.Join(to.Names(), " ") {
		t.Fatalf("witnessed: %v, %v", more.Names(), err)
	}
	plain := bytes.Repeat([]byte("rollcall "), 50_000)
	sealed := encrypted(t, more, plain)
	if !bytes.HasPrefix(sealed, []byte(Magic)) {
		t.Error("it does not begin as an age file")
	}
	open := func(ids Identities) ([]byte, error) {
		r, err := Decrypt(bytes.NewReader(sealed), ids)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
	parse := func(private string) Identities {
		ids, err := ParseIdentities(strings.NewReader(private))
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	for i, ids := range []Identities{parse(private1), parse(private2), witness} {
		if got, err := open(ids); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("identity %d: %d bytes, %v", i, len(got), err)
		}
	}
	if _, err := open(parse(stranger)); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("a stranger: %v, want ErrNoIdentity", err)
	}
	for _, n := range []int{0, 10, len(sealed) / 2, len(sealed) - 1} {
		r, err := Decrypt(bytes.NewReader(sealed[:n]), witness)
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if err == nil {
			t.Errorf("a stream cut after %d bytes opens", n)
		}
	}
	if _, err := (Recipients{}).Encrypt(io.Discard); !errors.Is(err, ErrNoRecipient) {
		t.Errorf("no recipients: %v, want ErrNoRecipient", err)
	}
}
