package server

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcall/server/api"
	"rollcall/server/evidence"
	"rollcall/server/store"
)

// govern notes the digest of a record that people decide about.
func (c *checker) govern(k store.Key, v []byte) {
	name, content, err := api.Governed(c.tenant, k, v)
	if name != "" && err == nil { // what cannot be read is told where it is used
		c.governed[name] = c.digests.Digest(name, content)
	}
}

// changes follows what the log tells of records: each change begins where the one
// before has ended.
func (c *checker) changes(t evidence.Told) {
	erases := t.Entry.Kind == evidence.Purge // what was told of its key before is erased with it
	if erases {
		c.purged[t.Entry.CI] = true
	}
	for _, x := range t.Entry.Changes {
		last, known := c.changed[x.Record]
		if known && !erases && !bytes.Equal(last.after, x.Before) {
			c.fault(fmt.Errorf("%s: %s was another one before it than %s made it: something changed it that no leaf tells of", t, x.Record, last.leaf))
		}
		c.changed[x.Record] = lastChange{x.After, t.String()}
	}
}

// latest compares what the log told last of each record with the record.
func (c *checker) latest() {
	for _, name := range slices.Sorted(maps.Keys(c.changed)) {
		last, is := c.changed[name], c.governed[name]
		if bytes.Equal(last.after, is) || c.erased(name) {
			continue
		}
		what := "is another one than"
		switch {
		case is == nil:
			what = "is gone, and was there after"
		case last.after == nil:
			what = "is there, and was removed by"
		}
		c.fault(fmt.Errorf("record %s %s %s", name, what, last.leaf))
	}
}

// erased tells whether a record is that of a key whose CI was erased, or is being
// erased: what it says of the machine goes after the leaf that tells so.
func (c *checker) erased(name string) bool {
	id, ok := strings.CutPrefix(name, "key/")
	if !ok {
		return false
	}
	k, _, err := c.keys.Any(id)
	return err == nil && c.purged[k.CI]
}
