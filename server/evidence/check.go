package evidence

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"rollcall/server/store"

	"golang.org/x/mod/sumdb/tlog"
)

// Summary is what Check has read.
type Summary struct {
	Leaves, Erased uint64
	// Roots holds the roots of the trees of the sizes that were asked for, as far
	// as the leaves reach, recomputed from them.
	Roots  map[uint64]tlog.Hash
	Broken bool // leaves are missing: the roots after them are too
}

// Told is one leaf with what explains it.
type Told struct {
	Index uint64
	Leaf  Leaf
	Sum   [sumSize]byte // SHA-256 of the content
	Entry Entry         // for a kind that is not signed
}

// String names the leaf as faults do.
func (t Told) String() string { return name(t.Index, t.Leaf) }

func name(n uint64, l Leaf) string {
	if l.CI == "" {
		return fmt.Sprintf("leaf %d (%s) of the log", n, l.Kind)
	}
	return fmt.Sprintf("leaf %d (%s of CI %s) of the log", n, l.Kind, l.CI)
}

// Check reads the whole log, recomputes every hash from the leaves, and compares
// each leaf with what explains it and with what leads to it. Each fault names the
// index and the CI. Every leaf that is sound and not erased is given to each. sizes
// are those of trees whose roots are wanted.
func (v View) Check(sizes []uint64, fault func(error), each func(Told)) (Summary, error) {
	size, err := v.Size()
	if err != nil {
		return Summary{}, err
	}
	c := logCheck{View: v, fault: fault, each: each, sizes: sizes}
	c.sum.Leaves, c.sum.Roots = size, map[uint64]tlog.Hash{}
	for l, err := range v.Leaves(0, 0) {
		if err != nil {
			c.sum.Broken = true
			fault(err)
			if !errors.Is(err, store.ErrCorrupt) {
				return c.sum, nil
			}
			continue
		}
		c.leaf(l)
	}
	return c.sum, nil
}

type logCheck struct {
	View
	fault func(error)
	each  func(Told)
	sizes []uint64
	sum   Summary
	tree  Growing
}

func (c *logCheck) leaf(l Numbered) {
	leaf, err := ParseLeaf(l.Leaf)
	if err != nil {
		c.fault(fmt.Errorf("leaf %d of the log: %w", l.Index, err))
	}
	if !c.sum.Broken {
		want := c.tree.Add(l.Leaf)
		if !slices.Equal(want, l.hashes) {
			c.fault(fmt.Errorf("%s: the stored hashes are not those of the leaves up to it: one of them was changed", name(l.Index, leaf)))
		}
		if n := l.Index + 1; slices.Contains(c.sizes, n) {
			root, err := c.tree.Root()
			if err != nil {
				c.fault(fmt.Errorf("root of %d leaves: %w", n, err))
			}
			c.sum.Roots[n] = root
		}
	}
	if err != nil {
		return
	}
	told, err := c.explained(l.Index, leaf)
	switch {
	case errors.Is(err, ErrErased):
		c.sum.Erased++
	case err != nil:
		c.fault(err)
	default:
		c.each(told)
	}
}

func (c *logCheck) explained(n uint64, leaf Leaf) (Told, error) {
	t := Told{Index: n, Leaf: leaf}
	x, err := c.Explain(n)
	if err != nil {
		return t, fmt.Errorf("%s: %w", t, err)
	}
	t.Sum = x.Sum
	if Commit(x.Salt, x.Sum) != leaf.Commitment {
		return t, fmt.Errorf("%s commits to something else than what stands beside it", t)
	}
	if leaf.Kind.Signed() {
		at, err := c.IndexOf(x.Sum)
		if err == nil && at != n {
			err = fmt.Errorf("its report leads to leaf %d", at)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", t, err)
		}
		return t, err
	}
	if sha256.Sum256(x.Content) != x.Sum {
		return t, fmt.Errorf("%s: its content was changed", t)
	}
	if t.Entry, err = ParseEntry(x.Content); err != nil {
		return t, fmt.Errorf("%s: %w", t, err)
	}
	if t.Entry.Kind != leaf.Kind || t.Entry.CI != leaf.CI || t.Entry.Seq != leaf.Seq {
		return t, fmt.Errorf("%s: its content tells about something else", t)
	}
	for _, k := range (explanation{Content: x.Content}).ways(c.tenant, n) {
		if b, err := c.r.Get(k); err != nil || b == nil {
			return t, errors.Join(fmt.Errorf("%s cannot be found by its key: record %s is missing", t, k), err)
		}
	}
	return t, nil
}

// Growing computes the hashes of a tree that leaves are added to, in little
// memory: of each size of complete subtree only the last one is kept. The zero
// value is the tree without leaves.
type Growing struct {
	n    uint64
	last []tlog.Hash
}

// Add adds the next leaf and returns the hashes that it completes, as
// tlog.StoredHashes does.
func (g *Growing) Add(leaf []byte) []tlog.Hash {
	h := tlog.RecordHash(leaf)
	done := []tlog.Hash{h}
	for level := 0; g.n>>level&1 == 1; level++ {
		h = tlog.NodeHash(g.last[level], h)
		done = append(done, h)
	}
	level := len(done) - 1
	if level == len(g.last) {
		g.last = append(g.last, h)
	}
	g.last[level] = h
	g.n++
	return done
}

// Root gives the root of the leaves that were added.
func (g *Growing) Root() (tlog.Hash, error) {
	return tlog.TreeHash(int64(g.n), tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			level, _ := tlog.SplitStoredHashIndex(index)
			hashes[i] = g.last[level]
		}
		return hashes, nil
	}))
}
