package main

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"rollcall/internal/identity"
	"rollcall/internal/seal"
)

func TestOnlyWithTheWordsOfTheTargetAnAnswerIsWritten(t *testing.T) {
	b := newBench(t)
	_, public := b.key("school.key")
	_, stranger := b.key("other.key")
	machine, target := b.key("machine.key")
	to, err := seal.ParseRecipients([]string{public})
	if err != nil {
		t.Fatal(err)
	}
	r, nonce, err := seal.NewRequest(target, to, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := to.Seal([]byte("root:x\n"))
	if err != nil {
		t.Fatal(err)
	}
	r.Name, r.Files = "tjener\x1b[2J", []seal.Ciphertext{{Paths: []string{"etc/shadow"}, Sealed: sealed}}
	text, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.path("ask"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	words := identity.WordsOf([]byte(target))
	args := []string{"rewrap", "--identity", b.path("school.key"), b.path("ask"), b.path("answer")}
	for _, tt := range []struct {
		name, stdin string
		args        []string
		want        string
	}{
		{"no words", "", args, "not the words"},
		{"the words of another key", identity.WordsOf([]byte(stranger)) + "\n", args, "not the words"},
		{"seven of the words", words[:strings.LastIndex(words, "-")] + "\n", args, "not the words"},
		{"another --to", words + "\n", append(args, "--to", stranger), "not the one of --to"},
		{"another identity", words + "\n", []string{"rewrap", "--identity", b.path("other.key"), b.path("ask"), b.path("answer")}, "sealed to other recipients"},
		{"no request", words + "\n", []string{"rewrap", "--identity", b.path("school.key"), b.path("school.key"), b.path("answer")}, "read restore request"},
	} {
		code, out, errs := b.run(tt.stdin, tt.args...)
		if code != 1 || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: exit %d, want %q\n%s%s", tt.name, code, tt.want, out, errs)
		}
		if _, err := os.Stat(b.path("answer")); err == nil {
			t.Fatalf("%s: an answer was written", tt.name)
		}
		if strings.Contains(errs, "\x1b") {
			t.Errorf("%s: a name acts upon the terminal: %q", tt.name, errs)
		}
	}
	code, out, errs := b.run(strings.ToUpper(strings.ReplaceAll(words, "-", " "))+"\n", append(args, "--to", target)...)
	if code != 0 || !strings.Contains(errs, "  /etc/shadow\n") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	ids, err := seal.ParseIdentities(strings.NewReader(machine))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := seal.OpenAnswer([]byte(b.read("answer")), ids, nonce)
	if err != nil || len(opened) != 1 {
		t.Errorf("the answer: %v, %v", opened, err)
	}
}
