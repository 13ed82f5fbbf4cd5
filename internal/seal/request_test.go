package seal

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
)

// asking is a request with one file, and all that belongs to it.
type asking struct {
	offline, machine, stranger Identities
	request                    Request
	nonce                      []byte
	digest                     [32]byte
	to                         Recipients
}

func newAsking(t testing.TB) asking {
	t.Helper()
	var a asking
	var target Recipients
	a.offline, a.to = pair(t)
	a.machine, target = pair(t)
	a.stranger, _ = pair(t)
	var err error
	a.request, a.nonce, err = NewRequest(target.Names()[0], a.to, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := a.to.Seal([]byte("root:x\n"))
	if err != nil {
		t.Fatal(err)
	}
	a.digest = sha256.Sum256(sealed)
	a.request.Files = []Ciphertext{{Paths: []string{"etc/shadow"}, Sealed: sealed}}
	return a
}

func TestAnAnswerOpensOnTheMachineThatAskedAndNowhereElse(t *testing.T) {
	a := newAsking(t)
	text, err := a.request.Encode()
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRequest(text)
	if err != nil {
		t.Fatal(err)
	}
	answer, left, err := r.Answer(a.offline)
	if err != nil || len(left) > 0 {
		t.Fatal(left, err)
	}
	got, err := OpenAnswer(answer, a.machine, a.nonce)
	if err != nil || string(got[a.digest]) != "root:x\n" || len(got) != 1 {
		t.Errorf("got %q, %v", got, err)
	}
	for name, ids := range map[string]Identities{"the server": a.stranger, "the identity itself": a.offline, "nobody": {}} {
		if _, err := OpenAnswer(answer, ids, a.nonce); err == nil || !strings.Contains(err.Error(), "another machine") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := r.Answer(a.stranger); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("a stranger answers: %v", err)
	}
}

// Whoever knows the machine's recipient can seal to it; only who opens the
// challenge can answer.
func TestAForgedOrOldAnswerIsRefused(t *testing.T) {
	a := newAsking(t)
	forged := a.request
	var err error
	if forged.Challenge, err = a.to.Seal(make([]byte, nonceSize)); err != nil { // the forger's own
		t.Fatal(err)
	}
	answer, _, err := forged.Answer(a.offline)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAnswer(answer, a.machine, a.nonce); err == nil || !strings.Contains(err.Error(), "does not answer the last request") {
		t.Errorf("another nonce: %v", err)
	}
	good, _, err := a.request.Answer(a.offline)
	if err != nil {
		t.Fatal(err)
	}
	for name, nonce := range map[string][]byte{"no request": nil, "a later request": make([]byte, nonceSize), "short": a.nonce[:8]} {
		if _, err := OpenAnswer(good, a.machine, nonce); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	target, err := ParseRecipients([]string{a.request.Target})
	if err != nil {
		t.Fatal(err)
	}
	for _, inside := range []string{"hunter2", "{}", `{"format":"rollcall restore answer 2"}`} {
		sealed, err := target.Seal([]byte(inside))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenAnswer(sealed, a.machine, a.nonce); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", inside, err)
		}
	}
}

func TestWhatDoesNotOpenIsNamedInTheAnswer(t *testing.T) {
	a := newAsking(t)
	_, other := pair(t)
	foreign, err := other.Seal([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	a.request.Files = append(a.request.Files, Ciphertext{[]string{"etc/krb5.keytab"}, foreign})
	_, left, err := a.request.Answer(a.offline)
	if err != nil || len(left) != 1 || left[0].Paths[0] != "etc/krb5.keytab" || !errors.Is(left[0].Err, ErrNoIdentity) {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestARequestWithoutRecipientsOrOfAnotherFormIsRefused(t *testing.T) {
	_, public := GenerateIdentity()
	if _, _, err := NewRequest(public, Recipients{}, rand.Reader); !errors.Is(err, ErrNoRecipient) {
		t.Errorf("no recipients: %v", err)
	}
	for _, text := range []string{"", "x", "{}", `{"format":"rollcall restore request 2"}`, `{"format":"rollcall restore request 1","target":"age1x"}`} {
		if _, err := ParseRequest([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// FuzzParseRequest: no bytes make the parser or the answer panic.
func FuzzParseRequest(f *testing.F) {
	a := newAsking(f)
	text, err := a.request.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":"rollcall restore request 1","target":"age1x","files":[{"paths":["\u001b"],"sealed":"AA=="}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseRequest(b); err == nil {
			if sealed, _, err := r.Answer(a.offline); err != nil && sealed != nil {
				t.Error("an answer and an error")
			}
		}
	})
}
