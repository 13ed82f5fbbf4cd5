// Command sbom writes the bill of materials of a Go program: each module that is
// in it, with version and checksum, in the form of CycloneDX 1.6. It reads them
// from the program itself, so that the list is of what was built and not of what
// go.mod says. The same program always gives the same bytes.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// bom is a CycloneDX document: https://cyclonedx.org/docs/1.6/json/. Only what
// is used of it stands here, in the order of the specification.
type bom struct {
	Format       string       `json:"bomFormat"`
	Spec         string       `json:"specVersion"`
	Serial       string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Tools      tools      `json:"tools"`
	Component  component  `json:"component"`
	Properties []property `json:"properties,omitempty"`
}

type tools struct {
	Components []component `json:"components"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref,omitempty"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Purl       string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sbom PROGRAM VERSION >PROGRAM.cdx.json")
		os.Exit(2)
	}
	b, err := describe(os.Args[1], os.Args[2])
	if err == nil {
		_, err = os.Stdout.Write(b)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// describe returns the document of the program in a file. The version is said by
// the caller, since the build of a module outside of a version system knows none.
func describe(file, version string) ([]byte, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	main := component{
		Type: "application", Ref: "program", Name: filepath.Base(file), Version: version,
		Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}}, Properties: []property{{"go:package", info.Path}},
	}
	doc := bom{
		Format: "CycloneDX", Spec: "1.6", Serial: serial(sum), Version: 1,
		Metadata: metadata{Tools: tools{[]component{{Type: "application", Name: "rollcall/internal/tools/sbom"}}}, Component: main},
	}
	for _, s := range info.Settings {
		doc.Metadata.Properties = append(doc.Metadata.Properties, property{"go:build:" + s.Key, s.Value})
	}
	std := component{Type: "library", Ref: purl("std", info.GoVersion), Name: "std", Version: info.GoVersion, Purl: purl("std", info.GoVersion)}
	doc.Components = append(doc.Components, std)
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		c := component{Type: "library", Ref: purl(m.Path, m.Version), Name: m.Path, Version: m.Version, Purl: purl(m.Path, m.Version)}
		if m.Sum != "" {
			c.Properties = []property{{"go:sum", m.Sum}} // of go.sum: a hash of the module's files, not of an archive
		}
		doc.Components = append(doc.Components, c)
	}
	root := dependency{Ref: main.Ref}
	for _, c := range doc.Components {
		root.DependsOn = append(root.DependsOn, c.Ref)
	}
	doc.Dependencies = []dependency{root}
	out, err := json.MarshalIndent(doc, "", "  ")
	return append(out, '\n'), err
}

// purl names a module: https://github.com/package-url/purl-spec, type golang.
func purl(module, version string) string {
	parts := strings.Split(module, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return "pkg:golang/" + strings.Join(parts, "/") + "@" + url.PathEscape(version)
}

// serial makes a UUID of the program's hash (RFC 9562, version 8), so that the
// same program has the same one.
func serial(sum [32]byte) string {
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
