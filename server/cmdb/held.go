package cmdb

import (
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// Contents are stored once for all sites. So that this saves room and tells
// nothing, a machine may name a content only where a machine of its very site has
// uploaded it. Otherwise whoever knows the digest of a file elsewhere could let a
// machine of his own name it and read the file there, or learn from not being
// asked for it that somebody has it. The site is the exact one, not the school:
// a scope shows all CIs of a site or none.

// heldKey ends with the site, so that all who hold a content are found from it.
func heldKey(tenant string, d fact.Digest, site string) store.Key {
	return store.At(store.Record, tenant, "/held/", string(d[:]), "/", site)
}

// putHeld notes that a machine of a site holds a content, with the stamp since
// when.
func (w Writer) putHeld(now time.Time, site string, d fact.Digest) error {
	key := heldKey(w.tenant, d, site)
	have, err := w.tx.Get(key)
	if err != nil || have != nil {
		return err
	}
	stamp, err := w.stamp(now)
	if err != nil {
		return err
	}
	return store.PutFramed(w.tx, key, []byte(be64(uint64(stamp))))
}

// Holds tells whether a content is stored and a machine that stood at site has
// uploaded it: then machines there may name it.
func (v View) Holds(site string, d fact.Digest) (bool, error) {
	have, err := v.r.Get(heldKey(v.tenant, d, site))
	if err != nil || have == nil {
		return false, err
	}
	return store.HasBlob(v.r, v.tenant, contentKind, d)
}

// heldWhere tells whether a content was held at a site that sees accepts by the
// stamp at (0 = ever).
func (v View) heldWhere(d fact.Digest, at int64, sees func(site string) bool) (bool, error) {
	prefix := heldKey(v.tenant, d, "").K
	for p, err := range v.r.Scan(store.Record, prefix, store.PrefixEnd(prefix), 0) {
		if err != nil {
			return false, err
		}
		since, err := store.OpenFramed(store.Key{Space: store.Record, K: p.K}, p.V)
		if err != nil {
			return false, err
		}
		if sees(strings.TrimPrefix(string(p.K), string(prefix))) && (at == 0 || int64(fromBE64(since)) <= at) {
			return true, nil
		}
	}
	return false, nil
}

// HeldKeys returns the keys that say who holds a content and must go with it.
// They are as many as there are sites.
func (v View) HeldKeys(d fact.Digest) (keys []store.Key, err error) {
	prefix := heldKey(v.tenant, d, "").K
	for p, err := range v.r.Scan(store.Record, prefix, store.PrefixEnd(prefix), 0) {
		if err != nil {
			return nil, err
		}
		keys = append(keys, store.Key{Space: store.Record, K: append([]byte(nil), p.K...)})
	}
	return keys, nil
}
