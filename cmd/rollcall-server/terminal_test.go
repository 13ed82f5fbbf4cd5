package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// TestClass15TerminalEscapeOnARealTerminal shows what a hostile machine says on a
// pseudoterminal (script(1)), where colours and widths apply.
func TestClass15TerminalEscapeOnARealTerminal(t *testing.T) {
	if _, err := exec.LookPath("script"); err != nil {
		t.Skip("script(1) is not here: apt-get install bsdutils")
	}
	l := newLab(t, loopback(t), "")
	m := l.recorded("room12-pc04")["room12-pc04"]
	const evil = "\x1b]52;c;ZWNobyBvd25lZA==\x07\x1b]8;;http://evil\x1b\\\x1b[2J\x1b[8m\x9b31m\u202egnp\u2066\x08\x7f\rowned"
	m.edit("etc/hostname", evil+"\n")
	m.edit("proc/sys/kernel/hostname", evil+"\n")
	m.edit("etc/motd", "plain\n")
	if err := os.WriteFile(filepath.Join(m.root, "etc", strings.ReplaceAll(evil, "/", "")), []byte(evil), 0o644); err != nil {
		t.Fatal(err)
	}
	m.enrol("elm/north/room12", "workstation")
	m.once()
	m.edit("etc/motd", evil+"\n")
	m.once()
	name := strings.Fields(l.must("rollcall", "find", "--names", "site = elm/*"))[0]
	for _, words := range [][]string{
		{"ci", "list"}, {"ci", "show", name, "--all"}, {"ci", "history", name, "--facts"}, {"changes", "--facts"}, {"file", "diff", name + ":/etc/motd"}, {"status"}, {"radar"},
	} {
		quoted := make([]string, 0, len(words)+1)
		for _, w := range append([]string{filepath.Join(l.bin, "rollcall")}, words...) {
			quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
		}
		c := exec.Command("script", "-qec", strings.Join(quoted, " "), "/dev/null")
		c.Env = append(os.Environ(), "XDG_CONFIG_HOME="+l.path("config"), "NO_COLOR=1", "TERM=xterm", "LC_ALL=C.UTF-8")
		out, err := c.Output()
		if err != nil || len(out) == 0 {
			t.Errorf("rollcall %s on a terminal: %d bytes, %v", words, len(out), err)
		}
		for i, r := range strings.ReplaceAll(string(out), "\r\n", "\n") { // the line discipline adds \r
			if r != '\n' && r != '\t' && (r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0) || unicode.Is(unicode.Bidi_Control, r) {
				t.Errorf("rollcall %s writes %U at %d to the terminal", words, r, i)
				break
			}
		}
	}
}
