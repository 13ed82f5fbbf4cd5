package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if needsBuilt {
			if dir, _ := built(); dir != "" {
				_ = os.RemoveAll(dir)
			}
		}
		os.Exit(code)
	}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run is one call of the program.
func run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(stdin), out: &out, err: &errs}
	code = a.run(t.Context(), args)
	return code, out.String(), errs.String()
}

// tree is the root of a small machine.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files["etc/passwd"] = "root:x:" + strconv.Itoa(os.Getuid()) + ":0:::\n"
	files["etc/group"] = "root:x:" + strconv.Itoa(os.Getgid()) + ":\n"
	for name, content := range files {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	return dir
}

func TestUsageErrorsEndWithTwoAndSayWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "--help"},
		{[]string{"frobnicate"}, "frobnicate"},
		{[]string{"once", "--nonsense"}, "nonsense"},
		{[]string{"once", "extra"}, "extra"},
		{[]string{"once", "--root", "/tmp"}, "--state"},
		{[]string{"enrol"}, "--token-file"},
		{[]string{"restore"}, "--from CI or --mirror DIR"},
		{[]string{"restore", "--from", "a", "--mirror", "b"}, "--from CI or --mirror DIR"},
		{[]string{"restore", "--from", "a", "--at", "soon"}, "soon"},
		{[]string{"restore", "--mirror", "a", "/usr/bin"}, "not below /etc"},
		{[]string{"restore", "--mirror", "a", "/etc/../usr"}, "not below /etc"},
	} {
		if code, _, stderr := run(t, "", tt.args...); code != 2 || !strings.Contains(stderr, tt.want) || !strings.HasPrefix(stderr, "rollcall-agent: ") {
			t.Errorf("%q: exit %d, %q; want 2 and %q", tt.args, code, stderr, tt.want)
		}
	}
}

func TestFailuresEndWithOneAndAHint(t *testing.T) {
	root, state := tree(t, map[string]string{}), filepath.Join(t.TempDir(), "state")
	conf := filepath.Join(t.TempDir(), "agent.conf")
	must(t, os.WriteFile(conf, []byte("intervall = 1h\n"), 0o644))
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"once", "--root", root, "--state", state}, "hint: an operator makes a token"},
		{[]string{"status", "--config", conf}, `did you mean "interval"?`},
		{[]string{"status", "--config", "/nowhere/agent.conf"}, "/nowhere/agent.conf"},
		{[]string{"restore", "--mirror", root, "--root", root}, "folder of one machine"},
		{[]string{"restore", "--from", "pc07", "--login", "/nowhere/login"}, "hint: run 'rollcall login'"},
	} {
		if code, _, stderr := run(t, "", tt.args...); code != 1 || !strings.Contains(stderr, tt.want) {
			t.Errorf("%q: exit %d, %q; want 1 and %q", tt.args, code, stderr, tt.want)
		}
	}
}

func TestATokenIsNeverShownOrTakenFromOtherReadersFiles(t *testing.T) {
	secret := []byte("canarycanarycana")
	k, err := identity.NewKey()
	must(t, err)
	text, err := identity.Token{ID: "01", URLs: []string{"127.0.0.1:1"}, Pins: []string{"sha256:00"}, Secret: secret, Server: identity.Public(k)}.Encode(identity.EnrolPrefix)
	must(t, err)
	file := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(file, []byte(text), 0o644))
	state := []string{"--root", tree(t, map[string]string{}), "--state", filepath.Join(t.TempDir(), "state")}
	for _, tt := range []struct{ stdin, file, want string }{
		{"", file, "0644"},
		{text[:len(text)-3], "-", "not a valid token"},
		{text, "-", "cannot be reached"},
	} {
		code, stdout, stderr := run(t, tt.stdin, append([]string{"enrol", "--token-file", tt.file}, state...)...)
		if code != 1 || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: exit %d, %q; want %q", tt.file, code, stderr, tt.want)
		}
		if all := stdout + stderr; strings.Contains(all, text[8:40]) || strings.Contains(all, "canary") {
			t.Errorf("the token is shown: %q", all)
		}
	}
}

func TestADryRunPrintsEveryCollector(t *testing.T) {
	root := tree(t, map[string]string{"etc/hostname": "pc07\n", "etc/shadow": "root:$6$x:1::::::\n"})
	code, stdout, _ := run(t, "", "once", "--dry-run", "--root", root)
	if code != 2 && code != 0 {
		t.Fatalf("exit %d", code)
	}
	for _, want := range []string{"COLLECTOR", "dpkg", "etc ", "dry run: a full report", "SECRET FILES CANNOT BE RESTORED"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "\x1b") {
		t.Error("colours although this is no terminal")
	}
	_, stdout, _ = run(t, "", "once", "--dry-run", "--json", "--root", root)
	var doc struct{ Facts map[string]int }
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || doc.Facts["etc"] == 0 {
		t.Errorf("JSON: %v, %+v", err, doc)
	}
}

func TestStatusOfAMachineThatIsNotEnrolled(t *testing.T) {
	code, stdout, stderr := run(t, "", "status", "--state", t.TempDir())
	if code != 0 || !strings.Contains(stdout, "NOT ENROLLED") || !strings.Contains(stdout, "CANNOT BE RESTORED") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}

// clone makes the folder of one machine as a clone of the mirror has it.
func clone(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	var facts []fact.Fact
	for name, content := range files {
		f := fact.File{Kind: fact.KindPlain, Digest: sha256.Sum256([]byte(content)), Mode: 0o640, Owner: "root", Group: "root"}
		facts = append(facts, fact.Fact{Path: name, Value: f.String()})
		to := filepath.Join(dir, fact.MirrorPath(name))
		must(t, os.MkdirAll(filepath.Dir(to), 0o755))
		must(t, os.WriteFile(to, []byte(content), 0o644))
	}
	var b bytes.Buffer
	must(t, fact.NewSet(facts).WriteText(&b))
	must(t, os.MkdirAll(filepath.Join(dir, ".rollcall"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, ".rollcall", "etc.manifest"), b.Bytes(), 0o644))
	return dir
}

func TestARestoreFromACloneShowsThenAppliesThenVerifies(t *testing.T) {
	root := tree(t, map[string]string{"etc/motd": "new\n"})
	from := clone(t, map[string]string{"etc/motd": "old\n", "etc/cups/cupsd.conf": "Listen 631\n", "etc/fstab": "UUID=1\n"})
	args := []string{"restore", "--mirror", from, "--root", root}
	code, stdout, stderr := run(t, "", args...)
	if code != 0 || !strings.Contains(stdout, "create        /etc/cups/cupsd.conf") || !strings.Contains(stdout, "-new\n    +old\n") ||
		!strings.Contains(stdout, "own           /etc/fstab") || !strings.Contains(stderr, "nothing was changed") {
		t.Errorf("plan: exit %d\n%s%s", code, stdout, stderr)
	}
	if b, err := os.ReadFile(filepath.Join(root, "etc/motd")); err != nil || string(b) != "new\n" {
		t.Errorf("a plan changed the tree: %q, %v", b, err)
	}
	code, stdout, stderr = run(t, "", append(args, "--apply")...)
	if code != 0 || !strings.Contains(stdout, "verified: 2 identical, 0 merged, 1 not restored, 0 different") {
		t.Errorf("apply: exit %d\n%s%s", code, stdout, stderr)
	}
	info, err := os.Stat(filepath.Join(root, "etc/motd"))
	must(t, err)
	if b, err := os.ReadFile(filepath.Join(root, "etc/motd")); err != nil || string(b) != "old\n" || info.Mode().Perm() != 0o640 {
		t.Errorf("motd: %q, %v, %v", b, info.Mode(), err)
	}
	backups, err := filepath.Glob(filepath.Join(root, "var/lib/rollcall/restore-backup/*/etc/motd"))
	if err != nil || len(backups) != 1 {
		t.Errorf("backups: %v, %v", backups, err)
	}
	code, stdout, _ = run(t, "", append(args, "--json", "/etc/motd")...)
	var plan planJSON
	if err := json.Unmarshal([]byte(stdout), &plan); err != nil || code != 0 || plan.Counts["same"] != 1 || len(plan.Entries) != 1 {
		t.Errorf("JSON plan: exit %d, %v, %+v", code, err, plan)
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
