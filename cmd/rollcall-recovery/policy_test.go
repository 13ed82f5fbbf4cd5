package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

const policyText = `# less of everything in the holidays
realm = 000102030405060708090a0b0c0d0e0f
version = 7
from = 2026-07-01
until = 2027-07-01
interval = 6h
skip = sessions
`

func (b *bench) write(name, text string) string {
	b.t.Helper()
	if err := os.WriteFile(b.path(name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return b.path(name)
}

func TestAPolicyIsSignedAndShown(t *testing.T) {
	b := newBench(t)
	line := strings.TrimSpace(b.must("policy", "key", "--out", b.path("policy.key")))
	pin, ok := strings.CutPrefix(line, "policy_key = ")
	if info, err := os.Stat(b.path("policy.key")); err != nil || info.Mode().Perm() != 0o600 || !ok {
		t.Errorf("key: %v, %v, %q", info, err, line)
	}
	out := b.must("policy", "sign", "--key", b.path("policy.key"), "--out", b.path("signed"), b.write("text", policyText))
	if want := "policy 7 counts from 2026-07-01T00:00:00Z until 2027-07-01T00:00:00Z\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	out = b.must("policy", "show", b.path("signed"))
	if !strings.Contains(out, "key        "+pin) || !strings.HasSuffix(out, "\n\n"+policyText) {
		t.Errorf("shown as\n%s", out)
	}
	var doc signedJSON
	if err := json.Unmarshal([]byte(b.must("policy", "show", "--json", b.path("signed"))), &doc); err != nil || doc.Key != pin || doc.Version != 7 || doc.Skip[0] != "sessions" {
		t.Errorf("%+v, %v", doc, err)
	}
}

func TestAPolicyThatWouldDoNothingOrHarmIsNotSigned(t *testing.T) {
	b := newBench(t)
	b.must("policy", "key", "--out", b.path("policy.key"))
	text := b.write("text", policyText)
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no key", []string{"policy", "sign", "--out", b.path("x"), text}, "needs --key"},
		{"no file for it", []string{"policy", "sign", "--key", b.path("policy.key"), text}, "needs --key FILE and --out"},
		{"what is no key", []string{"policy", "sign", "--key", b.write("open.key", "x"), "--out", b.path("x"), text}, "no PEM block"},
		{"over a file that is there", []string{"policy", "sign", "--key", b.path("policy.key"), "--out", text, text}, "file exists"},
		{"a key over a key", []string{"policy", "key", "--out", b.path("policy.key")}, "already exists"},
		{"a collector that there is not", []string{"policy", "sign", "--key", b.path("policy.key"), "--out", b.path("x"), b.write("typo", policyText+"skip = sesions\n")}, `no collector "sesions"`},
		{"a word that widens", []string{"policy", "sign", "--key", b.path("policy.key"), "--out", b.path("x"), b.write("wide", policyText+"include = /home\n")}, `policy:8: unknown key "include"`},
		{"what is not signed is shown as if it were", []string{"policy", "show", text}, "not a policy bundle"},
	} {
		code, out, errs := b.run("", tt.args...)
		if code == 0 || !strings.Contains(errs, tt.want) || out != "" {
			t.Errorf("%s: exit %d, %q, %q, want %q", tt.name, code, out, errs, tt.want)
		}
	}
	if _, err := os.Stat(b.path("x")); err == nil {
		t.Error("something was signed all the same")
	}
}
