package seal

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
)

// pair returns a new identity and the recipients that consist of its public half.
func pair(t testing.TB) (Identities, Recipients) {
	t.Helper()
	private, public := GenerateIdentity()
	ids, err := ParseIdentities(strings.NewReader(private))
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRecipients([]string{public})
	if err != nil {
		t.Fatal(err)
	}
	return ids, r
}

func TestEachRecipientOpensAlone(t *testing.T) {
	private1, public1 := GenerateIdentity()
	private2, public2 := GenerateIdentity()
	r, err := ParseRecipients([]string{public1, public2})
	if err != nil {
		t.Fatal(err)
	}
	for _, plain := range [][]byte{nil, []byte("psk=s3cret\n"), bytes.Repeat([]byte("0123456789abcdef"), 10_000)} {
		sealed, err := r.Seal(plain)
		if err != nil {
			t.Fatal(err)
		}
		for _, private := range []string{private1, "# created: today\n\n" + private2 + "\n"} {
			ids, err := ParseIdentities(strings.NewReader(private))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Open(sealed, ids, int64(len(plain)))
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes: got %d bytes, %v", len(plain), len(got), err)
			}
		}
	}
}

func TestPostQuantumRecipientsWork(t *testing.T) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRecipients([]string{id.Recipient().String()})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := ParseIdentities(strings.NewReader(id.String()))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := r.Seal([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Open(sealed, ids, 1); err != nil || string(got) != "x" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestBadRecipientsAreRefused(t *testing.T) {
	private, public := GenerateIdentity()
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	_, public2 := GenerateIdentity()
	tests := []struct {
		name  string
		texts []string
		want  string
	}{
		{"the same twice", []string{public, public2, public}, "recipient 3: " + public + " was given before"},
		{"both forms", []string{public, hybrid.Recipient().String()}, "do not mix"},
		{"a private key", []string{private}, "recipient 1: this is a private key"},
		{"a private key in small letters", []string{strings.ToLower(private)}, "recipient 1: this is a private key"},
		{"a plugin", []string{"age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t"}, "recipient 1: only native age keys"},
		{"an SSH key", []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"}, "recipient 1: not a native age recipient"},
		{"a typing error", []string{public[:len(public)-1] + "b"}, "recipient 1: "},
		{"nothing", []string{""}, "recipient 1: not a native age recipient"},
		{"a point of low order", []string{"age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z"}, "low order point"},
		{"too many", slices.Repeat([]string{public}, maxRecipients+1), "at most 64"},
	}
	for _, tt := range tests {
		r, err := ParseRecipients(tt.texts)
		if err == nil || !strings.Contains(err.Error(), tt.want) || r.Len() != 0 {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		if err != nil && strings.Contains(strings.ToUpper(err.Error()), private) {
			t.Errorf("%s: the private key is in the error", tt.name)
		}
	}
}

func TestNoRecipientsSealNothing(t *testing.T) {
	r, err := ParseRecipients(nil)
	if err != nil || r.Len() != 0 {
		t.Fatalf("got %d recipients, %v", r.Len(), err)
	}
	if got, err := r.Seal([]byte("x")); !errors.Is(err, ErrNoRecipient) || got != nil {
		t.Errorf("got %q, %v, want ErrNoRecipient", got, err)
	}
}

func TestIDIsOneOfTheSetOfRecipients(t *testing.T) {
	_, a := GenerateIdentity()
	_, b := GenerateIdentity()
	id := func(texts ...string) string {
		r, err := ParseRecipients(texts)
		if err != nil {
			t.Fatal(err)
		}
		return r.ID()
	}
	if id(a, b) != id(b, a) || id(a) == id(b) || id(a) == id(a, b) || id() == id(a) {
		t.Error("the ID depends on the order, or does not depend on the recipients")
	}
}

func TestOpenRefuses(t *testing.T) {
	ids, r := pair(t)
	stranger, _ := pair(t)
	plain := bytes.Repeat([]byte("x"), 100_000)
	sealed, err := r.Seal(plain)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)/2] ^= 1
	any := errors.New("any")
	tests := []struct {
		name   string
		sealed []byte
		ids    Identities
		limit  int64
		want   error
	}{
		{"no identity", sealed, Identities{}, 1 << 20, ErrNoIdentity},
		{"a stranger's identity", sealed, stranger, 1 << 20, ErrNoIdentity},
		{"more than the limit", sealed, ids, int64(len(plain)) - 1, ErrTooLarge},
		{"a limit of nothing", sealed, ids, 0, ErrTooLarge},
		{"a changed byte", changed, ids, 1 << 20, any},
		{"a cut file", sealed[:len(sealed)-1], ids, 1 << 20, any},
		{"a cut header", sealed[:40], ids, 1 << 20, any},
		{"something behind the end", append(bytes.Clone(sealed), 0), ids, 1 << 20, any},
		{"plain text", []byte("psk=x"), ids, 1 << 20, any},
		{"nothing", nil, ids, 1 << 20, any},
	}
	for _, tt := range tests {
		got, err := Open(tt.sealed, tt.ids, tt.limit)
		if err == nil || got != nil || (tt.want != any && !errors.Is(err, tt.want)) {
			t.Errorf("%s: got %d bytes, %v, want %v", tt.name, len(got), err, tt.want)
		}
	}
}

func TestACutAtAChunkIsNoticedAtTheLimit(t *testing.T) {
	ids, r := pair(t)
	const chunk = 64 << 10 // of the age format
	sealed, err := r.Seal(make([]byte, 2*chunk))
	if err != nil {
		t.Fatal(err)
	}
	cut := sealed[:len(sealed)-chunk-16]
	if got, err := Open(cut, ids, chunk); err == nil {
		t.Errorf("the first of two chunks was returned as the whole content (%d bytes)", len(got))
	}
}

func TestIdentitiesDoNotPrintTheirKeys(t *testing.T) {
	private, _ := GenerateIdentity()
	ids, err := ParseIdentities(strings.NewReader(private))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, ids); got != "1 identities" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	for _, bad := range []string{
		"", "# nothing\n", "hunter2", private[:40], private + "\nhunter2\n", "age-encryption.org/v1\nhunter2",
		"-----BEGIN AGE ENCRYPTED FILE-----\nhunter2", strings.Repeat("#\n", maxIdentities),
	} {
		_, err := ParseIdentities(strings.NewReader(bad))
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), private[16:40]) {
			t.Errorf("%.20q: got %v", bad, err)
		}
	}
}

func TestFingerprintShowsChangeUnderItsKeyOnly(t *testing.T) {
	key, err := NewFingerprintKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewFingerprintKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := Fingerprint(key, []byte("a"))
	if a != Fingerprint(key, []byte("a")) || a == Fingerprint(key, []byte("b")) || a == Fingerprint(other, []byte("a")) {
		t.Error("the fingerprint is not a function of key and content alone")
	}
	// RFC 4231, test case 1, whose key of 20 bytes HMAC pads with zeros.
	known := append(bytes.Repeat([]byte{0x0b}, 20), make([]byte, 12)...)
	if got, want := Fingerprint(known, []byte("Hi There")), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := NewFingerprintKey(strings.NewReader("short")); err == nil {
		t.Error("a key was made of too little randomness")
	}
	defer func() {
		if recover() == nil {
			t.Error("an empty key was accepted")
		}
	}()
	Fingerprint(nil, []byte("a"))
}

// A restore must be possible without Rollcall, and Rollcall must open what
// people sealed with age.
func TestTheAgeProgramOpensWhatWeSealAndTheReverse(t *testing.T) {
	program, err := exec.LookPath("age")
	if err != nil {
		t.Skip("the age program is not installed (apt-get install age)")
	}
	private, public := GenerateIdentity()
	dir := t.TempDir()
	key := filepath.Join(dir, "key.txt")
	if err := os.WriteFile(key, []byte(private+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := ParseRecipients([]string{public})
	if err != nil {
		t.Fatal(err)
	}
	plain := bytes.Repeat([]byte("bindpw s3cret\n"), 7000)
	sealed, err := r.Seal(plain)
	if err != nil {
		t.Fatal(err)
	}
	open := exec.CommandContext(t.Context(), "sh", "-c", `"$1" -d -i "$2" | gunzip`, "sh", program, key)
	open.Stdin = bytes.NewReader(sealed)
	if got, err := open.Output(); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("age -d | gunzip gave %d bytes, %v", len(got), err)
	}
	encrypt := exec.CommandContext(t.Context(), program, "-r", public)
	encrypt.Stdin = bytes.NewReader(plain)
	theirs, err := encrypt.Output()
	if err != nil {
		t.Fatal(err)
	}
	ids, err := ParseIdentities(strings.NewReader(private))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Open(theirs, ids, 1<<20); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("Open gave %d bytes, %v", len(got), err)
	}
}

// FuzzOpen: no bytes make Open panic, exceed the limit, or return a content
// together with an error.
func FuzzOpen(f *testing.F) {
	ids, r := pair(f)
	for _, plain := range []string{"", "psk=x", strings.Repeat("y", 70_000)} {
		sealed, err := r.Seal([]byte(plain))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(sealed)
	}
	f.Add([]byte("age-encryption.org/v1\n-> X25519 "))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		const limit = 1000
		got, err := Open(sealed, ids, limit)
		if len(got) > limit || (err != nil && got != nil) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	})
}
