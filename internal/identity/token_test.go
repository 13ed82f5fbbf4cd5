package identity

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"
	"time"
)

func someToken() Token {
	return Token{
		ID: "0123abcd", URLs: []string{"rollcall.elm.no:8443", "10.0.2.2:8443"}, Pins: []string{"sha256:00", "sha256:11"},
		Secret: bytes.Repeat([]byte{7}, 16), Server: Public(keyOf(1)), Site: "elm/north", Class: "workstation", CI: "ci1",
		Name: "room 12", Expiry: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC),
	}
}

// wrap makes a token of any JSON text, with a good checksum.
func wrap(prefix, body string) string {
	b := base64.RawURLEncoding.EncodeToString([]byte(body))
	return fmt.Sprintf("%s%s.%08x", prefix, b, crc32.ChecksumIEEE([]byte(b)))
}

func TestTokenComesBackAsItWas(t *testing.T) {
	for _, prefix := range []string{EnrolPrefix, LoginPrefix} {
		want := someToken()
		s, err := want.Encode(prefix)
		if err != nil {
			t.Fatalf("Encode: %v", err)
		}
		if strings.ContainsAny(s, " \t\n/+=") {
			t.Errorf("token %q is not one word", s)
		}
		for _, text := range []string{s, " " + s + "\r\n"} {
			if got, err := ParseToken(prefix, text); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("ParseToken = %+v, %v, want %+v", got, err, want)
			}
		}
	}
}

func TestParseTokenRefusesAndKeepsTheSecret(t *testing.T) {
	good, err := someToken().Encode(EnrolPrefix)
	if err != nil {
		t.Fatal(err)
	}
	without := func(change func(*Token)) string {
		tok := someToken()
		change(&tok)
		s, err := tok.Encode(EnrolPrefix)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	text, err := json.Marshal(someToken())
	if err != nil {
		t.Fatal(err)
	}
	for claim, s := range map[string]string{
		"nothing":              "",
		"an operator's token":  strings.Replace(good, EnrolPrefix, LoginPrefix, 1),
		"no checksum":          good[:strings.LastIndexByte(good, '.')],
		"the last digit lost":  good[:len(good)-1],
		"a letter changed":     strings.Replace(good, "A", "B", 1),
		"a space in it":        good[:30] + " " + good[30:],
		"too long":             wrap(EnrolPrefix, string(text)+strings.Repeat(" ", 4000)),
		"no JSON":              wrap(EnrolPrefix, "hello"),
		"JSON of another type": wrap(EnrolPrefix, `[1,2]`),
		"two JSON values":      wrap(EnrolPrefix, string(text)+string(text)),
		"not base64":           fmt.Sprintf("%s!!!.%08x", EnrolPrefix, crc32.ChecksumIEEE([]byte("!!!"))),
		"no secret":            without(func(t *Token) { t.Secret = nil }),
		"a short secret":       without(func(t *Token) { t.Secret = t.Secret[:15] }),
		"no address":           without(func(t *Token) { t.URLs = nil }),
		"no pin":               without(func(t *Token) { t.Pins = nil }),
		"no server key":        without(func(t *Token) { t.Server = nil }),
		"a short server key":   without(func(t *Token) { t.Server = t.Server[:31] }),
	} {
		got, err := ParseToken(EnrolPrefix, s)
		if !errors.Is(err, ErrToken) || !reflect.DeepEqual(got, Token{}) {
			t.Errorf("%s: ParseToken = %+v, %v, want ErrToken and no token", claim, got, err)
		}
		if err != nil && len(s) > 20 && strings.Contains(err.Error(), s[10:20]) {
			t.Errorf("%s: the error repeats the token: %v", claim, err)
		}
	}
}

func TestProofIsBoundToSecretConnectionAndKey(t *testing.T) {
	secret := bytes.Repeat([]byte{1}, 16)
	pub := Public(keyOf(1))
	base := Proof(HashSecret(secret), []byte("exporter"), pub)
	if again := Proof(HashSecret(secret), []byte("exporter"), pub); !bytes.Equal(base, again) || len(base) != 32 {
		t.Errorf("Proof is not the same twice, or not 32 bytes: %x, %x", base, again)
	}
	for claim, other := range map[string][]byte{
		"another secret":     Proof(HashSecret(bytes.Repeat([]byte{2}, 16)), []byte("exporter"), pub),
		"another connection": Proof(HashSecret(secret), []byte("exporteR"), pub),
		"another key":        Proof(HashSecret(secret), []byte("exporter"), Public(keyOf(2))),
		"the bare secret":    Proof(string(secret), []byte("exporter"), pub),
	} {
		if bytes.Equal(base, other) {
			t.Errorf("%s: same proof", claim)
		}
	}
	if a, b := NewSecret(), NewSecret(); len(a) != 16 || bytes.Equal(a, b) {
		t.Errorf("NewSecret = %x, %x, want 16 bytes that differ", a, b)
	}
}

func FuzzParseToken(f *testing.F) {
	good, _ := someToken().Encode(EnrolPrefix)
	f.Add(good, "")
	f.Add("rc1.e30.00000000", `{"id":"x","secret":null}`)
	f.Fuzz(func(t *testing.T, s, body string) {
		for _, text := range []string{s, wrap(EnrolPrefix, body)} {
			tok, err := ParseToken(EnrolPrefix, text)
			if err != nil {
				if !errors.Is(err, ErrToken) {
					t.Errorf("ParseToken(%q) = %v, want ErrToken", text, err)
				}
				continue
			}
			again, err := tok.Encode(EnrolPrefix)
			if err != nil {
				t.Fatalf("Encode: %v", err)
			}
			if got, err := ParseToken(EnrolPrefix, again); err == nil && !reflect.DeepEqual(got, tok) {
				t.Errorf("ParseToken(Encode(%+v)) = %+v", tok, got)
			}
		}
	})
}
