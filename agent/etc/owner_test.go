package etc

import (
	"maps"
	"testing"
)

func TestNamesComeFromWellFormedLinesOnly(t *testing.T) {
	got := parseAccounts([]byte("root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:\n# off:x:1:1:::\n+::::::\n:x:2:2:::\nbad:x:two:\nhuge:x:4294967296:\nlast:x:4294967295:"))
	want := map[uint32]string{0: "root", 4294967295: "last"}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func FuzzParseAccounts(f *testing.F) {
	f.Add([]byte("root:x:0:0::/:/bin/sh\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for id, name := range parseAccounts(b) {
			if name == "" {
				t.Errorf("%d has an empty name", id)
			}
		}
	})
}
