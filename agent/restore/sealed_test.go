package restore

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/seal"
)

// vault is a source with sealed files, and who can open them.
func vault(t *testing.T, files map[string]string) (*store, seal.Identities, seal.Recipients) {
	t.Helper()
	private, public := seal.GenerateIdentity()
	ids, err := seal.ParseIdentities(strings.NewReader(private))
	must(t, err)
	to, err := seal.ParseRecipients([]string{public})
	must(t, err)
	src := newStore()
	for name, content := range files {
		sealed, err := to.Seal([]byte(content))
		must(t, err)
		f := fact.File{Kind: fact.KindSealed, Fingerprint: "00", Digest: sha256.Sum256(sealed), Mode: 0o640, Owner: "root", Group: "root"}
		src.etc[name], src.contents[f.Digest] = f, sealed
	}
	return src, ids, to
}

func TestASealedFileThatWasExchangedIsRefused(t *testing.T) {
	src, ids, to := vault(t, map[string]string{"ppp/pap-secrets": "mine\n", "ppp/chap-secrets": "also\n"})
	forged, err := to.Seal([]byte("the thief's\n")) // age does not say who sealed
	must(t, err)
	src.contents[src.etc["ppp/pap-secrets"].Digest] = forged
	tr := newTree(t)
	if _, err := NewPlan(t.Context(), src, tr.root, Options{Identities: ids}); !errors.Is(err, ErrExchanged) || !strings.Contains(err.Error(), "pap-secrets") {
		t.Errorf("restore with the identity: %v, want ErrExchanged", err)
	}
	if _, _, err := Ciphertexts(t.Context(), src, Options{}); !errors.Is(err, ErrExchanged) {
		t.Errorf("a request for it: %v, want ErrExchanged", err)
	}
	// The files of two secrets in each other's place are no better.
	a, b := src.etc["ppp/pap-secrets"].Digest, src.etc["ppp/chap-secrets"].Digest
	src.contents[a] = src.contents[b]
	if _, err := NewPlan(t.Context(), src, tr.root, Options{Identities: ids}); !errors.Is(err, ErrExchanged) {
		t.Errorf("swapped: %v, want ErrExchanged", err)
	}
}

func TestSecretsComeBackByAnAnswerOfAnotherMachine(t *testing.T) {
	src, offline, to := vault(t, map[string]string{"ppp/pap-secrets": "one\n", "krb5.keytab": "two\n", "shadow": "own\n"})
	private, public := seal.GenerateIdentity()
	machine, err := seal.ParseIdentities(strings.NewReader(private))
	must(t, err)
	request, nonce, err := seal.NewRequest(public, to, rand.Reader)
	must(t, err)
	_, request.Files, err = Ciphertexts(t.Context(), src, Options{})
	must(t, err)
	if len(request.Files) != 2 || request.Files[0].Paths[0] != "etc/krb5.keytab" {
		t.Errorf("asked for %d contents, want 2: shadow stays the installation's own", len(request.Files))
	}
	if _, all, err := Ciphertexts(t.Context(), src, Options{Paths: []string{"/etc/shadow"}}); err != nil || len(all) != 1 {
		t.Errorf("shadow by name: %d contents, %v", len(all), err)
	}
	answer, _, err := request.Answer(offline)
	must(t, err)
	opened, err := seal.OpenAnswer(answer, machine, nonce)
	must(t, err)
	tr := newTree(t)
	tr.apply(src, Options{Opened: opened})
	if tr.read("etc/ppp/pap-secrets") != "one\n" || tr.read("etc/krb5.keytab") != "two\n" {
		t.Error("the secrets are not back")
	}
	if got := tr.plan(src, Options{Opened: opened, All: true})["shadow"]; got.Action != Sealed || !strings.Contains(got.Reason, "does not hold it") {
		t.Errorf("what the answer lacks: %s (%s)", got.Action, got.Reason)
	}
}
