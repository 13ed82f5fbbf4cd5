package archtest

import (
	"io/fs"
	"os"
	"strings"
	"testing"
)

// TestClass33OnePlaceLooksAtPinsInsteadOfCertificates: crypto/tls has to be told not to
// look at names and dates where a pinned key counts. That is in one file, which
// then looks at the pin, and nowhere else.
func TestClass33OnePlaceLooksAtPinsInsteadOfCertificates(t *testing.T) {
	const allowed = "internal/identity/tls.go"
	root := os.DirFS("../..")
	seen := false
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && skipped(root, name):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		b, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		text := string(b)
		for _, word := range []string{"InsecureSkipVerify", "grpc/credentials/insecure", "WithInsecure("} {
			if strings.Contains(text, word) && name != allowed {
				t.Errorf("%s has %s: only %s may, which compares the pin", name, word, allowed)
			}
		}
		if name == allowed {
			seen = strings.Contains(text, "InsecureSkipVerify") && strings.Contains(text, "VerifyConnection") && strings.Contains(text, "VersionTLS13")
		}
		return nil
	})
	if err != nil || !seen {
		t.Errorf("%s does not ask for TLS 1.3 and compare the pin, %v", allowed, err)
	}
}
