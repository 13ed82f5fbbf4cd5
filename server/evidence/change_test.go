package evidence

import (
	"encoding/hex"
	"testing"
)

// The form of a digest is a promise: the log holds those of before.
func TestTheFormOfADigestIsAPromise(t *testing.T) {
	d := Digester{key: make([]byte, digestKeySize)}
	const want = "2cad12c227b0ea97fc81702d50b76f050536dd2b7ecda0ce6a4de1fc96bd7977"
	if got := hex.EncodeToString(d.Digest("site/elm", []byte(`{"path":"elm"}`))); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	if d.Digest("site/elm", nil) != nil {
		t.Error("a record that is not there has a digest")
	}
}

// What an older program wrote is read as before, and has no form.
func TestAnEntryOfBeforeHasNoChanges(t *testing.T) {
	e, err := ParseEntry([]byte(`{"kind":"site","by":"operator kari","detail":{"do":"set","site":"elm"}}`))
	if err != nil || e.Form != 0 || e.Changes != nil {
		t.Errorf("entry %+v, %v", e, err)
	}
	b, err := e.content()
	if err != nil || string(b) != `{"kind":"site","by":"operator kari","detail":{"do":"set","site":"elm"}}` {
		t.Errorf("an entry without changes is written as %s, %v: it must be as before", b, err)
	}
	e.Changes = []Change{{Record: "site/elm", After: []byte{1}}}
	b, err = e.content()
	if err != nil || string(b) != `{"kind":"site","by":"operator kari","detail":{"do":"set","site":"elm"},"form":2,"changes":[{"record":"site/elm","after":"AQ=="}]}` {
		t.Errorf("an entry with a change is written as %s, %v", b, err)
	}
}
