package fact

import (
	"slices"
	"strings"
	"testing"
)

func TestCheckRefusesWhatBreaksTheRules(t *testing.T) {
	for _, tt := range []struct {
		claim, path, value string
		ok                 bool
	}{
		{"a plain fact", "pkg/cups/version", "2.4.2-3+deb12u8", true},
		{"an empty value", "svc/cups.service", "", true},
		{"letters of any language", "user/bjørn", "uid=1000 名前", true},
		{"an escaped control character", "etc/a%0Ab", "x%1B", true},
		{"U+FFFD that was there", "etc/a\ufffd", "\ufffd", true},
		{"no section", "pkg", "x", false},
		{"an empty path", "", "x", false},
		{"nothing below the section", "pkg/", "x", false},
		{"only slashes below the section", "pkg///", "x", false},
		{"an empty section", "/pkg/x", "x", false},
		{"a section with capitals", "Pkg/x", "x", false},
		{"a section that is too long", "abcdefghijklmnopq/x", "x", false},
		{"a newline in the path", "pkg/a\nb", "x", false},
		{"an escape code in the value", "pkg/a", "\x1b[31m", false},
		{"a C1 control character", "pkg/a", "\u009b31m", false},
		{"DEL", "pkg/a", "\x7f", false},
		{"a byte that is not UTF-8", "etc/a\xff", "x", false},
		{"a value that is not UTF-8", "etc/a", "\xc3", false},
		{"text that runs the other way", "etc/a\u202e", "x", false},
		{"a line separator", "etc/a", "\u2028", false},
		{"the longest path", "etc/" + strings.Repeat("a", MaxPath-4), "", true},
		{"a longer path", "etc/" + strings.Repeat("a", MaxPath-3), "", false},
		{"the longest value", "etc/a", strings.Repeat("a", MaxValue), true},
		{"a longer value", "etc/a", strings.Repeat("a", MaxValue+1), false},
	} {
		err := Fact{tt.path, tt.value}.Check()
		if (err == nil) != tt.ok {
			t.Errorf("%s: Check = %v, want ok %v", tt.claim, err, tt.ok)
		}
		if err != nil && (!inert(err.Error()) || len(err.Error()) > 1000) {
			t.Errorf("%s: the error is not inert or too long: %q", tt.claim, err)
		}
	}
}

func TestSetCheckRefusesDisorderAndStrangers(t *testing.T) {
	for _, tt := range []struct {
		claim string
		set   Set
		ok    bool
	}{
		{"an empty set", nil, true},
		{"a sorted set", Set{{"pkg/a", ""}, {"pkg/b", ""}}, true},
		{"out of order", Set{{"pkg/b", ""}, {"pkg/a", ""}}, false},
		{"a path twice", Set{{"pkg/a", ""}, {"pkg/a", ""}}, false},
		{"another section", Set{{"pkg/a", ""}, {"svc/a", ""}}, false},
		{"a bad fact", Set{{"pkg/a", "\n"}}, false},
		{"too many", make(Set, MaxFacts+1), false},
	} {
		if err := tt.set.Check("pkg"); (err == nil) != tt.ok {
			t.Errorf("%s: Check = %v, want ok %v", tt.claim, err, tt.ok)
		}
	}
}

func TestNewSetSortsAndKeepsTheLast(t *testing.T) {
	got := NewSet([]Fact{{"pkg/b", "1"}, {"pkg/a", "1"}, {"pkg/b", "2"}, {"pkg/b", "3"}})
	if want := (Set{{"pkg/a", "1"}, {"pkg/b", "3"}}); !slices.Equal(got, want) {
		t.Errorf("NewSet = %v, want %v", got, want)
	}
	if got := NewSet(nil); len(got) != 0 {
		t.Errorf("NewSet(nil) = %v, want nothing", got)
	}
}

func TestGetAndBelowFindByPath(t *testing.T) {
	s := NewSet([]Fact{{"pkg/a/version", "1"}, {"pkg/ab/version", "2"}, {"pkg/a/state", "3"}, {"pkg/b", "4"}})
	for path, want := range map[string]string{"pkg/a/version": "1", "pkg/b": "4"} {
		if got, ok := s.Get(path); got != want || !ok {
			t.Errorf("Get(%q) = %q, %v, want %q", path, got, ok, want)
		}
	}
	for _, path := range []string{"", "pkg/a", "pkg/zzz"} {
		if got, ok := s.Get(path); ok {
			t.Errorf("Get(%q) = %q, want none", path, got)
		}
	}
	for prefix, want := range map[string]int{"": 4, "pkg/a/": 2, "pkg/a": 3, "pkg/c": 0, "zzz": 0} {
		if got := s.Below(prefix); len(got) != want {
			t.Errorf("Below(%q) = %v, want %d facts", prefix, got, want)
		}
	}
}

func TestSplitGroupsBySection(t *testing.T) {
	got := Split([]Fact{{"svc/b", "1"}, {"pkg/a", "2"}, {"svc/a", "3"}})
	if len(got) != 2 || !slices.Equal(got["svc"], Set{{"svc/a", "3"}, {"svc/b", "1"}}) || !slices.Equal(got["pkg"], Set{{"pkg/a", "2"}}) {
		t.Errorf("Split = %v", got)
	}
}

func TestStateDigestDependsOnEverySectionAndOnNothingElse(t *testing.T) {
	a, b := Digest{1}, Digest{2}
	base := State{"hw": a, "pkg": b}.Digest()
	if got := (State{"pkg": b, "hw": a}).Digest(); got != base {
		t.Errorf("the order of a map changes the digest")
	}
	for claim, other := range map[string]State{
		"nothing":         nil,
		"a section less":  {"hw": a},
		"a section more":  {"hw": a, "net": a, "pkg": b},
		"digests swapped": {"hw": b, "pkg": a},
		"another name":    {"hw": a, "svc": b},
	} {
		if other.Digest() == base {
			t.Errorf("%s: same digest", claim)
		}
	}
}

func TestTextComesBackAsItWas(t *testing.T) {
	s := NewSet([]Fact{
		{"etc/a b", "sha256:00 0644 root:root"},
		{"etc/empty", ""},
		{"etc/" + strings.Repeat("p", MaxPath-4), strings.Repeat("v", MaxValue)},
	})
	var b strings.Builder
	if err := s.WriteText(&b); err != nil {
		t.Fatalf("WriteText: %v", err)
	}
	got, err := ReadText(strings.NewReader(b.String()))
	if err != nil || !slices.Equal(got, s) {
		t.Errorf("ReadText(WriteText) = %d facts, %v, want %d as they were", len(got), err, len(s))
	}
}

func TestReadTextNamesTheLine(t *testing.T) {
	for claim, tail := range map[string]string{
		"no tab":        "etc/b",
		"a bad path":    "etc\tx",
		"a control":     "etc/b\t\x1b",
		"an empty line": "\netc/b\tx",
		"too long":      "etc/b\t" + strings.Repeat("x", 100_000),
	} {
		_, err := ReadText(strings.NewReader("etc/a\tx\n" + tail))
		if err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: ReadText = %v, want an error in line 2", claim, err)
		}
	}
}

func FuzzReadText(f *testing.F) {
	f.Add("etc/a\tdir 0755 root:root\netc/b\tx\n")
	f.Add("etc/a\tx\r\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadText(strings.NewReader(text))
		if err != nil {
			return
		}
		var b strings.Builder
		if err := s.WriteText(&b); err != nil {
			t.Fatalf("WriteText: %v", err)
		}
		again, err := ReadText(strings.NewReader(b.String()))
		if err != nil || !slices.Equal(again, s) {
			t.Errorf("ReadText(WriteText(%q)) = %q, %v", s, again, err)
		}
		for _, x := range s {
			if err := x.Check(); err != nil {
				t.Errorf("ReadText let through %v", err)
			}
		}
	})
}
