package enrol

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"rollcall/internal/identity"
	"rollcall/server/store"
)

// Keys of this package. Changing one breaks every existing database.
//
//	space   key                   value
//	Record  <t>/token/<id>        Token, framed JSON
//	Unique  <t>/key/<key id>      Key, framed JSON
//	Record  <t>/chain/<key id>    Chain, framed JSON
//	Record  <t>/pending/<key id>  key id
//	Unique  <t>/owner/<ci>        id of the key that speaks for the CI
//	Record  <t>/seat/<ci>         Seat, framed JSON
//	Record  <t>/many/<id>         Many, framed JSON
//	Blob    <t>/keys/<digest>/…   KeyList
func tokenKey(tenant, id string) store.Key { return store.At(store.Record, tenant, "/token/", id) }

func keyKey(tenant, id string) store.Key { return store.At(store.Unique, tenant, "/key/", id) }

func chainKey(tenant, id string) store.Key { return store.At(store.Record, tenant, "/chain/", id) }

func pendingKey(tenant, id string) store.Key {
	return store.At(store.Record, tenant, "/pending/", id)
}

func seatKey(tenant, ci string) store.Key { return store.At(store.Record, tenant, "/seat/", ci) }

func manyKey(tenant, id string) store.Key { return store.At(store.Record, tenant, "/many/", id) }

func ownerKey(tenant, ci string) store.Key { return store.At(store.Unique, tenant, "/owner/", ci) }

// ciOf derives the id of a new machine's CI from its key, so that a repeated
// transaction gives the same one.
func ciOf(pub ed25519.PublicKey) string {
	sum := sha256.Sum256(append([]byte("rollcall ci v1 "), pub...))
	return "ci" + hex.EncodeToString(sum[:10])
}

func equal(a, b []byte) bool { return hmac.Equal(a, b) }

func keyByID(g store.Getter, tenant, id string) (Key, error) {
	var k Key
	found, err := store.GetJSON(g, keyKey(tenant, id), &k)
	if err != nil {
		return k, err
	}
	if !found || k.State != Enrolled {
		return k, fmt.Errorf("key %s: %w: it is %s", id, ErrUnknown, stateOr(k.State))
	}
	return k, nil
}

func chainOf(g store.Getter, tenant, id string) (Chain, error) {
	var c Chain
	_, err := store.GetJSON(g, chainKey(tenant, id), &c)
	return c, err
}

// View reads tokens and keys from one snapshot.
type View struct {
	r      store.Reader
	tenant string
}

// At returns the package as seen from a snapshot.
func At(r store.Reader, tenant string) View { return View{r, tenant} }

// Key returns an enrolled key, or ErrUnknown.
func (v View) Key(id identity.KeyID) (Key, error) { return keyByID(v.r, v.tenant, id.String()) }

// Chain returns a key's place in its chain.
func (v View) Chain(id string) (Chain, error) { return chainOf(v.r, v.tenant, id) }

// KeyOf returns the key that speaks for a CI; ok is false if none does. A key
// that should, and does not, is a CorruptError.
func (v View) KeyOf(ci string) (k Key, ok bool, err error) {
	id, err := store.GetFramed(v.r, ownerKey(v.tenant, ci))
	if err != nil || id == nil {
		return k, false, err
	}
	ok, err = store.GetJSON(v.r, keyKey(v.tenant, string(id)), &k)
	if err == nil && (!ok || k.State != Enrolled || k.CI != ci) {
		err = &store.CorruptError{Key: keyKey(v.tenant, string(id)), Reason: "it is missing, or does not speak for CI " + ci}
	}
	return k, ok, err
}

// Waiting returns the keys that wait for a decision.
func (v View) Waiting() ([]Key, error) {
	var keys []Key
	from := pendingKey(v.tenant, "").K
	for p, err := range v.r.Scan(store.Record, from, store.PrefixEnd(from), 0) {
		if err != nil {
			return nil, err
		}
		var k Key
		id, err := store.OpenFramed(store.Key{Space: store.Record, K: p.K}, p.V)
		if err != nil {
			return nil, err
		}
		found, err := store.GetJSON(v.r, keyKey(v.tenant, string(id)), &k)
		if err != nil {
			return nil, err
		}
		if found {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// Tokens returns all tokens by their ids, the spent ones too.
func (v View) Tokens() ([]Token, error) {
	return store.ListJSON[Token](v.r, store.Record, tokenKey(v.tenant, "").K)
}

// Any returns a key in whatever state it is; ok is false if there is none.
func (v View) Any(id string) (k Key, ok bool, err error) {
	ok, err = store.GetJSON(v.r, keyKey(v.tenant, id), &k)
	return k, ok, err
}

// Keys returns all keys whose id begins with prefix.
func (v View) Keys(prefix string) ([]Key, error) {
	return store.ListJSON[Key](v.r, store.Unique, keyKey(v.tenant, strings.ToLower(prefix)).K)
}
