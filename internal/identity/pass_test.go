package identity

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
)

func TestAPassOpensForItsKeyAndServerOnly(t *testing.T) {
	server, other := passKey(1), passKey(2)
	a, b := IDOf(Public(passKey(3))), IDOf(Public(passKey(4)))
	name := PassName(a, PassOf(server, a))
	if got, ok := OpenPass(server, name); !ok || got != a {
		t.Errorf("OpenPass(%q) = %s, %v, want %s", name, got, ok, a)
	}
	for what, bad := range map[string]string{
		"another key's":      PassName(b, PassOf(server, a)),
		"another server's":   PassName(a, PassOf(other, a)),
		"none":               PassName(a, nil),
		"one that is short":  PassName(a, PassOf(server, a)[1:]),
		"a name without end": strings.TrimSuffix(name, ".rollcall"),
		"no hexadecimal":     "zz" + name[2:],
		"nothing":            "",
	} {
		if id, ok := OpenPass(server, bad); ok {
			t.Errorf("%s: %q opens for %s", what, bad, id)
		}
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 {
			t.Errorf("%q is no server name: RFC 1035 allows 63 bytes a label", name)
		}
	}
}

func passKey(n byte) Key { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize)) }

func FuzzOpenPass(f *testing.F) {
	server := passKey(1)
	id := IDOf(Public(passKey(3)))
	f.Add(PassName(id, PassOf(server, id)))
	f.Add("rollcall")
	f.Add(strings.Repeat("0", 32) + "." + strings.Repeat("0", 32) + ".rollcall")
	f.Fuzz(func(t *testing.T, name string) {
		if got, ok := OpenPass(server, name); ok && !strings.EqualFold(PassName(got, PassOf(server, got)), name) {
			t.Errorf("%q opens for %s", name, got)
		}
	})
}
