package enrol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"rollcall/server/store"
)

// Governed names the record of a token, "token/ID", or of a key, "key/ID", and
// gives what was decided of it. What changes by itself is left out: how often a
// token was used; what a key's machine says of itself, that it speaks from two
// places, and why it waits. The name is empty for a record of another kind; content
// is nil where v is.
func Governed(tenant string, k store.Key, v []byte) (name string, content []byte, err error) {
	var decided any
	if id, ok := bytes.CutPrefix(k.K, tokenKey(tenant, "").K); ok && k.Space == store.Record {
		var t Token
		name = "token/" + string(id)
		if v != nil {
			err = store.DecodeJSON(k, v, &t)
		}
		decided = t.decided()
	} else if id, ok := bytes.CutPrefix(k.K, keyKey(tenant, "").K); ok && k.Space == store.Unique {
		var key Key
		name = "key/" + string(id)
		if v != nil {
			err = store.DecodeJSON(k, v, &key)
		}
		decided = key.decided()
	}
	if name == "" || v == nil || err != nil {
		return name, nil, err
	}
	if content, err = json.Marshal(decided); err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return name, content, err
}

func (t Token) decided() Token {
	t.Kind = t.KindOf()
	t.Used, t.UsedBy, t.UsedAt = 0, "", time.Time{}
	t.Created, t.Expires, t.Withdrawn = t.Created.UTC(), t.Expires.UTC(), t.Withdrawn.UTC()
	return t
}

func (k Key) decided() Key {
	k.Trust = k.TrustClass()
	k.Hostname, k.Source, k.TokenTag, k.Facts, k.Version, k.Cloned, k.Forks = "", "", "", nil, "", false, 0
	if k.State == Pending {
		k.Reason = ""
	}
	k.Asked, k.Decided, k.Resolved = k.Asked.UTC(), k.Decided.UTC(), k.Resolved.UTC()
	k.Votes = slices.Clone(k.Votes)
	for i := range k.Votes {
		k.Votes[i].At = k.Votes[i].At.UTC()
	}
	return k
}
