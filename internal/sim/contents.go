package sim

import (
	"strings"

	"rollcall/internal/fact"
)

// Contents gives the contents of /etc of a machine that are asked for by digest.
// What the machine does not have is not in the result.
func (f *Fleet) Contents(i int, want []fact.Digest) map[fact.Digest][]byte {
	wanted := make(map[fact.Digest]bool, len(want))
	for _, d := range want {
		wanted[d] = true
	}
	found := make(map[fact.Digest][]byte, len(want))
	m, s := f.Member(i), f.now[i]
	f.ownFiles(m, s, func(fc fact.Fact, content func() []byte) {
		if d, ok := plainDigest(fc.Value); ok && wanted[d] {
			found[d] = content()
		}
	})
	if len(found) == len(wanted) {
		return found
	}
	release := f.pointRelease(s.updated)
	for _, e := range f.data.files[m.Profile] {
		if e.kind != "sha256" {
			continue
		}
		content := func() []byte { return e.content(f.data, s.updated).bytes() }
		if e.path == "etc/debian_version" {
			content = func() []byte { return []byte(release + "\n") }
		}
		b := content()
		if d := sum(b); wanted[d] {
			found[d] = b
		}
	}
	return found
}

// plainDigest reads the digest of a file whose content people may see.
func plainDigest(value string) (fact.Digest, bool) {
	hex, ok := strings.CutPrefix(value, "sha256:")
	if !ok || len(hex) < 64 {
		return fact.Digest{}, false
	}
	d, err := fact.ParseDigest(hex[:64])
	return d, err == nil
}

// packageOf reads the name of a package in the path of its version.
func packageOf(path string) (string, bool) {
	name, ok := strings.CutPrefix(path, "pkg/")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(name, "/version")
}
