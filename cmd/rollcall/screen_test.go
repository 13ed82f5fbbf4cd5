package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"rollcall/cmd/internal/cmdline"
)

func TestTextIsMadeInert(t *testing.T) {
	tests := []struct{ in, want string }{
		{"plain", "plain"},
		{"Bærum → 日本", "Bærum → 日本"},
		{"a\tb\nc", "a\tb\nc"},
		{"100%", "100%"},
		{"\x1b[2J", "%1B[2J"},
		{"a\rb", "a%0Db"},
		{"\u009b31m", "%C2%9B31m"},
		{"\u202eevil", "%E2%80%AEevil"},
		{"\u2066x\u2069", "%E2%81%A6x%E2%81%A9"},
		{"a\u200bb", "a%E2%80%8Bb"},
		{"\u2028", "%E2%80%A8"},
		{"\xff\xc3", "%FF%C3"},
		{"\ufffd", "\ufffd"}, // a replacement character that was sent as such
		{"\x7f", "%7F"},
		{"\U000e0041", "%F3%A0%81%81"},
	}
	for _, tt := range tests {
		if got := inert(tt.in); got != tt.want {
			t.Errorf("inert(%q) = %q, want %q", tt.in, got, tt.want)
		}
		if again := inert(inert(tt.in)); again != tt.want {
			t.Errorf("inert twice: %q, want %q", again, tt.want)
		}
	}
	if got, want := inertLine("a\nb\tc"), "a%0Ab%09c"; got != want {
		t.Errorf("inertLine = %q, want %q", got, want)
	}
}

func FuzzInert(f *testing.F) {
	f.Add(evil)
	f.Add("a\nb")
	f.Fuzz(func(t *testing.T, s string) {
		for _, out := range []string{inert(s), inertLine(s)} {
			if bad, at := commandIn(strings.ReplaceAll(out, "\ufffd", "")); bad {
				t.Errorf("%q: byte %d of %q is obeyed", s, at, out)
			}
		}
		doc, err := json.Marshal(map[string]string{"s": s})
		if err != nil {
			t.Fatal(err)
		}
		safe := inertJSON(doc)
		if bad, at := commandIn(strings.ReplaceAll(string(safe), "\ufffd", "")); bad {
			t.Errorf("JSON %q: byte %d is obeyed", safe, at)
		}
		var want, got map[string]string
		if json.Unmarshal(doc, &want) != nil || json.Unmarshal(safe, &got) != nil || want["s"] != got["s"] {
			t.Errorf("JSON says %q, want %q", got["s"], want["s"])
		}
		for _, l := range wrapText(inertLine(s), 20) {
			if w := displayWidth(l); w > 21 { // one wide character may stand alone
				t.Errorf("line of %d columns: %q", w, l)
			}
		}
	})
}

func TestOnlyTheScreenMakesEscapeCodes(t *testing.T) {
	var b bytes.Buffer
	s := &screen{w: &b, colour: true}
	s.styled(red, "%s", "\x1b[32m\nspoof")
	if got, want := b.String(), "\x1b[31m%1B[32m%0Aspoof\x1b[0m\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAnOutputThatBreaksIsAFailure(t *testing.T) {
	a := testApp(&bytes.Buffer{})
	a.out = newScreen(brokenPipe{})
	if got := a.run(t.Context(), []string{"completion", "bash"}); got != cmdline.Failed {
		t.Errorf("exit status %d, want %d", got, cmdline.Failed)
	}
}

func TestColumnsFollowTheDisplayWidth(t *testing.T) {
	tests := []struct {
		text string
		want int
	}{{"abc", 3}, {"æøå", 3}, {"日本", 4}, {"e\u0301", 1}, {"…", 1}, {"", 0}}
	for _, tt := range tests {
		if got := displayWidth(tt.text); got != tt.want {
			t.Errorf("displayWidth(%q) = %d, want %d", tt.text, got, tt.want)
		}
	}
	if got, want := shorten("日本語日本語", 6), "日本…"; got != want {
		t.Errorf("shorten = %q, want %q", got, want)
	}
}

func TestATableFitsItsTerminal(t *testing.T) {
	for width := 1; width < 100; width++ {
		var b bytes.Buffer
		s := &screen{w: &b, width: width}
		tab := table{header: []string{"NAME", "N", "SITE", "WHAT"}, right: map[int]bool{1: true}, elastic: 2}
		tab.row("room12-pc07", "12", "elm/north/b1/room12 日本語", "something long enough to be cut off")
		tab.row("x", "", "", "")
		tab.write(s)
		for l := range strings.Lines(b.String()) {
			l = strings.TrimSuffix(l, "\n")
			if w := displayWidth(l); w > width {
				t.Fatalf("width %d: %d columns: %q", width, w, l)
			}
			if strings.TrimRight(l, " ") != l {
				t.Fatalf("width %d: spaces at the end: %q", width, l)
			}
		}
	}
}

func TestChoicesAreThoseOfTheServer(t *testing.T) {
	if got, want := strings.Join(classes, " "), strings.Join(serverClasses(), " "); got != want {
		t.Errorf("classes %s, want %s", got, want)
	}
	if got, want := strings.Join(statuses, " "), strings.Join(serverStatuses(), " "); got != want {
		t.Errorf("statuses %s, want %s", got, want)
	}
}

func TestFlagsNarrowAFilter(t *testing.T) {
	tests := []struct{ filter, site, class, want string }{
		{"", "", "", ""},
		{"a = b or c = d", "", "", "a = b or c = d"},
		{"a = b or c = d", "", "laptop", `(a = b or c = d) and class = "laptop"`},
		{"", "elm", "", `site = "elm/*"`},
		{"", "elm/?orth", "", `site = "elm/?orth"`},
		{"", `x"y\z`, "", `site = "x\"y\\z/*"`},
	}
	for _, tt := range tests {
		if got := narrowed(tt.filter, tt.site, tt.class); got != tt.want {
			t.Errorf("narrowed(%q, %q, %q) = %s, want %s", tt.filter, tt.site, tt.class, got, tt.want)
		}
	}
}

func TestShellWordsAreQuoted(t *testing.T) {
	for in, want := range map[string]string{"tjener": "tjener", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'"} {
		if got := shellWord(in); got != want {
			t.Errorf("shellWord(%q) = %s, want %s", in, got, want)
		}
	}
}
