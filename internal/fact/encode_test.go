package fact

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestEncodingsAreAPromise pins the bytes that are stored and hashed.
func TestEncodingsAreAPromise(t *testing.T) {
	s := Set{{"pkg/a", "1"}, {"pkg/b", ""}}
	if got, want := hex.EncodeToString(s.Encode()), "01"+"05706b672f61"+"0131"+"05706b672f62"+"00"; got != want {
		t.Errorf("Set.Encode = %s, want %s", got, want)
	}
	if got, want := s.Digest().String(), "cb67eaaffc9ce7d1a396d354c662fa40cbd42e996198b279dfe27a65691d56be"; !strings.HasPrefix(got, want) {
		t.Errorf("Set.Digest = %s, want %s…", got, want)
	}
	d := Delta{Base: Digest{1}, Result: Digest{2}, Put: []Fact{{"a/b", "c"}}, Drop: []string{"x/y"}}
	want := "11" + "01" + strings.Repeat("00", 31) + "02" + strings.Repeat("00", 31) + "01" + "03782f79" + "03612f62" + "0163"
	if got := hex.EncodeToString(d.Encode()); got != want {
		t.Errorf("Delta.Encode = %s, want %s", got, want)
	}
}

func TestDecodeSetRefusesWhatEncodeDoesNotWrite(t *testing.T) {
	for claim, b := range map[string]string{
		"nothing":                   "",
		"another version":           "\x02",
		"a length without text":     "\x01\x05",
		"a text that is cut":        "\x01\x03a/",
		"a path without value":      "\x01\x03a/b",
		"a length that never ends":  "\x01\xff\xff\xff\xff\xff\xff",
		"a length not shortest":     "\x01\x83\x00a/b\x00",
		"a huge length":             "\x01\xff\xff\xff\xff\x7fa",
		"a cut length":              "\x01\x80",
		"more facts than a section": "\x01" + strings.Repeat("\x00\x00", MaxFacts+1),
	} {
		if s, err := DecodeSet([]byte(b)); !errors.Is(err, ErrEncoding) || s != nil {
			t.Errorf("%s: DecodeSet = %.3v, %v, want ErrEncoding", claim, s, err)
		}
	}
	if s, err := DecodeSet([]byte{setV1}); len(s) != 0 || err != nil {
		t.Errorf("DecodeSet of an empty set = %v, %v, want none, nil", s, err)
	}
}

func TestDecodeDeltaRefusesWhatEncodeDoesNotWrite(t *testing.T) {
	head := append([]byte{deltaV1}, make([]byte, 64)...)
	for claim, tail := range map[string]string{
		"no number of dropped paths":   "",
		"fewer dropped paths":          "\x02\x01a",
		"too many dropped paths":       "\xff\xff\xff\x7f",
		"dropped paths out of order":   "\x02\x01b\x01a",
		"a dropped path twice":         "\x02\x01a\x01a",
		"facts out of order":           "\x00\x01b\x00\x01a\x00",
		"a fact twice":                 "\x00\x01a\x011\x01a\x012",
		"a path both dropped and put":  "\x01\x01a\x01a\x00",
		"a fact that is cut":           "\x00\x01a",
		"more facts than a section":    "\x00" + strings.Repeat("\x00\x00", MaxFacts+1),
		"a number that is not minimal": "\x80\x00",
	} {
		if d, err := DecodeDelta(append(bytes.Clone(head), tail...)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: DecodeDelta = %.3v, %v, want ErrEncoding", claim, d.Put, err)
		}
	}
	for _, b := range [][]byte{nil, head[:64], append([]byte{setV1}, head[1:]...)} {
		if _, err := DecodeDelta(b); !errors.Is(err, ErrEncoding) {
			t.Errorf("DecodeDelta(%d bytes) = %v, want ErrEncoding", len(b), err)
		}
	}
}

// randomSet draws from few paths, so that two sets have much in common.
func randomSet(rnd *rand.Rand) Set {
	var facts []Fact
	for range rnd.IntN(30) {
		facts = append(facts, Fact{fmt.Sprintf("pkg/%02d", rnd.IntN(40)), fmt.Sprint(rnd.IntN(3))})
	}
	return NewSet(facts)
}

func TestDiffLeadsFromAnySetToAnyOther(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		old, now := randomSet(rnd), randomSet(rnd)
		d, err := DecodeDelta(Diff(old, now).Encode())
		if err != nil {
			t.Fatalf("DecodeDelta(Diff.Encode): %v", err)
		}
		if d.Empty() != slices.Equal(old, now) {
			t.Errorf("Diff(%v, %v).Empty = %v", old, now, d.Empty())
		}
		got, err := d.Apply(old)
		if err != nil || !slices.Equal(got, now) {
			t.Errorf("Diff(%v, %v).Apply = %v, %v", old, now, got, err)
		}
		if other := randomSet(rnd); !slices.Equal(other, old) {
			if _, err := d.Apply(other); !errors.Is(err, ErrBase) {
				t.Errorf("Apply to another set = %v, want ErrBase", err)
			}
		}
	}
}

func TestApplyRefusesAResultThatIsNotPromised(t *testing.T) {
	base := Set{{"pkg/a", "1"}}
	d := Diff(base, Set{{"pkg/a", "2"}})
	d.Put[0].Value = "3"
	if s, err := d.Apply(base); !errors.Is(err, ErrBase) || s != nil {
		t.Errorf("Apply of a changed delta = %v, %v, want ErrBase", s, err)
	}
	full := Diff(nil, base)
	if !full.Base.IsZero() {
		t.Errorf("a full delta has the base %s, want zero", full.Base)
	}
	if _, err := full.Apply(base); !errors.Is(err, ErrBase) {
		t.Errorf("Apply of a full delta to a set = %v, want ErrBase", err)
	}
}

func TestParseDigestReadsWhatStringWrites(t *testing.T) {
	d := Set{{"a/b", "c"}}.Digest()
	if got, err := ParseDigest(d.String()); got != d || err != nil {
		t.Errorf("ParseDigest(%s) = %s, %v", d, got, err)
	}
	for _, bad := range []string{"", "00", strings.Repeat("g", 64), strings.Repeat("0", 63), strings.Repeat("0", 66)} {
		if _, err := ParseDigest(bad); err == nil {
			t.Errorf("ParseDigest(%q) = nil, want an error", bad)
		}
	}
}

func FuzzDecodeSet(f *testing.F) {
	f.Add(Set{{"pkg/a", "1"}, {"pkg/b", strings.Repeat("x", 300)}}.Encode())
	f.Add([]byte("\x01\x83\x00a/b\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeSet(b)
		switch {
		case err != nil && !errors.Is(err, ErrEncoding):
			t.Errorf("DecodeSet = %v, want ErrEncoding", err)
		case err == nil && !bytes.Equal(s.Encode(), b):
			t.Errorf("DecodeSet(%x).Encode() = %x", b, s.Encode())
		}
	})
}

func FuzzDecodeDelta(f *testing.F) {
	f.Add(Diff(Set{{"pkg/a", "1"}, {"pkg/b", "1"}}, Set{{"pkg/a", "2"}}).Encode(), []byte{setV1})
	f.Add(Diff(nil, Set{{"pkg/a", "2"}}).Encode(), Set{{"pkg/a", "1"}}.Encode())
	f.Fuzz(func(t *testing.T, b, set []byte) {
		d, err := DecodeDelta(b)
		if err != nil {
			if !errors.Is(err, ErrEncoding) {
				t.Errorf("DecodeDelta = %v, want ErrEncoding", err)
			}
			return
		}
		if !bytes.Equal(d.Encode(), b) {
			t.Errorf("DecodeDelta(%x).Encode() = %x", b, d.Encode())
		}
		base, err := DecodeSet(set)
		if err != nil {
			return
		}
		if out, err := d.Apply(base); err == nil && out.Digest() != d.Result {
			t.Errorf("Apply = %v, which is not the promised set", out)
		}
		d.Base, d.Result = Digest{}, Digest{} // and past the digests, which a fuzzer does not guess
		if base.Check("pkg") != nil {
			return
		}
		if out := d.merge(base); !slices.IsSortedFunc(out, func(a, b Fact) int { return strings.Compare(a.Path, b.Path) }) {
			t.Errorf("a sorted base and a decoded delta give %v", out)
		}
	})
}
