package policy

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/identity"
)

const good = `realm = 000102030405060708090a0b0c0d0e0f
version = 7
from = 2026-11-01
until = 2027-11-01
`

func newKey(t testing.TB) (identity.Key, string) {
	t.Helper()
	k, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	pin, err := identity.PinOf(identity.Public(k))
	if err != nil {
		t.Fatal(err)
	}
	return k, pin
}

func TestABundleSaysWhatWasSigned(t *testing.T) {
	k, pin := newKey(t)
	text := good + "interval = 6h\nwatch_etc = no\ndebsums = no\nskip = sessions\nskip = ports\nexclude = ppp/*\nnext_pin = sha256:" + strings.Repeat("0a", 32) + "\n"
	b, err := Sign(k, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(b, []string{"sha256:of another", pin})
	if err != nil {
		t.Fatal(err)
	}
	if p.Version != 7 || p.Interval != 6*time.Hour || p.WatchEtc || p.Debsums || !slices.Equal(p.Skip, []string{"sessions", "ports"}) ||
		!slices.Equal(p.Exclude, []string{"ppp/*"}) || !strings.HasPrefix(p.NextPin, "sha256:0a0a") {
		t.Errorf("got %+v", p)
	}
	key, q, err := Read(b)
	if err != nil || !key.Equal(identity.Public(k)) || q.Version != 7 {
		t.Errorf("Read gives %x, %+v, %v", key, q, err)
	}
	if !bytes.HasSuffix(b, []byte(text)) {
		t.Errorf("the text cannot be read in\n%s", b)
	}
}

func TestAPolicyThatSaysNothingTakesNothingAway(t *testing.T) {
	p, err := parse([]byte(good))
	if err != nil || p.Interval != 0 || !p.WatchEtc || !p.Debsums || len(p.Skip)+len(p.Exclude) > 0 || p.NextPin != "" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAPolicyThatMakesNoSenseIsRefused(t *testing.T) {
	k, _ := newKey(t)
	for _, tt := range []struct{ name, text, want string }{
		{"a word that would widen what is collected", good + "include = /home\n", `policy:5: unknown key "include"`},
		{"another path to collect", good + "path = /home\n", `unknown key "path"`},
		{"recipients of secrets", good + "recipient = age1x\n", `unknown key "recipient"`},
		{"no realm", strings.Replace(good, "realm", "#realm", 1), "is not 32 hexadecimal digits"},
		{"a realm in capitals", strings.Replace(good, "0a0b", "0A0B", 1), "is not 32 hexadecimal digits"},
		{"no version", strings.Replace(good, "version", "#version", 1), "0 is not 1 or more"},
		{"a version below 0", strings.Replace(good, "= 7", "= -7", 1), "-7 is not 1 or more"},
		{"no end", strings.Replace(good, "until", "#until", 1), "is neither a day"},
		{"an end before its beginning", strings.Replace(good, "2027-11", "2026-10", 1), "2026-10-01 is not after 2026-11-01"},
		{"an end that is far away", strings.Replace(good, "2027", "2099", 1), "more than 400 days after"},
		{"a year that is none", strings.ReplaceAll(good, "2027", "9999"), "is neither a day"},
		{"an interval that is too short", good + "interval = 1s\n", "1s is not between"},
		{"an interval below 0", good + "interval = -1h\n", "is not between"},
		{"an interval that is too long", good + "interval = 800h\n", "is not between"},
		{"a collector that is no word", good + "skip = a b\n", "is not the name of a collector"},
		{"a pattern that is none", good + "exclude = [\n", "no pattern"},
		{"too many patterns", good + strings.Repeat("exclude = x\n", 201), "201 are more than 200"},
		{"a pin that is none", good + "next_pin = sha256:0\n", "64 hexadecimal digits"},
		{"two versions", good + "version = 8\n", `"version" was set before`},
		{"an escape code", good + "skip = \x1b[31m\n", "control character"},
		{"more than fits", good + strings.Repeat("# x\n", MaxBundle), "at most"},
	} {
		if _, err := Sign(k, []byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// signed makes a bundle of any text at all, as whoever has the key can.
func signed(k identity.Key, typ string, text string) []byte {
	enc := base64.StdEncoding.EncodeToString
	return []byte("rollcall policy 1\nkey " + enc(identity.Public(k)) + "\nsignature " + enc(identity.Sign(k, typ, []byte(text))) + "\n\n" + text)
}

func TestABundleThatIsNotTheKeysWordIsRefused(t *testing.T) {
	k, pin := newKey(t)
	other, _ := newKey(t)
	whole := signed(k, identity.TypePolicy, good)
	if _, err := Open(whole, []string{pin}); err != nil {
		t.Fatal(err)
	}
	swapped := slices.Clone(whole)
	copy(swapped, signed(other, identity.TypePolicy, good)[:bundleHead])
	copy(swapped[len(bundleMagic):], base64.StdEncoding.EncodeToString(identity.Public(k)))
	for _, tt := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, ErrBundle},
		{"text without a signature", []byte(good), ErrBundle},
		{"the head alone", whole[:bundleHead], ErrBundle},
		{"another form", bytes.Replace(whole, []byte("policy 1"), []byte("policy 2"), 1), ErrBundle},
		{"too much", append(slices.Clone(whole), make([]byte, MaxBundle)...), ErrBundle},
		{"signed by another key", signed(other, identity.TypePolicy, good), ErrKey},
		{"another key's signature beside the key", swapped, identity.ErrSignature},
		{"a text that was changed", bytes.Replace(whole, []byte("version = 7"), []byte("version = 9"), 1), identity.ErrSignature},
		{"a text with more behind it", append(slices.Clone(whole), "skip = etc\n"...), identity.ErrSignature},
		{"signed as something else", signed(k, identity.TypeServerKey, good), identity.ErrSignature},
	} {
		if _, err := Open(tt.b, []string{pin}); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := Open(whole, nil); !errors.Is(err, ErrKey) {
		t.Errorf("a machine without a policy key takes it: %v", err)
	}
	if _, err := Open(signed(k, identity.TypePolicy, good+"path = /home\n"), []string{pin}); err == nil || !strings.Contains(err.Error(), `unknown key "path"`) {
		t.Errorf("a path in a signed bundle: %v", err)
	}
	for i := range whole {
		flipped := slices.Clone(whole)
		flipped[i] ^= 1
		if _, err := Open(flipped, []string{pin}); err == nil {
			t.Errorf("with byte %d flipped it is still good", i)
		}
	}
}

func TestAPolicyCountsFromItsBeginningUntilItsEnd(t *testing.T) {
	p, err := parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]error{
		"1970-01-01T00:00:00Z": ErrEarly, "2026-10-31T23:59:59Z": ErrEarly, "2026-11-01T00:00:00Z": nil, "2027-10-31T23:59:59Z": nil,
		"2027-11-01T00:00:00Z": ErrExpired, "2100-01-01T00:00:00Z": ErrExpired,
	} {
		now, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Judge(now); !errors.Is(got, want) {
			t.Errorf("at %s: got %v, want %v", at, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	k, pin := newKey(f)
	f.Add(signed(k, identity.TypePolicy, good))
	f.Add(signed(k, identity.TypePolicy, good+"skip = ports\nexclude = \"a b\"\n"))
	f.Add([]byte("rollcall policy 1\nkey "))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		key, p, err := Read(b)
		if err == nil {
			if again := signedBy(t, key, b); !again || p.Validate() != nil {
				t.Errorf("took %q", b)
			}
		}
		if _, err := Open(b, []string{pin}); err == nil && !key.Equal(identity.Public(k)) {
			t.Errorf("took a bundle of another key: %q", b)
		}
		// The text alone, as whoever has the key may write it.
		if p, err := parse(b); err == nil && p.Validate() != nil {
			t.Errorf("took %q", b)
		}
	})
}

// signedBy tells whether the head holds exactly this key.
func signedBy(t *testing.T, key []byte, b []byte) bool {
	t.Helper()
	return bytes.HasPrefix(b, []byte(bundleMagic+base64.StdEncoding.EncodeToString(key)+bundleMiddle))
}
