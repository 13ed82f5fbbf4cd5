package cmdb

import (
	"encoding/binary"

	"rollcall/server/store"
)

// Keys of this package. Every key begins with the tenant and a slash. Changing
// one breaks every existing database.
//
//	space   key                                value
//	CI      <t>/<ci>                           CI, framed JSON
//	Event   <t>/<ci>/<n be64>                  Revision, framed JSON
//	Unique  <t>/name/<name in lower case>      CI id
//	Unique  <t>/folder/<repo>/<folder>         CI id
//	Record  <t>/site/<path>                    Site, framed JSON
//	Record  <t>/filter/<name>                  Filter, framed JSON
//	Record  <t>/baseline/<name>                Baseline, framed JSON
//	Record  <t>/baseline-facts/<name>/<n be64> its facts as encoded, in parts, framed
//	Record  <t>/policy                         Published, framed JSON
//	Record  <t>/policy-bundle                  its bundle, framed
//	Record  <t>/out/mirror/<stamp be64><ci>    revision number be64: the mirror's outbox
//	Record  <t>/last/<ci>                      Last: what the newest report said beside facts
//	Record  <t>/seen/<part be64>               presence, framed, see presence.go
//	Record  <t>/erase/<ci>                     Erasure, framed JSON: one that is not complete
//	Blob    <t>/set/<digest>/…                 fact set, full or as a delta, see sets.go
//	Blob    <t>/content/<digest>/…             content of a file
//	Record  <t>/held/<digest>/<site>           since when a machine of the site holds the content: stamp be64
//	Unique  <t>/md5/<hex>                      content by MD5 and since when, framed JSON
//	Meta    <t>/stamp                          last stamp given out, be64
//	Meta    <t>/revisions                      number of revisions, be64

func ciKey(tenant, ci string) store.Key { return store.At(store.CI, tenant, "/", ci) }

func revisionKey(tenant, ci string, n uint64) store.Key {
	return store.At(store.Event, tenant, "/", ci, "/", be64(n))
}

func nameKey(tenant, name string) store.Key { return store.At(store.Unique, tenant, "/name/", name) }

func folderKey(tenant, repo, folder string) store.Key {
	return store.At(store.Unique, tenant, "/folder/", repo, "/", folder)
}

func siteKey(tenant, path string) store.Key { return store.At(store.Record, tenant, "/site/", path) }

func filterKey(tenant, name string) store.Key {
	return store.At(store.Record, tenant, "/filter/", name)
}

func baselineKey(tenant, name string) store.Key {
	return store.At(store.Record, tenant, "/baseline/", name)
}

func baselinePartKey(tenant, name string, n int) store.Key {
	return store.At(store.Record, tenant, "/baseline-facts/", name, "/", be64(uint64(n)))
}

func policyKey(tenant string) store.Key { return store.At(store.Record, tenant, "/policy") }

func policyBundleKey(tenant string) store.Key {
	return store.At(store.Record, tenant, "/policy-bundle")
}

// MirrorPrefix begins the keys of the mirror's outbox in space Record.
func MirrorPrefix(tenant string) []byte { return []byte(tenant + "/out/mirror/") }

// MirrorKey names the outbox entry of one revision.
func MirrorKey(tenant string, stamp int64, ci string) store.Key {
	return store.At(store.Record, string(MirrorPrefix(tenant)), be64(uint64(stamp)), ci)
}

func lastKey(tenant, ci string) store.Key { return store.At(store.Record, tenant, "/last/", ci) }

func erasureKey(tenant, ci string) store.Key { return store.At(store.Record, tenant, "/erase/", ci) }

func seenKey(tenant string, part uint64) store.Key {
	return store.At(store.Record, tenant, "/seen/", be64(part))
}

func md5Key(tenant, md5 string) store.Key { return store.At(store.Unique, tenant, "/md5/", md5) }

func stampKey(tenant string) store.Key { return store.At(store.Meta, tenant, "/stamp") }

func countKey(tenant string) store.Key { return store.At(store.Meta, tenant, "/revisions") }

func be64(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

func fromBE64(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}
