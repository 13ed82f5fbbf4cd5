package fact

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEscapeMakesInertAndLeavesTheRest(t *testing.T) {
	for _, tt := range []struct{ raw, want string }{
		{"", ""},
		{"plain text", "plain text"},
		{"100%", "100%25"},
		{"%41", "%2541"},
		{"a\nb\tc\x00", "a%0Ab%09c%00"},
		{"\x1b[31mred", "%1B[31mred"},
		{"\x7f", "%7F"},
		{"\u0085\u009b", "%C2%85%C2%9B"},
		{"bjørn 名前 🙂", "bjørn 名前 🙂"},
		{"\xff\xc3", "%FF%C3"},
		{"a\u202eb\u2066c\u200f", "a%E2%80%AEb%E2%81%A6c%E2%80%8F"},
		{"\u2028\u2029\ufeff", "%E2%80%A8%E2%80%A9%EF%BB%BF"},
		{"\ufffd", "\ufffd"},
		{"\xed\xa0\x80", "%ED%A0%80"}, // a surrogate half is not UTF-8
	} {
		if got := Escape(tt.raw); got != tt.want {
			t.Errorf("Escape(%q) = %q, want %q", tt.raw, got, tt.want)
		}
		if got, err := Unescape(tt.want); got != tt.raw || err != nil {
			t.Errorf("Unescape(%q) = %q, %v, want %q", tt.want, got, err, tt.raw)
		}
	}
}

func TestUnescapeRefusesHalfAnEscape(t *testing.T) {
	for _, bad := range []string{"%", "a%", "%4", "%4g", "%g4", "%%41", "% 41"} {
		if got, err := Unescape(bad); err == nil {
			t.Errorf("Unescape(%q) = %q, want an error", bad, got)
		}
	}
	if got, err := Unescape("%c3%a5"); got != "å" || err != nil {
		t.Errorf("Unescape of lower-case digits = %q, %v, want å", got, err)
	}
}

func TestValueIsTrimmedAndCut(t *testing.T) {
	if got := Value(" \tx y\n "); got != "x y" {
		t.Errorf("Value = %q, want x y", got)
	}
	for _, unit := range []string{"a", "å", "名", "🙂", "\n", "a\n", "\xff"} {
		for n := range 8 { // all ways in which the cut can meet the unit
			v := Value("s" + strings.Repeat("x", n) + strings.Repeat(unit, MaxValue) + "e")
			if len(v) > MaxValue || len(v) < MaxValue-20 || !strings.HasSuffix(v, "…(cut)") || !inert(v) {
				t.Errorf("Value of many %q: %d bytes, …%q: want at most %d, inert, with a mark", unit, len(v), v[len(v)-20:], MaxValue)
			}
			if _, err := Unescape(v); err != nil {
				t.Errorf("Value of many %q was cut inside of an escape: %v", unit, err)
			}
		}
	}
}

func TestNameIsOneComponent(t *testing.T) {
	for raw, want := range map[string]string{"": "%00", "a": "a", "a/b": "a%2Fb", "a\nb": "a%0Ab", "..": ".."} {
		if got := Name(raw); got != want {
			t.Errorf("Name(%q) = %q, want %q", raw, got, want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "plain", "%", "%0", "%zz", "a\x00\u202e\xff%41", "å\u0085"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := Escape(s)
		if !inert(e) || !utf8.ValidString(e) {
			t.Errorf("Escape(%q) = %q is not inert", s, e)
		}
		if back, err := Unescape(e); back != s || err != nil {
			t.Errorf("Unescape(Escape(%q)) = %q, %v", s, back, err)
		}
		if raw, err := Unescape(s); err == nil {
			if again, err := Unescape(Escape(raw)); again != raw || err != nil {
				t.Errorf("Unescape(Escape(%q)) = %q, %v", raw, again, err)
			}
		}
		if v := Value(s); (Fact{Path: "x/" + Name(s), Value: v}).Check() != nil && len(Name(s)) < MaxPath-2 {
			t.Errorf("Name(%q) and Value(%q) do not pass Check", s, s)
		}
		if strings.Contains(Name(s), "/") {
			t.Errorf("Name(%q) = %q has a slash", s, Name(s))
		}
	})
}
