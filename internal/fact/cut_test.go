package fact

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCutTextIsInertAndWhole(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"short text stays", "cups", "cups"},
		{"text of the very length stays", "0123456789", "0123456789"},
		{"longer text ends in a mark", "0123456789a", "0123456…"},
		{"a character is not cut in two", "012345ååååå", "012345…"},
		{"an escape is not cut in two", "01234\x1b\x1b\x1b", "01234…"},
		{"an escape before the cut stays", "0123\x1b4567", "0123%1B…"},
		{"space around it goes", "  a \n", "a"},
	}
	for _, tt := range tests {
		if got := Cut(tt.in, 10); got != tt.want {
			t.Errorf("%s: Cut(%q, 10) = %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

func FuzzCut(f *testing.F) {
	f.Add("a\x1b…\x00", 7)
	f.Add(strings.Repeat("\n", 40), 20)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = 6 + min(500, max(0, n))
		got := Cut(s, n)
		if len(got) > n || !utf8.ValidString(got) || !inert(got) {
			t.Errorf("Cut(%q, %d) = %q", s, n, got)
		}
		if _, err := Unescape(got); err != nil {
			t.Errorf("Cut(%q, %d) = %q, which ends within an escape: %v", s, n, got, err)
		}
	})
}
