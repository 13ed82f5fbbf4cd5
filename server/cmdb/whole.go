package cmdb

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"
	"sort"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// whole is a set with all of its facts. It is in memory once, however many other
// sets are kept there as patches on it, and is never changed.
type whole struct {
	digest fact.Digest
	facts  fact.Set // shares memory with enc
	enc    string   // canonical encoding
	at     []uint32 // where each fact begins in enc, and where the last one ends
	marks  []mark
	users  int // patches and sets in the cache that stand on it, under Sets.mu
}

// edit is what a set has at a path otherwise than the whole that it stands on.
type edit struct {
	fact.Fact
	gone bool
	has  bool  // whether the whole has something at the path
	at   int32 // place of the path among the facts of the whole
}

// patch lists, by path, everything that a set has otherwise than a whole. There
// is one patch for each set.
type patch []edit

// mark is the state of a digest in the middle of a set: all facts before the one
// numbered fact of its whole have been hashed, with what the patch says of them.
type mark struct {
	fact int
	sum  hash.Cloner
}

// markEvery is the distance of marks in bytes. A digest that starts from the last
// mark before a change hashes what follows; a mark takes some 150 bytes.
const markEvery = 12 << 10

// newWhole makes a whole of a canonical encoding and computes its digest.
func newWhole(enc string) (*whole, error) {
	w := &whole{enc: enc}
	var err error
	if w.facts, err = fact.DecodeSet(enc); err != nil {
		return nil, err
	}
	w.at = make([]uint32, 0, len(w.facts)+1)
	pos := 1
	for _, f := range w.facts {
		w.at = append(w.at, uint32(pos))
		pos += uvarintLen(len(f.Path)) + len(f.Path) + uvarintLen(len(f.Value)) + len(f.Value)
	}
	w.at = append(w.at, uint32(pos))
	for i := 1; i < len(w.facts); i++ {
		if w.facts[i-1].Path >= w.facts[i].Path {
			return nil, fmt.Errorf("%w: its facts are out of order", store.ErrCorrupt)
		}
	}
	w.digest, w.marks = w.sum(nil, nil)
	return w, nil
}

func uvarintLen(n int) int {
	var b [binary.MaxVarintLen64]byte
	return binary.PutUvarint(b[:], uint64(n))
}

// size is what the whole takes in memory, about.
func (w *whole) size() int { return len(w.enc) + len(w.facts)*36 + len(w.marks)*160 + 200 }

// find returns the place of a path and whether there is a fact with it.
func (w *whole) find(path string) (at int, has bool) {
	return slices.BinarySearchFunc(w.facts, path, func(f fact.Fact, p string) int { return cmp.Compare(f.Path, p) })
}

// summer hashes a set in the order of its facts.
type summer struct {
	w     *whole
	sum   hash.Cloner
	buf   []byte
	last  int // where in enc the last mark is
	marks []mark
}

// sum computes the digest of the whole with a patch laid over it. It starts from
// the last of the marks, which must hold for this set, and returns them with those
// that it adds.
func (w *whole) sum(p patch, marks []mark) (fact.Digest, []mark) {
	s := summer{w: w, buf: make([]byte, 0, 8<<10), marks: slices.Clip(marks)}
	from := 0
	if n := len(marks); n > 0 {
		from = marks[n-1].fact
		s.sum, _ = marks[n-1].sum.Clone() // never fails, see crypto/sha256
		p = p[sort.Search(len(p), func(i int) bool { return p[i].Path >= w.facts[from].Path }):]
	} else {
		s.sum, _ = sha256.New().(hash.Cloner)
		s.write(w.enc[:1])
	}
	s.last = int(w.at[from])
	for _, e := range p {
		s.facts(from, int(e.at))
		if !e.gone {
			s.flush()
			s.buf = fact.AppendFact(s.buf, e.Fact)
			s.flush()
		}
		if from = int(e.at); e.has {
			from++
		}
	}
	s.facts(from, len(w.facts))
	return fact.Digest(s.sum.Sum(nil)), s.marks
}

// facts hashes the facts of the whole from one to before another, with marks
// between them.
func (s *summer) facts(from, to int) {
	for from < to {
		next := from + sort.Search(to-from, func(i int) bool { return int(s.w.at[from+i]) >= s.last+markEvery })
		s.write(s.w.enc[s.w.at[from]:s.w.at[next]])
		if from = next; from < to {
			state, _ := s.sum.Clone() // never fails, see crypto/sha256
			s.marks = append(s.marks, mark{from, state})
			s.last = int(s.w.at[from])
		}
	}
}

// write hashes text, which needs to be copied to become bytes.
func (s *summer) write(text string) {
	for len(text) > 0 {
		n := min(len(text), cap(s.buf))
		s.buf = append(s.buf[:0], text[:n]...)
		s.flush()
		text = text[n:]
	}
}

func (s *summer) flush() {
	_, _ = s.sum.Write(s.buf) // never fails, see hash.Hash
	s.buf = s.buf[:0]
}

// before gives the marks that hold for a set that is the same up to a path.
func (w *whole) before(marks []mark, path string) []mark {
	n := sort.Search(len(marks), func(i int) bool { return w.facts[marks[i].fact].Path > path })
	return marks[:n:n]
}

// apply gives the patch that a patch becomes by a delta.
func (w *whole) apply(p patch, d fact.Delta) patch {
	news := make(patch, 0, len(d.Put)+len(d.Drop))
	put, drop := d.Put, d.Drop
	for len(put) > 0 || len(drop) > 0 {
		e := edit{}
		if len(drop) == 0 || len(put) > 0 && put[0].Path < drop[0] {
			e.Fact, put = put[0], put[1:]
		} else {
			e.Path, e.gone, drop = drop[0], true, drop[1:]
		}
		at, has := w.find(e.Path)
		e.at, e.has = int32(at), has
		news = append(news, e)
	}
	out := make(patch, 0, len(p)+len(news))
	for len(p) > 0 || len(news) > 0 {
		if len(news) == 0 || len(p) > 0 && p[0].Path < news[0].Path {
			out, p = append(out, p[0]), p[1:]
			continue
		}
		e := news[0]
		if news = news[1:]; len(p) > 0 && p[0].Path == e.Path {
			p = p[1:]
		}
		if e.gone && e.has || !e.gone && (!e.has || w.facts[e.at].Value != e.Value) {
			out = append(out, e)
		}
	}
	return out
}

// against gives what leads from the whole to a sorted list of facts.
func (w *whole) against(facts []fact.Fact) patch {
	var p patch
	i := 0
	for _, f := range facts {
		for i < len(w.facts) && w.facts[i].Path < f.Path {
			p = append(p, edit{Fact: fact.Fact{Path: w.facts[i].Path}, gone: true, has: true, at: int32(i)})
			i++
		}
		if has := i < len(w.facts) && w.facts[i].Path == f.Path; !has || w.facts[i].Value != f.Value {
			p = append(p, edit{Fact: f, has: has, at: int32(i)})
		}
		if i < len(w.facts) && w.facts[i].Path == f.Path {
			i++
		}
	}
	for ; i < len(w.facts); i++ {
		p = append(p, edit{Fact: fact.Fact{Path: w.facts[i].Path}, gone: true, has: true, at: int32(i)})
	}
	return p
}

// set lays the patch over the whole.
func (w *whole) set(p patch) fact.Set {
	if len(p) == 0 {
		return w.facts
	}
	out := make(fact.Set, 0, len(w.facts)+len(p))
	from := 0
	for _, e := range p {
		out = append(out, w.facts[from:e.at]...)
		if !e.gone {
			out = append(out, e.Fact)
		}
		if from = int(e.at); e.has {
			from++
		}
	}
	return append(out, w.facts[from:]...)
}

// get returns the value at a path, and whether there is one.
func (w *whole) get(p patch, path string) (string, bool) {
	if i, ok := slices.BinarySearchFunc(p, path, func(e edit, s string) int { return cmp.Compare(e.Path, s) }); ok {
		return p[i].Value, !p[i].gone
	}
	return w.facts.Get(path)
}

// between lists what a set has otherwise than another on the same whole, as a
// patch of the other.
func (w *whole) between(old, now patch) patch {
	var out patch
	for len(old) > 0 || len(now) > 0 {
		switch {
		case len(old) == 0 || len(now) > 0 && now[0].Path < old[0].Path:
			out, now = append(out, now[0]), now[1:]
		case len(now) == 0 || old[0].Path < now[0].Path: // it is again as in the whole
			e := edit{Fact: fact.Fact{Path: old[0].Path}, gone: !old[0].has, has: !old[0].gone, at: old[0].at}
			if old[0].has {
				e.Fact = w.facts[e.at]
			}
			out, old = append(out, e), old[1:]
		default:
			if now[0].Value != old[0].Value || now[0].gone != old[0].gone {
				out = append(out, now[0])
			}
			old, now = old[1:], now[1:]
		}
	}
	return out
}

// equal tells whether two patches of one whole lead to the same set.
func (p patch) equal(q patch) bool {
	return slices.EqualFunc(p, q, func(a, b edit) bool { return a.gone == b.gone && a.Fact == b.Fact })
}

// grows is how many more facts a set has than the whole that p is a patch of.
func (p patch) grows() (n int) {
	for _, e := range p {
		switch {
		case e.gone:
			n--
		case !e.has:
			n++
		}
	}
	return n
}

// delta gives the patch the form in which it is stored.
func (p patch) delta(base, result fact.Digest) fact.Delta {
	d := fact.Delta{Base: base, Result: result}
	for _, e := range p {
		if e.gone {
			d.Drop = append(d.Drop, e.Path)
		} else {
			d.Put = append(d.Put, e.Fact)
		}
	}
	return d
}

// bytes is the length of the patch as it is stored, about.
func (p patch) bytes() (n int) {
	for _, e := range p {
		n += len(e.Path) + len(e.Value) + 3
	}
	return n
}
