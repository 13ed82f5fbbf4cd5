package index

// column of facts: a path, and a frame that values at it have. A fact that one set
// alone has costs what fills the frame and a byte that leads to the column.
type columns struct {
	recs column[columnRec]
	by   map[columnRec]uint32 // by what is named, without count
	free []uint32
	dead int // columns that no set has
}

type columnRec struct {
	path  pathID
	frame uint32 // + 1; 0: the values have none, and their length stands before them; or see word
	count uint32 // of facts
}

// of returns the number of a column, and makes one if there is none.
func (c *columns) of(path pathID, frame uint32) uint32 {
	key := columnRec{path: path, frame: frame}
	n, ok := c.by[key]
	if ok {
		return n
	}
	if c.by == nil {
		c.by = map[columnRec]uint32{}
	}
	if k := len(c.free); k > 0 {
		n, c.free = c.free[k-1], c.free[:k-1]
		*c.recs.at(n) = key
	} else {
		n = c.recs.add(key)
	}
	c.by[key] = n
	c.dead++ // until a set has it
	return n
}

func (c *columns) use(n uint32, by int) {
	rec := c.recs.at(n)
	if rec.count == 0 {
		c.dead--
	}
	if rec.count = uint32(int(rec.count) + by); rec.count == 0 {
		c.dead++
	}
}

// bury frees the numbers of columns that no set has.
func (c *columns) bury() {
	for key, n := range c.by {
		if c.recs.at(n).count == 0 {
			delete(c.by, key)
			c.free = append(c.free, n)
		}
	}
	c.dead = 0
}

func (c *columns) bytes() int {
	return c.recs.bytes() + 4*cap(c.free) + 2*mapEntry*len(c.by)
}
