package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rollcall/internal/seal"
)

// TestARestoredServerIsIdentical brings the school server's /etc into an empty
// root, from the server and then from a clone of the mirror alone, and compares
// bytes, modes, owners and link targets with what was recorded.
func TestARestoredServerIsIdentical(t *testing.T) {
	l := newLab(t, loopback(t), "")
	private, public := seal.GenerateIdentity()
	l.write("recovery.key", private+"\n")
	l.write("agent.conf", "recipient = "+public+"\n")
	m := l.recorded("tjener")["tjener"]
	m.enrol("elm/north", "server")
	m.once()

	clone := l.path("clone")
	l.git("clone", "--quiet", l.mirrored("elm/north"), clone)
	hash := bytes.TrimSpace(bytes.SplitN(m.read("etc/shadow"), []byte(":"), 3)[1])
	if len(hash) > 8 { // what a thief of the server would look for
		for _, dir := range []string{"server", "clone"} {
			findNowhere(t, l.path(dir), hash)
		}
	}
	out, err := l.try("", "rollcall-agent", "restore", "--config", l.path("agent.conf"), "--root", emptyRoot(t, m), "--state", l.path("blind"),
		"--from", "tjener", "--login", l.path("config/rollcall/login"), "--all", "--no-diff", "--apply", "/etc/shadow", "/etc/motd")
	if err == nil || !strings.Contains(err.Error(), "--identity") {
		t.Errorf("a restore without the identity of what is sealed: %v, want a failure that asks for it\n%s", err, out)
	}
	for _, from := range [][]string{
		{"--from", "tjener", "--login", l.path("config/rollcall/login")},
		{"--mirror", filepath.Join(clone, "tjener")},
	} {
		if from[0] == "--mirror" {
			l.stop() // the clone must do alone
		}
		scratch := emptyRoot(t, m)
		words := append([]string{"restore", "--config", l.path("agent.conf"), "--root", scratch, "--state", scratch + ".state", "--identity", l.path("recovery.key")}, from...)
		plan := l.must("rollcall-agent", append(words, "--no-diff", "--all")...)
		if _, err := os.Stat(filepath.Join(scratch, "etc/cups")); err == nil || !strings.Contains(plan, "create") {
			t.Fatalf("%s: the plan alone has changed something, or plans nothing:\n%s", from[0], plan)
		}
		out := l.must("rollcall-agent", append(words, "--no-diff", "--all", "--apply")...)
		if n := identical(t, m.root, scratch); n < 1400 {
			t.Errorf("%s: %d entries were restored, the machine had 1,446:\n%s", from[0], n, out)
		}
	}
}

// emptyRoot makes a root that has accounts and dpkg's record, and nothing else.
func emptyRoot(t *testing.T, like *machine) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "scratch")
	for _, name := range []string{"etc/passwd", "etc/group", "var/lib/dpkg/status"} {
		to := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, like.read(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// identical compares every entry below got's /etc with that of want, and returns
// how many there are.
func identical(t *testing.T, want, got string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(filepath.Join(got, "etc"), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(name, got)
		a, err := os.Lstat(filepath.Join(want, rel))
		if err != nil {
			t.Errorf("%s was not there before: %v", rel, err)
			return nil
		}
		b, err := os.Lstat(name)
		if err != nil {
			return err
		}
		sa, sb := a.Sys().(*syscall.Stat_t), b.Sys().(*syscall.Stat_t)
		if a.Mode() != b.Mode() || sa.Uid != sb.Uid || sa.Gid != sb.Gid {
			t.Errorf("%s is %s %d:%d, was %s %d:%d", rel, b.Mode(), sb.Uid, sb.Gid, a.Mode(), sa.Uid, sa.Gid)
		}
		if content(t, filepath.Join(want, rel), a) != content(t, name, b) {
			t.Errorf("%s has another content or target", rel)
		}
		n++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func content(t *testing.T, name string, info fs.FileInfo) string {
	t.Helper()
	var b []byte
	var err error
	switch info.Mode().Type() {
	case 0:
		b, err = os.ReadFile(name)
	case fs.ModeSymlink:
		var target string
		target, err = os.Readlink(name)
		b = []byte(target)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// findNowhere fails if needle stands in any file below dir.
func findNowhere(t *testing.T, dir string, needle []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(name)
		if bytes.Contains(b, needle) {
			t.Errorf("%s holds a secret in clear", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
