package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// program is the smallest of Rollcall that has modules in it, built once.
func program(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rollcall-recovery")
	c := exec.Command("go", "build", "-tags", "grpcnotrace", "-trimpath", "-buildvcs=false", "-o", file, "./cmd/rollcall-recovery")
	c.Dir, c.Env = "../../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return file
}

var forms = map[string]*regexp.Regexp{
	"serialNumber": regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`),
	"purl":         regexp.MustCompile(`^pkg:golang/[A-Za-z0-9._~/%+-]+@[A-Za-z0-9._~%+-]+$`),
	"hash":         regexp.MustCompile(`^[0-9a-f]{64}$`),
}

// What CycloneDX 1.6 asks of a document (bom-1.6.schema.json): the required
// fields, the forms of serial number and hashes, references that are unique and
// lead somewhere.
func TestTheBillOfMaterialsIsCycloneDX(t *testing.T) {
	file := program(t)
	b, err := describe(file, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	again, err := describe(file, "v1.2.3")
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("the same program gives another document, %v", err)
	}
	var doc bom
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if doc.Format != "CycloneDX" || doc.Spec != "1.6" || doc.Version != 1 || !forms["serialNumber"].MatchString(doc.Serial) {
		t.Errorf("head: %q %q %d %q", doc.Format, doc.Spec, doc.Version, doc.Serial)
	}
	main := doc.Metadata.Component
	if main.Type != "application" || main.Name != "rollcall-recovery" || main.Version != "v1.2.3" || len(main.Hashes) != 1 ||
		main.Hashes[0].Alg != "SHA-256" || !forms["hash"].MatchString(main.Hashes[0].Content) {
		t.Errorf("program: %+v", main)
	}
	refs := []string{main.Ref}
	for _, c := range doc.Components {
		if c.Type != "library" || c.Name == "" || c.Version == "" || !forms["purl"].MatchString(c.Purl) || slices.Contains(refs, c.Ref) {
			t.Errorf("component: %+v", c)
		}
		refs = append(refs, c.Ref)
	}
	for _, d := range doc.Dependencies {
		for _, ref := range append(d.DependsOn, d.Ref) {
			if !slices.Contains(refs, ref) {
				t.Errorf("a dependency on %q, which is not there", ref)
			}
		}
	}
	modules(t, file, doc)
}

// modules compares with what go version -m says.
func modules(t *testing.T, file string, doc bom) {
	t.Helper()
	out, err := exec.Command("go", "version", "-m", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	n := 1 // std
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "dep" {
			continue
		}
		n++
		if !slices.ContainsFunc(doc.Components, func(c component) bool { return c.Name == words[1] && c.Version == words[2] }) {
			t.Errorf("%s %s is missing", words[1], words[2])
		}
	}
	if n != len(doc.Components) || n < 5 {
		t.Errorf("%d components, want %d", len(doc.Components), n)
	}
}

func TestWhatIsNoProgramHasNoBill(t *testing.T) {
	if _, err := describe("main.go", "v1"); err == nil {
		t.Error("a text has a bill of materials")
	}
}
