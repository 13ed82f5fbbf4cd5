package identity

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeyFileComesBackAndIsPrivate(t *testing.T) {
	name := filepath.Join(t.TempDir(), "agent.key")
	if _, err := LoadKey(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("LoadKey of nothing = %v, want fs.ErrNotExist", err)
	}
	k, made, err := LoadOrMakeKey(name)
	if err != nil || !made {
		t.Fatalf("LoadOrMakeKey = %v, %v, want a new key", made, err)
	}
	again, made, err := LoadOrMakeKey(name)
	if err != nil || made || !again.Equal(k) {
		t.Errorf("second LoadOrMakeKey: made %v, %v, want the same key", made, err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key file = %v, %v, want 0600", info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(name)); err != nil || len(entries) != 1 {
		t.Errorf("folder holds %v, %v, want the key alone", entries, err)
	}
	if err := os.Chmod(name, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LoadOrMakeKey(name); err == nil || !strings.Contains(err.Error(), "0640") {
		t.Errorf("LoadOrMakeKey of a file that others can read = %v, want to be told the mode", err)
	}
}

func TestLoadKeyRefusesWhatIsNoKey(t *testing.T) {
	// An RSA or EC key would need a generator here; a certificate block and a
	// damaged body show the two ways in which PEM is no Ed25519 key.
	for claim, content := range map[string]string{
		"nothing":           "",
		"text":              "hello\n",
		"a certificate":     "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"a damaged body":    "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"a key of P-256":    p256Key,
		"a public key only": "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
	} {
		name := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if k, err := LoadKey(name); err == nil || k != nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: LoadKey = %v, want an error that names the file", claim, err)
		}
		if _, made, err := LoadOrMakeKey(name); err == nil || made {
			t.Errorf("%s: LoadOrMakeKey = %v, %v, want an error: nothing may be overwritten", claim, made, err)
		}
	}
}

// p256Key is RFC 9500 section 2.3's test key, in PKCS #8.
const p256Key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg5r0dGHX9B2t1Rq9e
GxWcrWCkS6XyaKLmuxCEWHlMhsyhRANCAARCJY1GKwN+Yww2J2fwQVB5nLS1
-----END PRIVATE KEY-----
`

func TestWriteFileReplacesInOneStep(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "state")
	for _, content := range []string{"old", "new", ""} {
		if err := WriteFile(name, []byte(content)); err != nil {
			t.Fatalf("WriteFile: %v", err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != content {
			t.Errorf("content = %q, %v, want %q", got, err, content)
		}
	}
	if err := WriteFile(filepath.Join(dir, "none", "x"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("WriteFile in a folder that does not exist = %v, want fs.ErrNotExist", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, "folder"), nil); err == nil {
		t.Error("WriteFile over a folder = nil, want an error")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("folder holds %v, %v: a temporary file was left", entries, err)
	}
}

func TestKeyIDsComeBackAsTheyWere(t *testing.T) {
	id := IDOf(Public(keyOf(1)))
	if got, err := ParseKeyID(id.String()); got != id || err != nil {
		t.Errorf("ParseKeyID(%s) = %s, %v", id, got, err)
	}
	for _, bad := range []string{"", "00", strings.Repeat("0", 30), strings.Repeat("0", 34), strings.Repeat("x", 32)} {
		if got, err := ParseKeyID(bad); err == nil || got != (KeyID{}) {
			t.Errorf("ParseKeyID(%q) = %v, %v, want an error", bad, got, err)
		}
	}
}

func TestWordsAreDistinctAndSpeakable(t *testing.T) {
	seen := map[string]bool{}
	for i, w := range wordlist {
		if w == "" || seen[w] || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") != "" {
			t.Errorf("word %d %q is empty, there twice or not of lower-case letters", i, w)
		}
		seen[w] = true
	}
	got := Words(Public(keyOf(1)))
	if n := len(strings.Split(got, "-")); n != 8 {
		t.Errorf("Words = %q, want eight", got)
	}
	if got == Words(Public(keyOf(2))) {
		t.Errorf("two keys have the words %q", got)
	}
}
