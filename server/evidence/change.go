package evidence

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"rollcall/server/store"
)

// What a leaf tells about a record that was changed are two digests: of the record
// before and after. They are keyed (HMAC-SHA-256), with a key that never leaves the
// store. A plain digest would be an oracle: whoever reads the log, or is given a
// proof, could try what a record holds that is easily guessed, such as a password,
// by its hash, or the name of a room. A salt beside each digest would not do
// either: it would have to be given away with what it explains. So outsiders see
// that nothing came between two leaves, for the one's after is the other's before;
// the server compares the last after with the record itself, see Check.

// Change tells that a record became another one.
type Change struct {
	Record string `json:"record"`           // kind and name, such as "operator/kari"
	Before []byte `json:"before,omitempty"` // none: there was no such record
	After  []byte `json:"after,omitempty"`  // none: there is none any more
}

// form is the newest form of an entry: it names the records that were changed.
// Entries of before have no form and no changes.
const form = 2

// maxChanges bounds the records that one deed changes.
const maxChanges = 16

// digestKeySize is in bytes.
const digestKeySize = 32

// digestKey is where the key of the digests is.
func digestKey(tenant string) store.Key { return store.At(store.Record, tenant, "/digestkey") }

// Digester makes the digests of records.
type Digester struct{ key []byte }

// Digest gives the digest of what a record holds; nil for none.
func (d Digester) Digest(record string, content []byte) []byte {
	if content == nil {
		return nil
	}
	h := hmac.New(sha256.New, d.key)
	_, _ = fmt.Fprintf(h, "rollcall record v1\n%s\n", record) // never fails, see hash.Hash
	_, _ = h.Write(content)
	return h.Sum(nil)
}

// Digester gives what makes digests in this log. Its key is made when it is first
// wanted.
func (l Log) Digester() (Digester, error) {
	d, err := digester(l.tx, l.tenant)
	if err != nil || d.key != nil {
		return d, err
	}
	d.key = make([]byte, digestKeySize)
	_, _ = rand.Read(d.key) // never fails, see crypto/rand
	return d, store.PutFramed(l.tx, digestKey(l.tenant), d.key)
}

// Digester gives what made the digests of this log; ok is false if there is none
// yet.
func (v View) Digester() (d Digester, ok bool, err error) {
	d, err = digester(v.r, v.tenant)
	return d, d.key != nil, err
}

func digester(g store.Getter, tenant string) (Digester, error) {
	k := digestKey(tenant)
	key, err := store.GetFramed(g, k)
	if err == nil && key != nil && len(key) != digestKeySize {
		err = &store.CorruptError{Key: k, Reason: "not a key of digests"}
	}
	if key != nil {
		key = append([]byte(nil), key...)
	}
	return Digester{key}, err
}
