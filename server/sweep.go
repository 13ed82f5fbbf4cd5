package server

import (
	"encoding/binary"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// orphanAge is how long a content stays that nothing refers to: a machine uploads
// contents before the report that names them.
const orphanAge = 24 * time.Hour

// Keys of this package. Changing one breaks every existing database.
//
//	space   key                         value
//	Record  <t>/orphan/<kind>/<digest>  since when nothing refers to the content, ns since 1970, be64
func orphanKey(tenant, kind string, name fact.Digest) store.Key {
	return store.At(store.Record, tenant, "/orphan/", kind, "/", string(name[:]))
}

func orphanSince(g store.Getter, tenant, kind string, name fact.Digest) (int64, error) {
	b, err := store.GetFramed(g, orphanKey(tenant, kind, name))
	if err != nil || len(b) != 8 {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}
