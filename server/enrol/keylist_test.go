package enrol

import (
	"bytes"
	"testing"

	"rollcall/internal/identity"
)

func FuzzParseKeys(f *testing.F) {
	l := KeyList{{3}, {1}, {2}, {1}}.Sort()
	f.Add(l.Encode())
	f.Add(l.Encode()[:19])
	f.Add(KeyList(nil).Encode())
	f.Add(append(l.Encode(), make([]byte, len(identity.KeyID{}))...)) // out of order
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseKeys(b)
		if err != nil {
			return
		}
		if !bytes.Equal(l.Encode(), b) {
			t.Errorf("a list of %d has two forms", len(l))
		}
		for _, id := range l {
			if !l.Has(id.String()) {
				t.Errorf("%s is not found in its list", id)
			}
		}
	})
}

func TestAListOfKeysNamesEachOnce(t *testing.T) {
	l := KeyList{{3}, {1}, {2}, {1}}.Sort()
	if len(l) != 3 || l.Has(identity.KeyID{4}.String()) || l.Has("zz") || !l.Has(identity.KeyID{2}.String()) {
		t.Errorf("list %v", l)
	}
	for name, b := range map[string][]byte{"nothing": nil, "another form": []byte("RCK2"), "half a key": l.Encode()[:30], "a key twice": append(l.Encode(), l.Encode()[len(l.Encode())-16:]...)} {
		if _, err := ParseKeys(b); err == nil {
			t.Errorf("%s passes for a list", name)
		}
	}
}
