package cmdb

import (
	"sync"

	"rollcall/internal/fact"

	lru "github.com/hashicorp/golang-lru/v2"
)

// cacheBytes bounds what decoded sets take in memory.
const cacheBytes = 56 << 20

// held is a set in memory: a whole, or a patch on one.
type held struct {
	whole *whole
	patch patch
	marks []mark
	// How it is stored: the number of deltas below it, and the delta straight on a
	// whole that it is a delta from, if it is the second one.
	depth  int
	anchor fact.Digest
}

func (h *held) set() fact.Set { return h.whole.set(h.patch) }

// size is what the set takes in memory beside its whole, about.
func (h *held) size() int {
	n := 250 + 160*len(h.marks)
	if len(h.patch) == 0 {
		return n
	}
	return n + h.patch.bytes() + 56*len(h.patch)
}

// setCache keeps the sets that were used last, within cacheBytes.
type setCache struct {
	mu     sync.Mutex
	sets   *lru.Cache[fact.Digest, *held]
	wholes map[fact.Digest]*whole // those that something in sets stands on
	bytes  int
}

func newSetCache() (*setCache, error) {
	c := &setCache{wholes: map[fact.Digest]*whole{}}
	var err error
	c.sets, err = lru.NewWithEvict(1<<20, func(_ fact.Digest, h *held) { c.left(h) })
	return c, err
}

func (c *setCache) get(d fact.Digest) (*held, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sets.Get(d)
}

// whole returns a whole that some set in memory stands on.
func (c *setCache) whole(d fact.Digest) (*whole, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, ok := c.wholes[d]
	return w, ok
}

// put keeps a set; what is known of it otherwise is replaced.
func (c *setCache) put(d fact.Digest, h *held) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sets.Remove(d)
	w := h.whole
	if w.users == 0 {
		c.wholes[w.digest] = w
		c.bytes += w.size()
	}
	w.users++
	c.bytes += h.size()
	c.sets.Add(d, h)
	for c.bytes > cacheBytes && c.sets.Len() > 1 {
		c.sets.RemoveOldest()
	}
}

// left counts off a set that is no longer kept; mu is held.
func (c *setCache) left(h *held) {
	c.bytes -= h.size()
	if h.whole.users--; h.whole.users == 0 {
		c.bytes -= h.whole.size()
		if c.wholes[h.whole.digest] == h.whole {
			delete(c.wholes, h.whole.digest)
		}
	}
}

// usage returns the number of sets kept and the bytes that they take.
func (c *setCache) usage() (sets, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sets.Len(), c.bytes
}
