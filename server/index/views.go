package index

import (
	"encoding/binary"
	"iter"
	"unsafe"
)

// textView gives bytes of the texts as a string without copying them: they stay as
// they are for as long as anybody has them.
func textView(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}

func (d *dict) pathView(id pathID) string { return textView(d.texts.get(d.paths.at(uint32(id)).text)) }

// unpackedView is unpacked of bytes that are in the texts, or that nobody changes.
func (d *dict) unpackedView(packed []byte) (string, bool) {
	for _, c := range packed {
		if c <= lastMark {
			return d.unpacked(packed)
		}
	}
	return textView(packed), true
}

// textView is text without a copy: it is good until the own value is changed.
func (c *core) textView(h holding) (string, bool) {
	if h.own != nil {
		return c.unpackedView(h.own)
	}
	return c.unpackedView(c.texts.get(c.dict.facts.at(uint32(h.x)).value))
}

// ownPaths yields where a set has facts of its own, without their values.
func (d *dict) ownPaths(o owns) iter.Seq[pathID] {
	return func(yield func(pathID) bool) {
		column := -1
		for len(o) > 0 && o[0] != 0 {
			gap, n := binary.Varint(o)
			column += int(gap)
			rec := d.columns.recs.at(uint32(column))
			size, word := wordSize(rec.frame)
			switch {
			case word:
			case rec.frame > 0:
				size = d.frames.at(rec.frame - 1).fill
			default:
				long, m := binary.Uvarint(o[n:])
				size, n = int(long), n+m
			}
			if o = o[n+size:]; !yield(rec.path) {
				return
			}
		}
	}
}
