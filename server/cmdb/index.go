package cmdb

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// CheckIndex computes anew what leads to CIs and contents, from their heads, and
// tells what leads elsewhere: the direction that Guarded does not look. sum gives
// the MD5 of a content, or nothing to leave that out. An error is one of reading.
func (v View) CheckIndex(heads map[string]CI, sum func(fact.Digest) (string, error), fault func(error)) error {
	for kind, is := range map[string]func(name string, value []byte) error{
		"/name/":   guards(heads, func(ci CI) string { return strings.ToLower(ci.Name) }),
		"/folder/": guards(heads, func(ci CI) string { return ci.Repo + "/" + ci.Folder }),
		"/md5/": func(name string, value []byte) error {
			var k known
			if err := store.DecodeJSON(md5Key(v.tenant, name), value, &k); err != nil {
				return err
			}
			have, err := sum(k.Content)
			if err == nil && have != name && have != "" {
				err = fmt.Errorf("content %s has the MD5 %s", k.Content, have)
			}
			return err
		},
	} {
		prefix := []byte(v.tenant + kind)
		for p, err := range v.r.Scan(store.Unique, prefix, store.PrefixEnd(prefix), 0) {
			if err != nil {
				return err
			}
			k := store.Key{Space: store.Unique, K: p.K}
			value, name := p.V, string(p.K[len(prefix):])
			if kind != "/md5/" {
				value, err = store.OpenFramed(k, p.V)
			}
			if err == nil {
				err = is(name, value)
			}
			if err != nil {
				fault(fmt.Errorf("record %.200s leads elsewhere than it should: %w", k, err))
			}
		}
	}
	return nil
}

func guards(heads map[string]CI, want func(CI) string) func(string, []byte) error {
	return func(name string, value []byte) error {
		ci, ok := heads[string(value)]
		if !ok {
			return fmt.Errorf("there is no CI %.40q", value)
		}
		if have := want(ci); have != name {
			return fmt.Errorf("CI %s has %q", ci.ID, have)
		}
		return nil
	}
}

// MD5Of returns the MD5 of a stored content.
func (v View) MD5Of(d fact.Digest) (string, error) {
	b, err := v.Content(d)
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:]), err
}

// Bases lists the sets that a stored set is a delta of, down to a full one.
func (v View) Bases(d fact.Digest) ([]fact.Digest, error) {
	var all []fact.Digest
	for range maxChain + 2 {
		delta, _, err := stored(v.r, v.tenant, d)
		if err != nil || delta.Base.IsZero() {
			return all, err
		}
		d = delta.Base
		all = append(all, d)
	}
	return all, fmt.Errorf("read fact set %s: %w: a chain of more than %d deltas", d, store.ErrCorrupt, maxChain)
}

// Fold follows what people declared through the revisions of a CI.
type Fold struct {
	fields      map[string]string
	first, last uint64 // revisions that declared something
}

// ErrFold is wrapped where a revision changes something else than what there was.
var ErrFold = errors.New("the revision does not follow the one before")

// Add applies a revision. It returns an error that wraps ErrFold if that was made
// from other fields; it is applied then too.
func (f *Fold) Add(r Revision) error {
	if f.fields == nil {
		f.fields = map[string]string{}
	}
	var err error
	if len(r.Fields) > 0 {
		if f.first == 0 {
			f.first = r.N
		}
		if r.PrevDeclared > 0 && max(r.PrevDeclared, f.first) != f.last {
			err = fmt.Errorf("revision %d of CI %s: %w: it says that revision %d declared something before it, that was %d", r.N, r.CI, ErrFold, r.PrevDeclared, f.last)
		}
		f.last = r.N
	}
	for name, c := range r.Fields {
		if f.fields[name] != c.Old {
			err = fmt.Errorf("revision %d of CI %s: %w: it says that %s was %.80q, it was %.80q", r.N, r.CI, ErrFold, name, c.Old, f.fields[name])
		}
		f.fields[name] = c.New
		if c.New == "" {
			delete(f.fields, name)
		}
	}
	return err
}

// Leads tells whether the revisions lead to the head.
func (f *Fold) Leads(ci CI) bool {
	return maps.Equal(f.fields, ci.declared()) && (ci.LastDeclared == 0 || ci.LastDeclared == f.last)
}

// GuardsOf returns the keys that lead to a content and must go with it. A content
// that is damaged or not there has none that can be told.
func (v View) GuardsOf(d fact.Digest) ([]store.Key, error) {
	sum, err := v.MD5Of(d)
	if err != nil {
		if errors.Is(err, ErrNotFound) || errors.Is(err, store.ErrCorrupt) {
			return nil, nil
		}
		return nil, err
	}
	var k known
	found, err := store.GetJSON(v.r, md5Key(v.tenant, sum), &k)
	if err != nil || !found || k.Content != d {
		return nil, err
	}
	return []store.Key{md5Key(v.tenant, sum)}, nil
}
