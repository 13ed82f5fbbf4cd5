package store

import (
	"encoding/binary"
	"strings"
	"time"
)

// System is the tenant of keys that belong to the installation itself. No other
// tenant may have this name.
const System = "_"

// Keys of this package. A key that shipped is a promise: changing one breaks
// every existing database.
//
//	space  key                                       value
//	Feed   _/<lane>/<n be64>                         entry (below), framed, version 1
//	Meta   _/schema                                  schema version, 8 bytes big-endian, framed, version 1
//	Blob   <tenant>/<kind>/<digest 32 bytes>/<c be16>  chunk c of a content, framed, version 1
//
// An entry is a byte 'c' (committed) or 'v' (void: the number is used up, its
// batch was not committed), the server's time in milliseconds since 1970 (8
// bytes big-endian), then for each touched CI the length (uvarint) and the
// bytes of its id.
const (
	entryCommitted = 'c'
	entryVoid      = 'v'
	recordV1       = 1
	recordV2       = 2 // a list of fields, see Compact
)

func feedKey(lane string, n uint64) Key {
	k := At(Feed, System, "/", lane, "/")
	k.K = binary.BigEndian.AppendUint64(k.K, n)
	return k
}

// parseFeedKey returns lane and number of a key in Feed; ok is false for a key
// of another form.
func parseFeedKey(k []byte) (lane string, n uint64, ok bool) {
	rest, ok := strings.CutPrefix(string(k), System+"/")
	if !ok {
		return "", 0, false
	}
	i := strings.IndexByte(rest, '/') // lane ids hold no slash
	if i < 1 || len(rest) != i+1+8 {
		return "", 0, false
	}
	return rest[:i], binary.BigEndian.Uint64([]byte(rest[i+1:])), true
}

// entry is one decided number of a lane.
type entry struct {
	void  bool
	at    time.Time
	dirty []string
}

// entryHead is the size of an entry without ids: frame, kind, time.
const entryHead = frameHead + 1 + 8

func (e entry) encode(k Key) []byte {
	b := make([]byte, 0, 64)
	if e.void {
		b = append(b, entryVoid)
	} else {
		b = append(b, entryCommitted)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(e.at.UnixMilli()))
	for _, id := range e.dirty {
		b = binary.AppendUvarint(b, uint64(len(id)))
		b = append(b, id...)
	}
	return Frame(k, recordV1, b)
}

func decodeEntry(k Key, v []byte) (entry, error) {
	version, b, err := Unframe(k, v)
	if err != nil {
		return entry{}, err
	}
	if version != recordV1 || len(b) < 9 || b[0] != entryCommitted && b[0] != entryVoid {
		return entry{}, &CorruptError{Key: k, Reason: "not a feed entry"}
	}
	e := entry{void: b[0] == entryVoid, at: time.UnixMilli(int64(binary.BigEndian.Uint64(b[1:])))}
	for b = b[9:]; len(b) > 0; {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return entry{}, &CorruptError{Key: k, Reason: "not a feed entry"}
		}
		e.dirty = append(e.dirty, string(b[w:w+int(n)]))
		b = b[w+int(n):]
	}
	return e, nil
}

func schemaKey() Key { return At(Meta, System, "/schema") }
