package index

import (
	"hash/maphash"
	"math/bits"

	"rollcall/internal/fact"
)

// said is a fact of a set that is read, with all that can be worked out about it by
// itself. That is most of the work of taking it in, and readers do it, several at the
// same time.
type said struct {
	named
	value
}

// named is a path with its number + 1, or with its hash if it is not known.
type named struct {
	text string
	hash uint64
	id   uint32
}

// most paths that readers are told of: who makes up more has them looked up.
const mostTold = 1 << 18

// tell lets readers know the numbers of paths while a fleet is made. It is called where
// no number of a path becomes free before untell.
func (d *dict) tell() {
	if n := d.paths.n; n <= d.toldOf+d.toldOf/8 || n > mostTold {
		return
	}
	all := make(map[string]pathID, d.paths.n)
	for id := range uint32(d.paths.n) {
		all[d.pathText(pathID(id))] = pathID(id)
	}
	d.told.Store(&all)
	d.toldOf = d.paths.n
}

func (d *dict) untell() {
	d.told.Store(nil)
	d.toldOf = 0
}

func (d *dict) name(path string) named {
	if all := d.told.Load(); all != nil {
		if id, ok := (*all)[path]; ok {
			return named{text: path, id: uint32(id) + 1}
		}
	}
	return named{text: path, hash: d.hashPath(path)}
}

// value is what a set has at a path, packed.
type value struct {
	packed []byte
	short  []byte // see dict.short
	hash   uint64 // the same for all values that fold to the same
}

// say works out facts. It only reads the dictionary, but for the frames.
func (d *dict) say(facts []fact.Fact) []said {
	out := make([]said, len(facts))
	most := 0
	for _, f := range facts {
		most += len(f.Value) + shortLen + foldedLen
	}
	all := make([]byte, 0, most)
	for i, f := range facts {
		from := len(all)
		all = d.frames.pack(all, f.Value)
		packed := all[from:len(all):len(all)]
		v := value{packed: packed, short: packed}
		if s := d.short(all[len(all):], packed); len(s) > 0 && &s[0] != &packed[0] {
			v.short = s
			if len(s) <= cap(all)-len(all) { // it stands there
				all = all[:len(all)+len(s)]
			}
		}
		v.hash = d.valueHash(v.short)
		out[i] = said{d.name(f.Path), v}
	}
	return out
}

// shut works a value out that is packed already.
func (d *dict) shut(packed []byte) value {
	v := value{packed: packed, short: d.short(nil, packed)}
	v.hash = d.valueHash(v.short)
	return v
}

func (d *dict) hashPath(path string) uint64 { return maphash.String(d.seed, path) }

// valueHash is the hash of a value by its short form.
func (d *dict) valueHash(short []byte) uint64 {
	var room [128]byte
	return maphash.Bytes(d.seed, d.folded(room[:0], short))
}

// factHash is the hash of a fact by that of its value.
func (d *dict) factHash(path pathID, valueH uint64) uint64 {
	hi, lo := bits.Mul64(d.paths.at(uint32(path)).hash^0x9e3779b97f4a7c15, valueH|1)
	return hi ^ lo
}
