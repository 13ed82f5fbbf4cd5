package cmdb

import (
	"context"
	"fmt"
	"strings"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// Kinds of blob, see keys.go.
const (
	setKind     = "set"
	contentKind = "content"
)

// A stored set begins with a byte that tells its form. Changing a form breaks
// every existing database.
const (
	setFull  = 1 // then the canonical encoding of the set
	setDelta = 2 // then the number of deltas below it, then an encoded fact.Delta
)

// maxChain bounds how many deltas are applied to read one set: programs before
// wrote that many, this one writes two. deltaShare is how large a delta may be
// beside its set (one part in …) before a full set is stored instead.
const (
	maxChain   = 12
	deltaShare = 4
)

// Sets reads and writes fact sets, which are stored once by digest, and caches
// decoded ones. It is safe for concurrent use. Loaded sets are shared and must
// not be changed.
//
// Most sets differ a little from another one: from what the machine had before, or
// from what a machine like it has. In the store and in memory such a set is a
// delta from a whole one. A machine that goes on changing gets a delta from its
// whole now and then, the anchor, and smaller ones from that: so a set is read
// with at most two deltas, and a year of changes takes little more than the
// changes.
type Sets struct {
	cache *setCache
	near  *nearby
}

// NewSets makes an empty cache.
func NewSets() (*Sets, error) {
	c, err := newSetCache()
	if err != nil {
		return nil, fmt.Errorf("make cache: %w", err)
	}
	return &Sets{cache: c, near: newNearby()}, nil
}

// Usage returns how many decoded sets are in memory, and the bytes that they take.
func (s *Sets) Usage() (sets, bytes int) { return s.cache.usage() }

// Load returns the set with a digest. What is stored is checked against the
// digest: damage is store.ErrCorrupt, absence store.ErrNoBlob.
func (s *Sets) Load(g store.Getter, tenant string, d fact.Digest) (fact.Set, error) {
	h, err := s.load(g, tenant, d, 0)
	if err != nil {
		return nil, err
	}
	return h.set(), nil
}

func (s *Sets) load(g store.Getter, tenant string, d fact.Digest, above int) (*held, error) {
	if h, ok := s.cache.get(d); ok {
		return h, nil
	}
	if w, ok := s.cache.whole(d); ok {
		return &held{whole: w}, nil
	}
	b, err := store.GetBlob(g, tenant, setKind, d)
	if err != nil {
		return nil, fmt.Errorf("read fact set %s: %w", d, err)
	}
	h, err := s.decode(g, tenant, d, b, above)
	if err != nil {
		return nil, fmt.Errorf("read fact set %s: %w", d, err)
	}
	s.keep(d, h)
	return h, nil
}

// decode reads a stored form, and proves that it is the set with the digest.
func (s *Sets) decode(g store.Getter, tenant string, d fact.Digest, b []byte, above int) (*held, error) {
	switch {
	case len(b) > 1 && b[0] == setFull:
		w, err := newWhole(string(b[1:]))
		if err == nil && w.digest != d {
			err = store.ErrCorrupt
		}
		return &held{whole: w}, err
	case len(b) > 2 && b[0] == setDelta && above <= maxChain:
		delta, err := fact.DecodeDelta(b[2:])
		if err != nil {
			return nil, err
		}
		base, err := s.load(g, tenant, delta.Base, above+1)
		if err != nil {
			return nil, err
		}
		h := base.follow(delta)
		var sum fact.Digest
		if sum, h.marks = h.whole.sum(h.patch, base.same(delta)); sum != d {
			return nil, store.ErrCorrupt
		}
		if h.depth = base.depth + 1; base.depth == 1 {
			h.anchor = delta.Base
		}
		return h, nil
	}
	return nil, fmt.Errorf("%w: unknown form", store.ErrCorrupt)
}

// follow gives the set that a delta leads to; nothing is known of how it is stored.
func (h *held) follow(d fact.Delta) *held {
	return &held{whole: h.whole, patch: h.whole.apply(h.patch, d)}
}

// same gives the marks that hold for the set that a delta leads to.
func (h *held) same(d fact.Delta) []mark {
	first := ""
	switch {
	case len(d.Put) > 0 && len(d.Drop) > 0:
		first = min(d.Put[0].Path, d.Drop[0])
	case len(d.Put) > 0:
		first = d.Put[0].Path
	case len(d.Drop) > 0:
		first = d.Drop[0]
	}
	marks := h.marks
	if len(h.patch) == 0 {
		marks = h.whole.marks
	}
	return h.whole.before(marks, first)
}

func (s *Sets) keep(d fact.Digest, h *held) {
	s.cache.put(d, h)
	if len(h.patch) == 0 {
		s.near.add(h.whole)
	}
}

// stored reads the form in which a set is kept: either full, or a delta from a
// base that is stored too.
func stored(g store.Getter, tenant string, d fact.Digest) (delta fact.Delta, full fact.Set, err error) {
	b, err := store.GetBlob(g, tenant, setKind, d)
	if err == nil {
		switch {
		case len(b) > 1 && b[0] == setFull:
			full, err = fact.DecodeSet(b[1:])
		case len(b) > 2 && b[0] == setDelta:
			delta, err = fact.DecodeDelta(b[2:])
		default:
			err = fmt.Errorf("%w: unknown form", store.ErrCorrupt)
		}
	}
	if err != nil {
		return fact.Delta{}, nil, fmt.Errorf("read fact set %s: %w", d, err)
	}
	return delta, full, nil
}

// Derive works out the set that an encoded delta leads to, proves that it is the
// one that the delta promises, and decides how it is stored. What it starts from
// is read through g. Nothing is said of what the facts are: that is for the caller
// to check, see Prepared.News. Errors wrap fact.ErrEncoding or fact.ErrBase if the
// delta is at fault.
func (s *Sets) Derive(g store.Getter, tenant string, raw []byte) (Prepared, error) {
	base, result, err := fact.DeltaEnds(raw)
	if err != nil {
		return Prepared{}, err
	}
	p := Prepared{Digest: result}
	if p.stored, err = store.HasBlob(g, tenant, setKind, result); err != nil {
		return p, err
	}
	if base.IsZero() {
		err = s.deriveFull(g, tenant, raw, &p)
	} else {
		err = s.deriveNext(g, tenant, raw, &p)
	}
	if err != nil || p.held == nil {
		return p, err
	}
	p.Len = len(p.held.whole.facts) + p.held.patch.grows()
	p.Section = p.held.whole.facts[0].Section()
	return p, nil
}

// deriveFull takes a set that was sent with all its facts.
func (s *Sets) deriveFull(g store.Getter, tenant string, raw []byte, p *Prepared) error {
	if sum, ok := fact.FullDigest(raw); !ok || sum != p.Digest {
		return fmt.Errorf("apply delta to %.12s: %w: another set comes out", p.Digest, fact.ErrBase)
	}
	if p.stored { // and so are its facts, with whatever they were checked for
		h, err := s.load(g, tenant, p.Digest, 0)
		p.held, p.Base = h, p.Digest
		return err
	}
	d, err := fact.DecodeDelta(raw)
	if err != nil {
		return err
	}
	if len(d.Put) == 0 {
		return nil
	}
	if near, ok := s.near.to(d.Put); ok {
		found, err := s.onto(g, tenant, near, d.Put, len(raw), p)
		if err != nil || found {
			return err
		}
	}
	p.News = d.Put
	return s.storeWhole(fact.Set(d.Put).Encode(), p)
}

// onto stores a set as a delta from a whole, if that is much smaller.
func (s *Sets) onto(g store.Getter, tenant string, near fact.Digest, facts []fact.Fact, full int, p *Prepared) (bool, error) {
	if has, err := store.HasBlob(g, tenant, setKind, near); err != nil || !has {
		return false, err
	}
	base, err := s.load(g, tenant, near, 0)
	if err != nil || base.depth > 0 || len(base.patch) > 0 {
		return false, err
	}
	diff := base.whole.against(facts)
	if full < nearLeast || full > nearMost || diff.bytes()*deltaShare > full || len(diff) == 0 {
		return false, nil
	}
	for i := range diff { // the facts share memory with the whole report
		diff[i].Path, diff[i].Value = strings.Clone(diff[i].Path), strings.Clone(diff[i].Value)
	}
	d := diff.delta(near, p.Digest)
	p.held = &held{whole: base.whole, patch: diff, depth: 1}
	p.held.marks = base.whole.before(base.whole.marks, diff[0].Path)
	p.News, p.Base = d.Put, near
	return true, s.storeDelta(base, d, p)
}

// deriveNext takes a set that was sent as a delta from one that is stored.
func (s *Sets) deriveNext(g store.Getter, tenant string, raw []byte, p *Prepared) error {
	d, err := fact.DecodeDelta(raw)
	if err != nil {
		return err
	}
	old, err := s.load(g, tenant, d.Base, 0)
	if err != nil {
		return err
	}
	p.News, p.Base, p.held = d.Put, d.Base, old.follow(d)
	h := p.held
	if known, ok := s.cache.get(p.Digest); ok && known.whole == h.whole && known.patch.equal(h.patch) {
		p.held = known // it was proved before
		if p.stored {
			return nil
		}
	} else {
		var sum fact.Digest
		if sum, h.marks = h.whole.sum(h.patch, old.same(d)); sum != p.Digest {
			return fmt.Errorf("apply delta to %.12s: %w: another set comes out", p.Digest, fact.ErrBase)
		}
	}
	switch {
	case p.stored:
		return s.learn(g, tenant, p)
	case len(h.whole.facts)+h.patch.grows() == 0:
		return nil
	}
	return s.storeNext(g, tenant, old, len(raw), p)
}

// learn caches a set that was proved anew, with the form in which it is stored.
func (s *Sets) learn(g store.Getter, tenant string, p *Prepared) error {
	b, err := store.GetBlob(g, tenant, setKind, p.Digest)
	if err != nil {
		return fmt.Errorf("read fact set %s: %w", p.Digest, err)
	}
	if len(b) <= 2 || b[0] != setDelta { // a whole is kept as one, for others to stand on
		p.held, err = s.load(g, tenant, p.Digest, 0)
		return err
	}
	base, _, err := fact.DeltaEnds(b[2:])
	if err != nil {
		return fmt.Errorf("read fact set %s: %w", p.Digest, err)
	}
	h := &held{whole: p.held.whole, patch: p.held.patch, marks: p.held.marks, depth: int(b[1])}
	if h.depth == 2 {
		h.anchor = base
	}
	p.held = h
	s.cache.put(p.Digest, h)
	return nil
}

// storeNext decides how the successor of a set is stored: as a delta from the
// anchor while such deltas are small beside the one that a new anchor takes, else
// as one from the whole, which makes it an anchor, or as a whole.
func (s *Sets) storeNext(g store.Getter, tenant string, old *held, change int, p *Prepared) error {
	h := &held{whole: p.held.whole, patch: p.held.patch, marks: p.held.marks}
	p.held = h
	if len(h.patch) == 0 { // what it was once, and that has been removed meanwhile
		return s.storeWhole([]byte(h.whole.enc), p)
	}
	straight := h.patch.bytes()
	if straight*deltaShare > len(h.whole.enc) || s.near.avoided(h.whole.digest) {
		return s.storeAfresh(g, tenant, p)
	}
	base, diff, from := h.whole.digest, h.patch, &held{whole: h.whole}
	if anchor, at, err := s.anchorOf(g, tenant, old, p); err != nil {
		return err
	} else if anchor != nil {
		if d := h.whole.between(anchor.patch, h.patch); d.bytes()*d.bytes() <= 2*straight*change {
			base, diff, from, h.depth, h.anchor = at, d, anchor, 1, at
		}
	}
	has, err := store.HasBlob(g, tenant, setKind, base)
	if err != nil {
		return err
	}
	if !has {
		return s.storeWhole(h.set().Encode(), p)
	}
	h.depth++
	return s.storeDelta(from, diff.delta(base, p.Digest), p)
}

// anchorOf returns the anchor that the successor of a set may be stored on.
func (s *Sets) anchorOf(g store.Getter, tenant string, old *held, p *Prepared) (*held, fact.Digest, error) {
	switch {
	case old.depth == 1 && !s.near.avoided(p.Base):
		return old, p.Base, nil
	case old.depth != 2 || s.near.avoided(old.anchor) || old.anchor.IsZero():
		return nil, fact.Digest{}, nil
	}
	anchor, err := s.load(g, tenant, old.anchor, 0)
	if err != nil || anchor.depth != 1 || anchor.whole != old.whole {
		return nil, fact.Digest{}, err
	}
	return anchor, old.anchor, nil
}

// Avoid lets no set be stored from now on as a delta from one of these, which are
// to be removed. Reports that are under way may still do so.
func (s *Sets) Avoid(all map[fact.Digest]bool) {
	for d := range all {
		s.near.drop(d)
	}
}

// Rebase stores a set in another form that does not need the set that it is a delta
// from now. It returns store.ErrLimit if that takes more than one transaction.
func (s *Sets) Rebase(ctx context.Context, e store.Engine, u store.Updater, tenant string, d fact.Digest) error {
	p := Prepared{Digest: d}
	err := e.View(ctx, func(r store.Reader) (err error) {
		if p.held, err = s.load(r, tenant, d, 0); err != nil {
			return err
		}
		return s.storeAfresh(r, tenant, &p)
	})
	var packed store.Packed
	if err == nil {
		packed, err = p.packed()
	}
	if err == nil {
		err = packed.Replace(ctx, e, u, tenant, setKind, d)
	}
	if err != nil {
		return fmt.Errorf("store fact set %s in another form: %w", d, err)
	}
	s.keep(d, p.held)
	return nil
}

// storeAfresh stores a set that has gone far from its whole: on another machine's
// whole, as where many are upgraded to the same release, or as a whole of its own.
func (s *Sets) storeAfresh(g store.Getter, tenant string, p *Prepared) error {
	facts := p.held.set()
	if near, ok := s.near.to(facts); ok && near != p.held.whole.digest {
		q := Prepared{Digest: p.Digest}
		found, err := s.onto(g, tenant, near, facts, encodedSize(facts), &q)
		if found {
			p.held, p.packed, p.size = q.held, q.packed, q.size
		}
		if err != nil || found {
			return err
		}
	}
	return s.storeWhole(facts.Encode(), p)
}

func (s *Sets) storeWhole(enc []byte, p *Prepared) error {
	w, err := newWhole(string(enc))
	if err == nil && w.digest != p.Digest {
		err = fact.ErrBase
	}
	if err != nil {
		return fmt.Errorf("fact set %.12s: %w", p.Digest, err)
	}
	p.held = &held{whole: w}
	p.pack(append([]byte{setFull}, enc...))
	return nil
}

// storeDelta stores a set as a delta from another, after it has looked that it
// leads there: what is stored here is all that is left of what a machine sent.
func (s *Sets) storeDelta(from *held, d fact.Delta, p *Prepared) error {
	if from.whole != p.held.whole || !from.whole.apply(from.patch, d).equal(p.held.patch) {
		return fmt.Errorf("store fact set %s: the delta from %s leads elsewhere", p.Digest, d.Base)
	}
	p.pack(append([]byte{setDelta, byte(p.held.depth)}, d.Encode()...))
	return nil
}

func encodedSize(set fact.Set) int {
	n := 1
	for _, f := range set {
		n += len(f.Path) + len(f.Value) + 2
	}
	return n
}
