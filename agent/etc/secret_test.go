package etc

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/seal"
)

func contextThatEnded() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}

// shelf is a Store in memory.
type shelf map[fact.Digest][]byte

func (s shelf) Has(d fact.Digest) bool { return s[d] != nil }

func (s shelf) Put(d fact.Digest, b []byte) error {
	if fact.Digest(sha256.Sum256(b)) != d {
		return errors.New("digest does not fit")
	}
	s[d] = b
	return nil
}

const canary = "CANARY-7f3a"

func secretTree(t testing.TB) tree {
	tr := newTree(t)
	tr.write("shadow", "root:"+canary+":1::::::\n")
	tr.write("ssh/ssh_host_ed25519_key", canary)
	tr.write("app/settings.conf", "password = "+canary+"\n")
	tr.write("large.conf", strings.Repeat("# filler\n", chunk/6)+"bindpw "+canary+"\n")
	tr.write("site/secret.txt", canary)
	return tr
}

var secretPaths = []string{"etc/shadow", "etc/ssh/ssh_host_ed25519_key", "etc/app/settings.conf", "etc/large.conf", "etc/site/secret.txt"}

func siteSecret(path string) bool { return path == "site/secret.txt" }

func recipients(t testing.TB) (seal.Recipients, seal.Identities) {
	t.Helper()
	private, public := seal.GenerateIdentity()
	r, err := seal.ParseRecipients([]string{public})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := seal.ParseIdentities(strings.NewReader(private + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return r, ids
}

func TestSecretsAreNeverInAnyOutput(t *testing.T) {
	to, _ := recipients(t)
	for name, s := range map[string]*Scanner{"withheld": {}, "sealed": {Recipients: to, Store: shelf{}}} {
		t.Run(name, func(t *testing.T) {
			tr := secretTree(t)
			base := tr.scanner()
			s.Root, s.Key, s.Now, s.Secret = base.Root, base.Key, base.Now, siteSecret
			s.Conffiles = map[string]fact.Conffile{"/etc/shadow": {Package: "p"}, "/etc/app/settings.conf": {Package: "p"}}
			r := scan(t, s)
			var out strings.Builder
			out.WriteString(fmt.Sprintf("%v %v %v %s", r.Facts, r.Contents, r.Problems, r.Status()) + string(s.Cache.Encode()))
			if store, ok := s.Store.(shelf); ok {
				for _, b := range store {
					out.WriteString(string(b))
				}
			}
			for _, rel := range secretPaths {
				content := readAll(t, tr, strings.TrimPrefix(rel, "etc/"))
				sum, md := sha256.Sum256(content), md5.Sum(content)
				for what, needle := range map[string]string{
					"content": canary, "sha256": fmt.Sprintf("%x", sum), "raw sha256": string(sum[:]), "md5": fmt.Sprintf("%x", md), "raw md5": string(md[:]),
				} {
					if strings.Contains(out.String(), needle) {
						t.Errorf("%s of %s is in the output", what, rel)
					}
				}
			}
		})
	}
}

func readAll(t testing.TB, tr tree, rel string) []byte {
	t.Helper()
	b, err := tr.scanner().readFile(rel)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSecretsWithoutRecipientsAreWithheldLoudly(t *testing.T) {
	tr := secretTree(t)
	s := tr.scanner()
	s.Secret = siteSecret
	for range 2 {
		r := scan(t, s)
		for _, p := range secretPaths {
			if f := file(t, r, p); f.Kind != fact.KindKeyed || len(f.Fingerprint) != 64 {
				t.Errorf("%s = %v, want a keyed fingerprint", p, f)
			}
		}
		if r.Withheld != 5 || !strings.Contains(r.Status(), "5 SECRET FILES") {
			t.Errorf("withheld %d, status %q", r.Withheld, r.Status())
		}
	}
}

func TestSealedSecretOpensAndKeepsItsCiphertext(t *testing.T) {
	tr := secretTree(t)
	to, ids := recipients(t)
	store := shelf{}
	s := tr.scanner()
	s.Recipients, s.Store, s.Secret = to, store, siteSecret
	first := scan(t, s)
	for _, p := range secretPaths {
		f := file(t, first, p)
		plain, err := seal.Open(store[f.Digest], ids, MaxContent)
		if err != nil || !bytes.Equal(plain, readAll(t, tr, strings.TrimPrefix(p, "etc/"))) {
			t.Errorf("%s does not open: %v", p, err)
		}
	}
	// Touched but the same, under another policy, and after a restart.
	tr.write("shadow", "root:"+canary+":1::::::\n")
	s.Policy = "next build"
	cache, err := DecodeCache(s.Cache.Encode())
	if err != nil {
		t.Fatal(err)
	}
	s.Cache = cache
	again := scan(t, s)
	for _, p := range secretPaths {
		if value(t, again, p) != value(t, first, p) {
			t.Errorf("%s was sealed anew without need", p)
		}
	}
	tr.write("shadow", "root:changed:1::::::\n")
	if r := scan(t, s); value(t, r, "etc/shadow") == value(t, first, "etc/shadow") {
		t.Error("the change of a secret was not noticed")
	}
}

func TestSecretIsSealedAnewForOtherRecipientsOrALostCiphertext(t *testing.T) {
	tr := secretTree(t)
	store := shelf{}
	s := tr.scanner()
	keyed := scan(t, s)
	s.Store = store
	s.Recipients, _ = recipients(t)
	sealed := scan(t, s)
	if file(t, keyed, "etc/shadow").Fingerprint != file(t, sealed, "etc/shadow").Fingerprint || file(t, sealed, "etc/shadow").Kind != fact.KindSealed {
		t.Errorf("%q then %q", value(t, keyed, "etc/shadow"), value(t, sealed, "etc/shadow"))
	}
	var ids seal.Identities
	s.Recipients, ids = recipients(t)
	other := scan(t, s)
	digest := file(t, other, "etc/shadow").Digest
	if _, err := seal.Open(store[digest], ids, MaxContent); err != nil {
		t.Errorf("not sealed to the new recipient: %v", err)
	}
	delete(store, digest)
	if r := scan(t, s); !store.Has(file(t, r, "etc/shadow").Digest) {
		t.Error("the lost ciphertext was not replaced")
	}
	if r := scan(t, s); r.Opened != 0 {
		t.Errorf("opened %d files in an unchanged tree", r.Opened)
	}
	s.Recipients = seal.Recipients{}
	if r := scan(t, s); file(t, r, "etc/shadow").Kind != fact.KindKeyed {
		t.Errorf("without recipients %q", value(t, r, "etc/shadow"))
	}
}

func TestSecretUserAttributeIsLeftOut(t *testing.T) {
	tr := secretTree(t)
	if err := setUserAttribute(tr.path("shadow"), canary); err != nil {
		t.Skipf("no user attributes on this file system: %v", err)
	}
	if err := setUserAttribute(tr.path("passwd"), "password="+canary); err != nil {
		t.Fatal(err)
	}
	r := scan(t, tr.scanner())
	for _, p := range []string{"etc/shadow", "etc/passwd"} {
		if f := file(t, r, p); len(f.Xattr) > 0 {
			t.Errorf("%s has %q", p, f.Xattr)
		}
	}
	if !strings.Contains(r.Status(), "attributes are left out") {
		t.Errorf("status %q", r.Status())
	}
}

func TestScannerRefusesToWorkWithoutKeyOrStore(t *testing.T) {
	tr := newTree(t)
	s := tr.scanner()
	s.Key = nil
	if _, err := s.Scan(t.Context()); err == nil {
		t.Error("no error without a key")
	}
	s = tr.scanner()
	s.Recipients, _ = recipients(t)
	if _, err := s.Scan(t.Context()); err == nil {
		t.Error("no error without a store")
	}
}
