package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/identity"
	"rollcall/internal/seal"
)

// FIPS 197 sections 4.2 and 4.2.1.
func TestMultiplicationIsThatOfFIPS197(t *testing.T) {
	for _, tt := range []struct{ a, b, want byte }{
		{0x57, 0x83, 0xc1}, {0x57, 0x13, 0xfe}, {0x57, 0x02, 0xae}, {0x57, 0x04, 0x47}, {0x57, 0x08, 0x8e}, {0x57, 0x10, 0x07}, {0, 0x55, 0}, {1, 0xff, 0xff},
	} {
		if got := mul(tt.a, tt.b); got != tt.want || mul(tt.b, tt.a) != got {
			t.Errorf("%#x • %#x = %#x, want %#x", tt.a, tt.b, got, tt.want)
		}
	}
	for a := 1; a < 256; a++ {
		if mul(byte(a), inverse(byte(a))) != 1 {
			t.Errorf("%#x has the inverse %#x", a, inverse(byte(a)))
		}
	}
}

// With the coefficients given, a share is a value that can be computed by hand:
// f(x) = 0x42 + 0x57 x has f(2) = 0x42 + 0xae and f(0x83) = 0x42 + 0xc1.
func TestSharesAreValuesOfThePolynomial(t *testing.T) {
	points, err := splitSecret([]byte{0x42}, 2, 0x83, bytes.NewReader([]byte{0x57}))
	if err != nil {
		t.Fatal(err)
	}
	for x, want := range map[int]byte{1: 0x42 ^ 0x57, 2: 0x42 ^ 0xae, 4: 0x42 ^ 0x47, 8: 0x42 ^ 0x8e, 0x10: 0x42 ^ 0x07, 0x13: 0x42 ^ 0xfe, 0x83: 0x42 ^ 0xc1} {
		if got := points[x-1]; int(got.x) != x || got.y[0] != want {
			t.Errorf("f(%#x) = %#x at %#x, want %#x", x, got.y[0], got.x, want)
		}
	}
}

func TestAnyKSharesGiveTheSecretAndFewerSayNothing(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789abcdef")
	points, err := splitSecret(secret, 3, 5, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for mask := range 1 << 5 {
		var some []point
		for i, p := range points {
			if mask>>i&1 == 1 {
				some = append(some, p)
			}
		}
		if len(some) < 3 {
			continue
		}
		if got, err := valuesAt(0, some); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("shares %05b give %q, %v", mask, got, err)
		}
	}
	// Two shares are consistent with every secret: for each there is a third
	// share that completes it.
	for guess := range 256 {
		third := []point{{0, []byte{byte(guess)}}, {1, points[0].y[:1]}, {2, points[1].y[:1]}}
		y, err := valuesAt(3, third)
		if err != nil {
			t.Fatal(err)
		}
		got, err := valuesAt(0, []point{third[1], third[2], {3, y}})
		if err != nil || got[0] != byte(guess) {
			t.Errorf("two shares exclude the secret %#x", guess)
		}
	}
	if _, err := valuesAt(0, []point{points[0], points[0]}); err == nil {
		t.Error("the same share twice was taken for two")
	}
}

// BIP 173, "Test vectors": valid and invalid strings, and the key of age's own
// documentation round trip.
func TestBech32IsThatOfBIP173(t *testing.T) {
	for _, text := range []string{
		"A12UEL5L", "a12uel5l", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "?1ezyfcl",
		"an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
	} {
		if _, _, err := bech32Decode(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"pzry9x0s0muk", "1pzry9x0s0muk", "x1b4n0q5v", "li1dgmt3", "A1G7SGD8", "10a06t8", "1qzzfhee", "a12UEL5L", "a12uel5m", ""} {
		if _, _, err := bech32Decode(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	for _, generate := range []func() (string, string){seal.GenerateIdentity, seal.GenerateHybridIdentity} {
		private, _ := generate()
		prefix, data, err := bech32Decode(private)
		if err != nil || len(data) != secretSize || strings.ToUpper(bech32Encode(prefix, data)) != private {
			t.Errorf("a private key does not come back: %d bytes, %v", len(data), err)
		}
	}
}

// sheets are those of a new key.
func sheets(t testing.TB, k, n int) (private, public string, texts []string) {
	t.Helper()
	private, public = seal.GenerateIdentity()
	shares, err := splitIdentity(private, public, k, n, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shares {
		texts = append(texts, string(s.sheet(public, time.Unix(1795000000, 0))))
	}
	return private, public, texts
}

func parsed(t testing.TB, texts ...string) []named {
	t.Helper()
	var all []named
	for i, text := range texts {
		some, err := parseSheets(text, fmt.Sprintf("file %d", i+1))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, some...)
	}
	return all
}

func TestASheetNamesWhatPeopleNeed(t *testing.T) {
	_, public, texts := sheets(t, 3, 5)
	for _, want := range []string{"SHARE 4", "Any 3 of 5", public, identity.WordsOf([]byte(public)), "rollcall-recovery join"} {
		if !strings.Contains(texts[3], want) {
			t.Errorf("no %q in\n%s", want, texts[3])
		}
	}
	for line := range strings.Lines(texts[3]) {
		if len(line) > 82 {
			t.Errorf("too long for a page: %q", line)
		}
	}
}

func TestWrongMixedAndDamagedSharesAreNamed(t *testing.T) {
	private, _, texts := sheets(t, 3, 5)
	_, _, other := sheets(t, 3, 5)
	if j, err := joinShares(parsed(t, texts[4], texts[0], texts[2])); err != nil || j.private != private {
		t.Fatalf("good shares: %v", err)
	}
	forged := parsed(t, texts[1])[0]
	forged.value[7] ^= 1
	withForged := func(more ...int) []named {
		all := []named{forged}
		for i, m := range more {
			s := parsed(t, texts[m])[0]
			s.from = fmt.Sprintf("file %d", i+2)
			all = append(all, s)
		}
		return all
	}
	for _, tt := range []struct {
		name   string
		shares []named
		want   string
	}{
		{"too few", parsed(t, texts[0], texts[1]), "2 shares of the set"},
		{"twice", parsed(t, texts[0], texts[1], texts[0]), "file 3: it is share 1, as file 1"},
		{"of another set", parsed(t, texts[0], other[1], texts[2]), "file 2: it is of the set"},
		{"forged, and no more than needed", withForged(0, 2), "one of them is forged"},
		{"forged, and one more", withForged(0, 2, 3), "file 1: share 2 holds something else"},
		{"none", nil, "no shares"},
	} {
		if _, err := joinShares(tt.shares); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestATypingErrorIsFoundInItsLine(t *testing.T) {
	_, _, texts := sheets(t, 2, 2)
	lines := strings.Split(texts[0][strings.Index(texts[0], "\n 1  ")+1:], "\n")
	words := strings.Fields(lines[6])
	edit := func(change func(w []string)) string {
		w := append([]string(nil), words...)
		change(w)
		out := append([]string(nil), lines...)
		out[6] = strings.Join(w, " ")
		return strings.Join(out, "\n")
	}
	other := "acid"
	if words[2] == other {
		other = "acorn"
	}
	// A line of four words and a checksum of one byte lets one error of 256
	// pass; the checksum of the whole share catches that.
	for _, tt := range []struct{ name, text, want string }{
		{"another word", edit(func(w []string) { w[2] = other }), "line 7"},
		{"a word that is none", edit(func(w []string) { w[3] = "acidd" }), "line 7: word 3 is none of the list; did you mean acid?"},
		{"a missing line", strings.Join(append(append([]string(nil), lines[:3]...), lines[4:]...), "\n"), "line 5 where line 4 is due"},
		{"the end is missing", strings.Join(lines[:9], "\n"), "ends after line 9 of 12"},
		{"no share", "hello\n", "no share in it"},
	} {
		_, err := parseSheets(tt.text, "typed")
		if err == nil || !strings.Contains(err.Error(), tt.want) && !strings.Contains(err.Error(), "checksum of the whole") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := parseLine(1, lines[1]); err == nil {
		t.Error("line 2 was taken for line 1")
	}
}

func TestASheetOfVersionOneIsReadForEver(t *testing.T) {
	s := share{set: [4]byte{1, 2, 3, 4}, k: 2, n: 3, x: 1, recipient: [4]byte{5, 6, 7, 8}}
	const want = "100102030402030105060708" + "0000000000000000000000000000000000000000000000000000000000000000" + "47d0e85d"
	if got := hex.EncodeToString(s.encode()); got != want {
		t.Errorf("the form has changed: %s, want %s", got, want)
	}
}

// FuzzParseSheets: no text makes the parser panic, and what it takes is written
// the same again.
func FuzzParseSheets(f *testing.F) {
	_, public, texts := sheets(f, 2, 3)
	f.Add(texts[0])
	f.Add(texts[0] + texts[1])
	f.Add(" 1 acid acid acid acid acid\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseSheets(text, "fuzz")
		if err != nil {
			return
		}
		for _, s := range all {
			if again, err := parseSheets(string(s.sheet(public, time.Time{})), "again"); err != nil || again[0].share != s.share {
				t.Errorf("%+v is written as %+v, %v", s, again, err)
			}
		}
	})
}
