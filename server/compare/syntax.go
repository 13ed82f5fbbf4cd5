package compare

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// item is one thing that a config file says: a key with its value in its
// section, a mount option, a line. Comments, blank lines and, where it does not
// matter, order, spacing and case say nothing.
type item struct {
	text  string // "[General] Domain = localdomain"; what says the same has the same text
	shown string // as it is written, where that is not the text
	raw   bool   // a twin with host-specific values masked exists
	whole bool   // stands for a whole content or for the order of lines
}

// words says in words that a file has the item or lacks it.
func (it item) words(shown string) (yes, no string) {
	switch {
	case it.whole && strings.HasPrefix(it.text, "order "):
		return "order of the lines in " + shown + " differs", "order of the lines in " + shown + " differs"
	case it.whole:
		return shown + " has " + it.text, shown + " has another content"
	}
	line := quote(cmp.Or(it.shown, it.text))
	return "line " + line + " in " + shown, "no line " + line + " in " + shown
}

func (it item) prior() float64 {
	if it.whole {
		return 0.9
	}
	return 1
}

// Limits of what is made of one file.
const (
	maxItem  = 600 // bytes of an item; of longer ones the rest is hashed
	maxDepth = 32  // blocks around a line; a file with more is taken line by line
)

// document is what a config file says.
type document struct {
	items   []item
	orders  [][]int32 // numbers of items whose order matters, as they came
	generic []item    // that every machine would have, masked
}

// writer collects what a reader finds in a file. It is used for one file after
// the other.
type writer struct {
	items   []item
	orders  [][]int32
	at      map[string]int32 // number of each text
	count   bool             // a text that comes again says something more
	ordered bool             // the order of all matters
	all     []int32
	again   map[string]int
}

func newWriter() *writer { return &writer{at: map[string]int32{}, again: map[string]int{}} }

// begin forgets everything before a file is read in a syntax.
func (w *writer) begin(s syntax) {
	clear(w.at)
	clear(w.again)
	w.items, w.orders, w.all = w.items[:0], nil, nil
	w.ordered, w.count = s.ordered, s.repeats
}

// say adds a text, which may be written in another way, and returns its number.
func (w *writer) say(text string, shown ...string) int32 {
	text = clip(strings.ReplaceAll(text, "\n", " "))
	if w.count {
		if w.again[text]++; w.again[text] > 1 {
			text += " (time " + number(w.again[text]) + ")"
		}
	}
	n, ok := w.at[text]
	if !ok {
		n = int32(len(w.items))
		w.at[text] = n
		it := item{text: text}
		if len(shown) > 0 && shown[0] != text {
			it.shown = clip(shown[0])
		}
		w.items = append(w.items, it)
	}
	if w.ordered {
		w.all = append(w.all, n)
	}
	return n
}

// inOrder notes that these items' order matters.
func (w *writer) inOrder(numbers []int32) {
	if len(numbers) > 1 {
		w.orders = append(w.orders, numbers)
	}
}

func (w *writer) done() document {
	w.inOrder(w.all)
	return document{items: slices.Clone(w.items), orders: w.orders}
}

// clip keeps a text short, and different from others that begin like it.
func clip(s string) string {
	if len(s) <= maxItem {
		return s
	}
	return strings.ToValidUTF8(s[:maxItem], "") + "… " + sum(s)
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:8])
}

// within gives the path of something inside of a block.
func within(block, name string) string {
	if block == "" {
		return clip(name)
	}
	return clip(block + " > " + name)
}

// blocks are the blocks around a line, each with its whole path.
type blocks []string

func (b blocks) path() string {
	if len(b) == 0 {
		return ""
	}
	return b[len(b)-1]
}

func (b *blocks) push(name string) { *b = append(*b, within(b.path(), strings.TrimSpace(name))) }

func (b *blocks) pop() { *b = (*b)[:max(0, len(*b)-1)] }

// parse returns what a config file says, each thing once. The path below / tells
// the syntax, or the content does. What is not written in the syntax it should be
// in is taken line by line: then every line counts, however often it comes, and
// their order.
func (w *writer) parse(name, content string) document {
	if strings.HasPrefix(content, "-----BEGIN ") {
		return opaque(content)
	}
	s := syntaxOf(formatOf(name), content)
	w.begin(s)
	if !s.read(w, content) {
		w.begin(syntax{ordered: true, repeats: true})
		readLines(w, content)
	}
	if len(w.items) > maxItems {
		return opaque(content)
	}
	return w.done()
}

// opaque says of a content only which one it is.
func opaque(content string) document {
	return document{items: []item{{text: "content " + sum(content), whole: true}}}
}
