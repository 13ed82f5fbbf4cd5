package compare

import "sync"

// maxKept is how many items of files a Library keeps in case they are needed again.
const maxKept = 200_000

// Library keeps what configuration files say, by their contents, so that each is
// parsed once: a content never changes. It serves several questions at once. What
// may be compared is decided by who asks: the Library knows only what was asked for
// by digest.
type Library struct {
	mu     sync.Mutex
	writer *writer
	parsed map[parsedKey]*document
	kept   int // items of parsed
}

// NewLibrary returns an empty Library.
func NewLibrary() *Library {
	return &Library{writer: newWriter(), parsed: map[parsedKey]*document{}}
}

func (l *Library) get(key parsedKey) (*document, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	doc, ok := l.parsed[key]
	return doc, ok
}

func (l *Library) parse(key parsedKey, path, content string) *document {
	l.mu.Lock()
	defer l.mu.Unlock()
	doc := l.writer.parse(path, content)
	doc.generic = (&masker{}).masked(doc)
	if l.kept += len(doc.items); l.kept > maxKept {
		clear(l.parsed)
		l.kept = len(doc.items)
	}
	l.parsed[key] = &doc
	return &doc
}
