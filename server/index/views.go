package index

import "unsafe"

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
