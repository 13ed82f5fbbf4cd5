package compare

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"rollcall/internal/fact"
)

// Limits of reading. What is beyond them is compared by digest.
const (
	maxContent = 256 << 10 // bytes of one file
	maxRead    = 512 << 20 // bytes of one question
	maxItems   = 6000      // items of one file
	maxKept    = 200_000   // items that are kept in case they are needed again
)

// reader reads config files and turns them into items, masking what is special
// to the machine that a file is from.
type reader struct {
	contents func(fact.Digest) ([]byte, error)
	maskers  []*masker
	domains  []*masker // of each machine
	common   *masker   // for files that machines of several domains share
	read     int
	failed   int
	reason   error
	full     bool
	writer   *writer
	parsed   map[parsedKey]document
	kept     int                // items of parsed
	past     map[pastKey][]item // items of files seen in history
}

type parsedKey struct {
	format int // number of the syntax that the path tells
	digest fact.Digest
}

type pastKey struct {
	path   string
	digest fact.Digest
	by     *masker
}

func newReader(f *field, contents func(fact.Digest) ([]byte, error)) *reader {
	r := &reader{contents: contents, common: &masker{}, writer: newWriter(), parsed: map[parsedKey]document{}, past: map[pastKey][]item{}}
	byDomain := map[string]*masker{}
	for _, m := range f.machines {
		if domain := domainOf(m); byDomain[domain] == nil {
			byDomain[domain] = domainMasker(domain)
		}
	}
	for _, m := range f.machines {
		domain := byDomain[domainOf(m)]
		if len(byDomain) == 1 { // all are in it: its name says nothing, and reads better
			domain = r.common
		}
		r.domains = append(r.domains, domain)
		r.maskers = append(r.maskers, newMasker(m, domain))
	}
	return r
}

// generic masks what needs no knowledge of a machine.
func (r *reader) generic(s string) string { return r.common.mask(s) }

// masker returns what masks the values that all these machines have for themselves.
func (r *reader) masker(who set) *masker {
	first, last := -1, -1
	same := true
	who.each(func(i int) {
		if first < 0 {
			first = i
		}
		same = same && r.domains[i] == r.domains[first]
		last = i
	})
	switch {
	case first < 0 || !same:
		return r.common
	case first == last:
		return r.maskers[first]
	}
	return r.domains[first]
}

// items returns what a file says. Where it cannot be read as text it says only
// which content it has.
func (r *reader) items(path string, d fact.Digest, m *masker) []item {
	return m.masked(r.document(path, d))
}

// document reads a content and parses it, once as long as there is room to keep it.
func (r *reader) document(path string, d fact.Digest) document {
	key := parsedKey{formatOf(path), d}
	if doc, ok := r.parsed[key]; ok {
		return doc
	}
	content, ok := r.content(d)
	if !ok || bytes.IndexByte(content[:min(len(content), 8000)], 0) >= 0 {
		return document{items: []item{{text: "content " + d.String()[:16], whole: true}}}
	}
	doc := r.writer.parse(path, string(content))
	if r.kept += len(doc.items); r.kept > maxKept {
		clear(r.parsed)
		r.kept = len(doc.items)
	}
	r.parsed[key] = doc
	return doc
}

// masked adds to each item its masked form where there is one, and an item for
// each order that matters.
func (k *masker) masked(doc document) []item {
	out := make([]item, 0, len(doc.items)+len(doc.orders))
	generic := make([]string, len(doc.items))
	for i, it := range doc.items {
		generic[i] = it.text
		if it.whole {
			out = append(out, it)
			continue
		}
		if generic[i] = k.mask(it.text); generic[i] != it.text {
			same := item{text: generic[i]}
			if it.shown != "" {
				same.shown = k.mask(it.shown)
			}
			it.raw = true
			out = append(out, same)
		}
		out = append(out, it)
	}
	for _, order := range doc.orders {
		h := sha256.New()
		for _, n := range order {
			io.WriteString(h, generic[n]+"\n")
		}
		out = append(out, item{text: "order " + hex.EncodeToString(h.Sum(nil)[:8]), whole: true})
	}
	return out
}

func (r *reader) content(d fact.Digest) ([]byte, bool) {
	if r.contents == nil || r.full {
		return nil, false
	}
	b, err := r.contents(d)
	if err != nil {
		r.failed++
		r.reason = err
		return nil, false
	}
	r.read += len(b)
	r.full = r.read > maxRead
	return b, len(b) <= maxContent
}

// says tells whether the file with an earlier value said text. When it cannot be
// read the answer is no.
func (r *reader) says(path, value string, machine int, text string) bool {
	f, err := fact.ParseFile(value)
	if err != nil || f.Kind != fact.KindPlain {
		return false
	}
	has := func(m *masker) bool {
		k := pastKey{path, f.Digest, m}
		items, ok := r.past[k]
		if !ok {
			items = r.items(path, f.Digest, m)
			r.past[k] = items
		}
		return slices.ContainsFunc(items, func(it item) bool { return it.text == text })
	}
	return has(r.maskers[machine]) || has(r.common)
}

func (r *reader) notes() []string {
	var out []string
	if r.contents == nil {
		out = append(out, "contents of config files were not available: files are compared as a whole")
	}
	if r.failed > 0 {
		out = append(out, fmt.Sprintf("%d config files could not be read and are compared as a whole: %v", r.failed, r.reason))
	}
	if r.full {
		out = append(out, fmt.Sprintf("more than %d MiB of config files differ: the rest is compared as a whole", maxRead>>20))
	}
	return out
}
