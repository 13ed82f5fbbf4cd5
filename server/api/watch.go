package api

import (
	"bytes"
	"maps"
	"slices"

	"rollcall/server/auth"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/store"
)

// watch is a transaction that remembers how the records were that people decide
// about: operators, sites, tokens and keys. So no method can forget to tell of one.
type watch struct {
	store.Tx
	tenant string
	before map[string]held
}

// held is a record as it was.
type held struct {
	key     store.Key
	content []byte
}

func watching(tx store.Tx, tenant string) *watch { return &watch{tx, tenant, map[string]held{}} }

// Governed names a record that people decide about, such as "operator/kari", and
// gives what they decided of it: what changes without them is left out. The name
// is empty for every other record, and the content nil where there is none.
func Governed(tenant string, k store.Key, v []byte) (name string, content []byte, err error) {
	for _, owner := range []func(string, store.Key, []byte) (string, []byte, error){auth.Governed, cmdb.Governed, enrol.Governed} {
		if name, content, err = owner(tenant, k, v); name != "" || err != nil {
			return name, content, err
		}
	}
	return "", nil, nil
}

// Put implements store.Tx.
func (w *watch) Put(k store.Key, v []byte) error {
	if err := w.note(k); err != nil {
		return err
	}
	return w.Tx.Put(k, v)
}

// Delete implements store.Tx.
func (w *watch) Delete(k store.Key) error {
	if err := w.note(k); err != nil {
		return err
	}
	return w.Tx.Delete(k)
}

func (w *watch) note(k store.Key) error {
	name, _, err := Governed(w.tenant, k, nil)
	if _, seen := w.before[name]; seen || name == "" || err != nil {
		return err
	}
	content, err := w.read(k)
	w.before[name] = held{k, content}
	return err
}

func (w *watch) read(k store.Key) ([]byte, error) {
	v, err := w.Get(k)
	if err != nil || v == nil {
		return nil, err
	}
	_, content, err := Governed(w.tenant, k, v)
	return content, err
}

// changes gives what has become another one, in the order of the names: all, or
// the one of that name.
func (w *watch) changes(only string) (all []evidence.Change, err error) {
	for _, name := range slices.Sorted(maps.Keys(w.before)) {
		was := w.before[name]
		is, err := w.read(was.key)
		if err != nil {
			return nil, err
		}
		if only != "" && name != only || (is == nil) == (was.content == nil) && bytes.Equal(is, was.content) {
			continue
		}
		d, err := evidence.In(w.Tx, w.tenant).Digester()
		if err != nil {
			return nil, err
		}
		all = append(all, evidence.Change{Record: name, Before: d.Digest(name, was.content), After: d.Digest(name, is)})
	}
	return all, nil
}
