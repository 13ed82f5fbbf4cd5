package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// TestAHostileMachineStaysInert reports names and contents that aim at terminals,
// JSON readers, git and checkouts.
func TestAHostileMachineStaysInert(t *testing.T) {
	l := newLab(t, loopback(t), "")
	m := l.recorded("room12-pc04")["room12-pc04"]
	const escape = "\x1b]0;owned\x07\x1b[31mred\x9b2J\u202egnp.exe"
	if err := os.WriteFile(filepath.Join(m.root, "proc/sys/kernel/hostname"), []byte(escape+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.edit("etc/hostname", escape+"\n")
	names := []string{
		"line\nbreak", escape, strings.Repeat("x", 255), "\xff\xfebytes", ".gitmodules", ".gitattributes", "git~1", "...", "trailing ",
		"%2e%2e", "-rf", "$(reboot)", "a\tb", "con", "<script>alert(1)", "=cmd|' C calc'!A0", ".GIT", "\u200c.git", "dot.",
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(m.root, "etc", name), []byte("[core]\n\tfsmonitor = reboot\n"+escape+"\n"), 0o644); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
	}
	if err := os.Symlink("../../../../../../tmp/owned", filepath.Join(m.root, "etc/out")); err != nil {
		t.Fatal(err)
	}
	m.enrol("elm/north/room12", "workstation")
	m.once()
	m.edit("etc/"+names[0], "changed\n")
	m.once()

	name := strings.Fields(l.must("rollcall", "find", "--names", "site = elm/*"))[0]
	for _, words := range [][]string{
		{"ci", "list"},
		{"ci", "show", name, "--all"},
		{"ci", "history", name},
		{"changes"},
		{"find", "site = elm/*"},
		{"file", "show", name + ":/etc/-rf"},
		{"file", "log", name + ":/etc/line%0Abreak"},
		{"file", "diff", name + ":/etc/line%0Abreak"},
		{"enrol", "pending", "--all"},
		{"status"},
	} {
		inert(t, strings.Join(words, " "), l.must("rollcall", words...))
		if text := l.must("rollcall", append(words, "--json")...); !json.Valid([]byte(text)) {
			t.Errorf("%s --json is no JSON", words)
		} else {
			inert(t, strings.Join(words, " ")+" --json", text)
		}
	}
	repo := l.mirrored("elm/north")
	clone := l.path("clone")
	l.git("clone", "--quiet", repo, clone)
	if out := l.git("-C", clone, "fsck", "--strict"); strings.Contains(out, "error") || strings.Contains(out, "warning") {
		t.Errorf("git fsck --strict: %s", out)
	}
	if out := l.git("-C", clone, "status", "--porcelain"); out != "" {
		t.Errorf("the clone is not what was cloned: %q", out)
	}
	if _, err := os.Stat("/tmp/owned"); err == nil {
		t.Error("something was written outside of the clone")
	}
}

// inert reports an error if text holds a byte or rune that a terminal acts upon.
func inert(t *testing.T, what, text string) {
	t.Helper()
	for i, r := range text {
		if r == '\n' || r == '\t' {
			continue
		}
		if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar {
			t.Errorf("rollcall %s prints %U at %d: %q", what, r, i, text[max(0, i-40):min(len(text), i+40)])
			return
		}
	}
}
