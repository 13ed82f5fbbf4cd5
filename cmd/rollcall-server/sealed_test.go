package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// recovery runs rollcall-recovery as on a machine without a network: it gets
// nothing of the lab but the files that are named.
func (l *lab) recovery(stdin string, args ...string) (string, error) {
	var out bytes.Buffer
	c := exec.Command("unshare", append([]string{"--net", filepath.Join(l.bin, "rollcall-recovery")}, args...)...)
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &out, &out
	c.Dir = l.dir
	err := c.Run()
	return out.String(), err
}

func (l *lab) mustRecover(args ...string) string {
	l.t.Helper()
	out, err := l.recovery("", args...)
	if err != nil {
		l.t.Fatalf("rollcall-recovery %q: %v\n%s", args, err, out)
	}
	return out
}

// twoKeys makes two identities as a school does, and the agents' configuration.
func (l *lab) twoKeys() {
	l.t.Helper()
	var conf strings.Builder
	for _, name := range []string{"first.key", "second.key"} {
		out := l.mustRecover("make", "--out", name)
		conf.WriteString(out[:strings.Index(out, "\n")+1])
	}
	l.write("agent.conf", conf.String())
}

// TestSecretsComeBackWithoutTheIdentityOnTheMachine restores shadow and a host
// key: the identity was put on paper and joined again, stays on a machine without
// a network, and only the machine with the words gets the contents.
func TestSecretsComeBackWithoutTheIdentityOnTheMachine(t *testing.T) {
	l := newLab(t, loopback(t), "")
	l.twoKeys()
	m := l.recorded("tjener")["tjener"]
	m.enrol("elm/north", "server")
	m.once()

	l.mustRecover("split", "--shares", "5", "--need", "3", "--out-dir", l.dir, "second.key")
	l.mustRecover("join", "--out", "joined.key", "share-2.txt", "share-5.txt", "share-3.txt")

	scratch := emptyRoot(t, m)
	state := scratch + ".state"
	on := []string{"--config", l.path("agent.conf"), "--root", scratch, "--state", state}
	key := l.must("rollcall-agent", append([]string{"restore-key"}, on...)...)
	words := strings.Fields(key)[3]
	from := append([]string{"restore", "--from", "tjener", "--login", l.path("config/rollcall/login"), "--no-diff", "/etc/shadow", "/etc/ssh"}, on...)
	l.must("rollcall-agent", append(from, "--sealed-out", l.path("ask"))...)
	if out, err := l.recovery("acid acid acid acid acid acid acid acid\n", "rewrap", "--identity", "joined.key", "ask", "answer"); err == nil {
		t.Errorf("rewrap with other words: %s", out)
	}
	if out, err := l.recovery(words+"\n", "rewrap", "--identity", "joined.key", "ask", "answer"); err != nil {
		t.Fatalf("rewrap: %v\n%s", err, out)
	}
	if out, err := l.try("", "rollcall-agent", append(from, "--sealed-in", l.path("ask"), "--apply")...); err == nil {
		t.Errorf("the request was taken for an answer:\n%s", out)
	}
	out := l.must("rollcall-agent", append(from, "--sealed-in", l.path("answer"), "--apply")...)
	for _, name := range []string{"etc/shadow", "etc/ssh/ssh_host_ed25519_key"} {
		want, err := os.Lstat(filepath.Join(m.root, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.Lstat(filepath.Join(scratch, name))
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		a, b := want.Sys().(*syscall.Stat_t), got.Sys().(*syscall.Stat_t)
		if content(t, filepath.Join(scratch, name), got) != string(m.read(name)) || want.Mode() != got.Mode() || a.Uid != b.Uid || a.Gid != b.Gid {
			t.Errorf("%s came back as %s %d:%d, was %s %d:%d, or with another content", name, got.Mode(), b.Uid, b.Gid, want.Mode(), a.Uid, a.Gid)
		}
	}
	// Another request makes the answer to the first worth nothing.
	l.must("rollcall-agent", append(from, "--sealed-out", l.path("ask"))...)
	if out, err := l.try("", "rollcall-agent", append(from, "--sealed-in", l.path("answer"), "--apply")...); err == nil || !strings.Contains(err.Error(), "does not answer the last request") {
		t.Errorf("an old answer: %v\n%s", err, out)
	}
}
