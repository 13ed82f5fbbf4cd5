package evidence

import (
	"bytes"
	"encoding/binary"

	"rollcall/server/store"
)

// Keys of this package. A key that shipped is a promise: changing one breaks every
// existing database.
//
//	space   key                             value
//	Record  <t>/loghead                     number of leaves, 8 bytes big-endian, framed
//	Record  <t>/log/<n be64>                length (2 bytes big-endian) and bytes of leaf n, then the hashes of
//	                                        32 bytes that tlog.StoredHashes gives for it, framed
//	Record  <t>/lognote/<n be64>            explanation, compact or framed JSON: what erasing takes away
//	Record  <t>/leafof/<envelope hash>      index of a report's leaf, 8 bytes big-endian, framed
//	Record  <t>/checkpoint                  Signed, framed JSON
//	Record  <t>/witnesses                   list of Witnessed, framed JSON
//	Record  <t>/logkey/<key id>/<n be64>    nothing, framed: leaf n is about this key and no report
//	Record  <t>/digestkey                   key of the digests of records, see Change, framed
//	Record  <t>/ticks/<day>/<n be64>        nothing, framed: leaf n is about the ticks of that day
//	Blob    <t>/ticks/<digest>/…            TickList
func headKey(tenant string) store.Key { return store.At(store.Record, tenant, "/loghead") }

func logKey(tenant string, n uint64) store.Key { return numbered(tenant, "/log/", n) }

func noteKey(tenant string, n uint64) store.Key { return numbered(tenant, "/lognote/", n) }

func leafOfKey(tenant string, sum [sumSize]byte) store.Key {
	return store.At(store.Record, tenant, "/leafof/", string(sum[:]))
}

func aboutKey(tenant, key string, n uint64) store.Key {
	return numbered(tenant, "/logkey/"+key+"/", n)
}

func numbered(tenant, what string, n uint64) store.Key {
	k := store.At(store.Record, tenant, what)
	k.K = binary.BigEndian.AppendUint64(k.K, n)
	return k
}

// explanation is what explains a leaf.
type explanation struct {
	Salt    []byte `json:"salt,omitempty"`
	Sum     []byte `json:"sum,omitempty"`     // SHA-256 of the content
	Content []byte `json:"content,omitempty"` // none for a signed kind: the envelope is stored elsewhere
	Erased  int64  `json:"erased,omitempty"`  // milliseconds since 1970; all else is gone then
}

// AppendFields implements store.Compact. Changing a number breaks every existing
// database.
func (n explanation) AppendFields(f *store.Fields) error {
	f.Bytes(1, n.Salt)
	f.Bytes(2, n.Sum)
	f.Bytes(3, n.Content)
	f.Uint(4, uint64(n.Erased))
	return nil
}

// ReadField implements store.Compact.
func (n *explanation) ReadField(number uint64, v []byte) error {
	switch number {
	case 1:
		n.Salt = bytes.Clone(v)
	case 2:
		n.Sum = bytes.Clone(v)
	case 3:
		n.Content = bytes.Clone(v)
	case 4:
		n.Erased = int64(store.UintOf(v))
	}
	return nil
}

func be64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// number reads a stored number.
func number(k store.Key, b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, &store.CorruptError{Key: k, Reason: "not a number"}
	}
	return binary.BigEndian.Uint64(b), nil
}
