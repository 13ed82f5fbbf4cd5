package enrol

import (
	"context"
	"fmt"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// Many is the revocation of many keys at once: what was decided, and how far it
// has come. Its list is fixed when it begins. Each transaction ends some keys and
// moves Next on, so that whoever goes on after a crash ends no key twice and leaves
// none out. It is kept for good, with its list: leaves of the log name it.
type Many struct {
	ID     string            `json:"id"` // that of the request
	List   string            `json:"list"`
	Keys   int               `json:"keys"` // on the list
	Of     int               `json:"of"`   // that were shown to who decided
	By     string            `json:"by"`
	Reason string            `json:"reason,omitempty"`
	Detail map[string]string `json:"detail,omitempty"` // what each leaf says of the decision
	Begun  time.Time         `json:"begun"`
	Ended  time.Time         `json:"ended,omitzero"`

	Next    int      `json:"next"`
	Revoked int      `json:"revoked"`
	Gone    int      `json:"gone"`             // could not be ended any more
	Failed  int      `json:"failed,omitempty"` // cannot be read
	Left    []string `json:"left,omitempty"`   // ids of the first keys of Gone and Failed
}

// KeysKind is the kind of the contents that are lists of keys.
const KeysKind = "keys"

// maxLeft bounds the keys that are named as left.
const maxLeft = 50

// Leave notes a key that was not there any more.
func (m *Many) Leave(id string) {
	m.Gone++
	m.name(id)
}

func (m *Many) name(id string) {
	if len(m.Left) < maxLeft {
		m.Left = append(m.Left, id)
	}
}

// Done tells whether nothing is left to do.
func (m *Many) Done() bool { return m.Next >= m.Keys }

// Many returns a revocation of many keys; found is false if there is none of that
// id.
func (w Writer) Many(id string) (m Many, found bool, err error) {
	found, err = store.GetJSON(w.tx, manyKey(w.tenant, id), &m)
	return m, found, err
}

// PutMany stores how far a revocation of many keys has come.
func (w Writer) PutMany(m Many) error { return store.PutJSON(w.tx, manyKey(w.tenant, m.ID), m) }

// Many lists the revocations of many keys, those that have ended too.
func (v View) Many() ([]Many, error) {
	return store.ListJSON[Many](v.r, store.Record, manyKey(v.tenant, "").K)
}

// Begun returns a revocation of many keys with its list.
func (v View) Begun(id string) (m Many, l KeyList, err error) {
	if _, err = store.GetJSON(v.r, manyKey(v.tenant, id), &m); err != nil {
		return m, nil, err
	}
	name, err := fact.ParseDigest(m.List)
	if err == nil {
		l, err = v.KeyList(name)
	}
	return m, l, err
}

// PutKeys stores a list of keys, for as long as something names it.
func PutKeys(ctx context.Context, u store.Updater, tenant string, l KeyList) error {
	return store.PutBlob(ctx, u, tenant, KeysKind, l.Digest(), l.Encode())
}

// KeyList returns a stored list. It wraps store.ErrNoBlob where there is none.
func (v View) KeyList(name fact.Digest) (KeyList, error) {
	b, err := store.GetBlob(v.r, v.tenant, KeysKind, name)
	if err != nil {
		return nil, err
	}
	return ParseKeys(b)
}

// RevokeSome ends the next keys of a list, at most so many as are asked for, and
// returns those that it has ended. A key that was rotated meanwhile stands for the
// one that it became: nobody escapes by rotating.
func (w Writer) RevokeSome(now time.Time, m *Many, list KeyList, most int) (ended []Key, err error) {
	if len(list) != m.Keys {
		return nil, fmt.Errorf("revocation %s: %w: it has %d keys, want %d", m.ID, ErrKeys, len(list), m.Keys)
	}
	for _, id := range list[m.Next:min(len(list), m.Next+most)] {
		k, found, err := newest(w.tx, w.tenant, id.String())
		if err != nil {
			return nil, err
		}
		m.Next++
		if !found || k.State != Enrolled {
			m.Leave(id.String())
			continue
		}
		if k, err = w.Revoke(now, k.ID, m.By, m.Reason); err != nil {
			return nil, err
		}
		m.Revoked++
		ended = append(ended, k)
	}
	return ended, nil
}

// Skip leaves out the next key, which cannot be read.
func (m *Many) Skip(list KeyList) {
	m.Failed++
	m.name(list[m.Next].String())
	m.Next++
}

// maxRotations bounds the way from a key to what it became; one a day for ten years.
const maxRotations = 4000

// newest follows a key to the one that it was rotated into.
func newest(g store.Getter, tenant, id string) (k Key, found bool, err error) {
	for range maxRotations {
		k = Key{}
		if found, err = store.GetJSON(g, keyKey(tenant, id), &k); err != nil || !found || k.State != Rotated {
			return k, found, err
		}
		id = k.Successor
	}
	return k, false, &store.CorruptError{Key: keyKey(tenant, id), Reason: "it was rotated without end"}
}

// Newest returns the key that a key became by rotation, or the key itself; found is
// false if there is none.
func (v View) Newest(id string) (k Key, found bool, err error) { return newest(v.r, v.tenant, id) }
