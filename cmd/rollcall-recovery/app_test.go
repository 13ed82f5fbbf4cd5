package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"rollcall/internal/seal"
)

// bench is a folder and the program at work in it.
type bench struct {
	t   *testing.T
	dir string
}

func newBench(t *testing.T) *bench { return &bench{t, t.TempDir()} }

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) run(stdin string, args ...string) (code int, stdout, stderr string) {
	b.t.Helper()
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(stdin), out: &out, err: &errs, now: time.Now, random: rand.Reader}
	code = a.run(args)
	return code, out.String(), errs.String()
}

func (b *bench) must(args ...string) string {
	b.t.Helper()
	code, out, errs := b.run("", args...)
	if code != 0 {
		b.t.Fatalf("%q: exit %d\n%s%s", args, code, out, errs)
	}
	return out
}

func (b *bench) read(name string) string {
	b.t.Helper()
	text, err := os.ReadFile(b.path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// key makes an identity and returns its private and public text.
func (b *bench) key(name string) (private, public string) {
	b.t.Helper()
	public = strings.TrimSpace(strings.TrimPrefix(b.must("make", "--out", b.path(name)), "recipient = "))
	lines := strings.Split(strings.TrimSpace(b.read(name)), "\n")
	return lines[len(lines)-1], public
}

func (b *bench) seal(name, content string, to ...string) {
	b.t.Helper()
	r, err := seal.ParseRecipients(to)
	if err != nil {
		b.t.Fatal(err)
	}
	sealed, err := r.Seal([]byte(content))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.path(name), sealed, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func TestAKeyIsMadeSplitJoinedAndChecked(t *testing.T) {
	b := newBench(t)
	private, public := b.key("school.key")
	if info, err := os.Stat(b.path("school.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info.Mode(), err)
	}
	b.seal("shadow.age", "root:x\n", public)
	b.must("split", "--shares", "5", "--need", "3", "--out-dir", b.dir, b.path("school.key"))
	b.must("join", "--out", b.path("again.key"), b.path("share-5.txt"), b.path("share-1.txt"), b.path("share-2.txt"))
	if !strings.Contains(b.read("again.key"), private) {
		t.Error("the joined key is another one")
	}
	out := b.must("check", b.path("again.key"), "--recipient", public, "--sealed", b.path("shadow.age"),
		"--share", b.path("share-1.txt"), "--share", b.path("share-3.txt"), "--share", b.path("share-4.txt"))
	for _, want := range []string{"identity   belongs to " + public, "recipient  is that", "opens: 7 bytes", "3 of the set"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	out = b.must("check", "--sealed", b.path("shadow.age"), "--share", b.path("share-1.txt"), "--share", b.path("share-3.txt"), "--share", b.path("share-4.txt"))
	if !strings.Contains(out, "opens: 7 bytes") {
		t.Errorf("shares alone: %s", out)
	}
	var shown []struct{ Recipient, Words string }
	if err := json.Unmarshal([]byte(b.must("show", "--json", b.path("again.key"))), &shown); err != nil || len(shown) != 1 || shown[0].Recipient != public {
		t.Errorf("show: %v, %v", shown, err)
	}
	b.must("open", "--identity", b.path("again.key"), "--out", b.path("shadow"), b.path("shadow.age"))
	if got := b.read("shadow"); got != "root:x\n" {
		t.Errorf("opened %q", got)
	}
}

func TestSharesAreTypedInAndALineThatIsWrongIsAskedForAgain(t *testing.T) {
	b := newBench(t)
	private, _ := b.key("k")
	b.must("split", "--shares", "3", "--need", "2", "--out-dir", b.dir, b.path("k"))
	words := func(name string) string {
		text := b.read(name)
		return text[strings.Index(text, "\n 1  ")+1:]
	}
	first := words("share-1.txt")
	typed := "1 acid acid acid\n" + first[:strings.Index(first, "\n")] + "\n\nnonsense\n" + first[strings.Index(first, "\n")+1:] +
		first + // the same share again
		strings.ToUpper(words("share-3.txt"))
	code, out, errs := b.run(typed, "join", "--out", b.path("again"))
	if code != 0 || !strings.Contains(b.read("again"), private) {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	for _, want := range []string{"line 1: 3 words, want 5", "line 2: 1 words", "it is share 1, as share 1 that was typed in", "1 of 2 shares"} {
		if !strings.Contains(errs, want) {
			t.Errorf("no %q in\n%s", want, errs)
		}
	}
	if strings.Contains(out+errs, private) {
		t.Error("the private key is shown")
	}
}

func TestAPostQuantumKeyIsSplitAndJoined(t *testing.T) {
	b := newBench(t)
	b.must("make", "--post-quantum", "--out", b.path("pq"))
	b.must("split", "--shares", "2", "--need", "2", "--out-dir", b.dir, b.path("pq"))
	b.must("check", b.path("pq"), "--share", b.path("share-1.txt"), "--share", b.path("share-2.txt"))
}

func TestAPrivateKeyIsNeverPrintedUnlessAskedForAndNeverTakenFromOtherReadersFiles(t *testing.T) {
	b := newBench(t)
	private, public := b.key("k")
	_, stranger := b.key("other")
	b.seal("x.age", "x", stranger)
	b.must("split", "--shares", "2", "--need", "2", "--out-dir", b.dir, b.path("k"))
	if err := os.WriteFile(b.path("open.key"), []byte(private+"\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	shares := []string{b.path("share-1.txt"), b.path("share-2.txt")}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"make"}, 2, "--out FILE"},
		{[]string{"make", "--out", b.path("k")}, 1, "never overwritten"},
		{[]string{"show", b.path("open.key")}, 1, "mode 0640 lets others in"},
		{[]string{"show", b.path("k")}, 0, public},
		{[]string{"split", b.path("k")}, 2, "--out-dir FOLDER or --print"},
		{[]string{"split", "--need", "1", "--print", b.path("k")}, 2, "at least 2"},
		{[]string{"split", "--shares", "33", "--print", b.path("k")}, 2, "at most 32"},
		{[]string{"split", "--out-dir", b.dir, b.path("k")}, 1, "file exists"},
		{[]string{"join", shares[0]}, 2, "--out FILE"},
		{[]string{"join", "--out", b.path("k"), shares[0], shares[1]}, 1, "never overwritten"},
		{[]string{"join", "--out", b.path("n"), shares[0]}, 1, "2 are needed"},
		{[]string{"check"}, 2, "IDENTITY or --share"},
		{[]string{"check", b.path("k"), "--recipient", stranger}, 1, "is not that of the identity"},
		{[]string{"check", b.path("k"), "--sealed", b.path("x.age")}, 1, "sealed to other recipients"},
		{[]string{"check", b.path("other"), "--share", shares[0], "--share", shares[1]}, 1, "restore another key"},
		{[]string{"open", b.path("x.age")}, 2, "--identity FILE"},
		{[]string{"open", "--identity", b.path("k"), "--out", "-", b.path("x.age")}, 1, "show IDENTITY"},
		{[]string{"radar-key"}, 2, "--out FILE"},
		{[]string{"frobnicate"}, 2, "frobnicate"},
	} {
		code, out, errs := b.run("", tt.args...)
		if code != tt.code || !strings.Contains(out+errs, tt.want) {
			t.Errorf("%q: exit %d, want %d and %q\n%s%s", tt.args, code, tt.code, tt.want, out, errs)
		}
		if strings.Contains(out+errs, private[16:40]) {
			t.Errorf("%q shows the private key", tt.args)
		}
	}
	if out := b.must("join", "--show-private-key", shares[0], shares[1]); !strings.Contains(out, private) {
		t.Error("--show-private-key does not show it")
	}
}

func TestARadarKeyIsMade(t *testing.T) {
	b := newBench(t)
	b.must("radar-key", "--out", b.path("radar.key"))
	if got := b.read("radar.key"); len(got) != 65 {
		t.Errorf("%q", got)
	}
}

func TestAgeOfDebianTakesTheIdentity(t *testing.T) {
	if _, err := exec.LookPath("age"); err != nil {
		t.Skip("the age program is not installed (apt-get install age)")
	}
	b := newBench(t)
	_, public := b.key("k")
	b.seal("x.age", "hello\n", public)
	out, err := exec.Command("sh", "-c", `age -d -i "$1" "$2" | gunzip`, "sh", b.path("k"), b.path("x.age")).Output()
	if err != nil || string(out) != "hello\n" {
		t.Errorf("age -d | gunzip: %q, %v", out, err)
	}
	if out, err := exec.Command("age-keygen", "-y", b.path("k")).Output(); err != nil || strings.TrimSpace(string(out)) != public {
		t.Errorf("age-keygen -y: %q, %v", out, err)
	}
}

// The flags' library names types of package net, and our identity package those of
// crypto/tls; nothing that opens a connection is there.
func TestNoNetworkCodeIsLinked(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		for _, banned := range []string{"google.golang.org/", "net/http", "net/rpc", "golang.org/x/net", "rollcall/agent", "rollcall/server", "rollcall/proto", "os/exec", "plugin"} {
			if dep == banned || strings.HasPrefix(dep, banned) {
				t.Errorf("%s is linked", dep)
			}
		}
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Example == "" || c.Long == "" {
			t.Errorf("%s: no example or no description", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newApp().command())
}
