package mirror

import "container/list"

// lru is a cache bounded by the weight of what it holds, for one goroutine at a
// time. newLRU makes one.
type lru[K comparable, V any] struct {
	max    int
	weigh  func(V) int
	weight int
	order  *list.List // front = used last
	at     map[K]*list.Element
}

type lruItem[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](maxWeight int, weigh func(V) int) *lru[K, V] {
	return &lru[K, V]{max: maxWeight, weigh: weigh, order: list.New(), at: map[K]*list.Element{}}
}

func (c *lru[K, V]) get(key K) (V, bool) {
	e, ok := c.at[key]
	if !ok {
		var none V
		return none, false
	}
	c.order.MoveToFront(e)
	return e.Value.(lruItem[K, V]).value, true
}

// put keeps a value; the values that were not used for longest go, and with
// them one that is by itself heavier than the cache.
func (c *lru[K, V]) put(key K, value V) []V {
	if old, ok := c.at[key]; ok {
		c.remove(old)
	}
	c.at[key] = c.order.PushFront(lruItem[K, V]{key, value})
	c.weight += c.weigh(value)
	var gone []V
	for c.weight > c.max && c.order.Len() > 0 {
		gone = append(gone, c.remove(c.order.Back()))
	}
	return gone
}

func (c *lru[K, V]) remove(e *list.Element) V {
	item := c.order.Remove(e).(lruItem[K, V])
	delete(c.at, item.key)
	c.weight -= c.weigh(item.value)
	return item.value
}

// clear empties the cache and returns what it held.
func (c *lru[K, V]) clear() []V {
	var all []V
	for c.order.Len() > 0 {
		all = append(all, c.remove(c.order.Back()))
	}
	return all
}
