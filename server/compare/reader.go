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
)

// reader reads config files and turns them into items, masking what is special
// to the machine that a file is from.
type reader struct {
	field    *field
	contents func(fact.Digest) ([]byte, error)
	maskers  map[int]*masker    // of machines
	domains  map[string]*masker // by name
	domainAt map[int]string     // of machines
	several  bool               // domains
	common   *masker            // for files that machines of several domains share
	read     int
	opened   int
	failed   int
	reason   error
	full     bool
	library  *Library
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

func newReader(f *field, g Groups) *reader {
	r := &reader{field: f, contents: g.Contents, maskers: map[int]*masker{}, domains: map[string]*masker{}, domainAt: map[int]string{}, common: &masker{}, library: g.Library, past: map[pastKey][]item{}}
	if r.library == nil {
		r.library = NewLibrary()
	}
	return r
}

// learn learns from section id whether machines of several domains are compared: if
// all are in one, its name says nothing, and reads better.
func (r *reader) learn(id *section) {
	if id == nil {
		return
	}
	c := id.column(domainPath)
	r.several = c != nil && (!c.Constant || id.Known.count() < r.field.whole.count())
}

// own gives what masks the values of one machine.
func (r *reader) own(number int) *masker {
	m := r.maskers[number]
	if m == nil {
		machine := r.field.fleet.Machine(number)
		m = newMasker(machine, r.domain(domainOf(machine)))
		r.maskers[number] = m
	}
	return m
}

// domain gives what masks what all machines of a domain share.
func (r *reader) domain(name string) *masker {
	if !r.several {
		return r.common
	}
	m := r.domains[name]
	if m == nil {
		m = domainMasker(name)
		r.domains[name] = m
	}
	return m
}

// generic masks what needs no knowledge of a machine.
func (r *reader) generic(s string) string { return r.common.mask(s) }

// Of a large group so many machines are asked for their domain; more than mostInDomain
// are taken to be in several.
const (
	asked        = 32
	mostInDomain = 2000
)

// masker returns what masks the values that all these machines have for themselves.
func (r *reader) masker(who Crowd, k *known) *masker {
	n := who.count()
	if n == 0 || n > 1 && !r.several || n > mostInDomain && r.field.large {
		return r.common
	}
	all := r.field.look(who, k).numbers()
	switch len(all) {
	case 0:
		return r.common
	case 1:
		return r.own(all[0])
	}
	if r.field.large {
		all = spread(all, asked)
	}
	domain := r.domainOf(all[0])
	for _, i := range all[1:] {
		if r.domainOf(i) != domain {
			return r.common
		}
	}
	return r.domain(domain)
}

func (r *reader) domainOf(number int) string {
	d, ok := r.domainAt[number]
	if !ok {
		d = domainOf(r.field.fleet.Machine(number))
		r.domainAt[number] = d
	}
	return d
}

// items returns what a file says. Where it cannot be read as text it says only
// which content it has.
func (r *reader) items(path string, d fact.Digest, m *masker) []item {
	doc := r.document(path, d)
	if len(m.own) == 0 && doc.generic != nil {
		return doc.generic
	}
	return m.masked(*doc)
}

// document reads a content and parses it, once as long as there is room to keep it.
func (r *reader) document(path string, d fact.Digest) *document {
	key := parsedKey{formatOf(path), d}
	doc, ok := r.library.get(key)
	if ok {
		return doc
	}
	content, ok := r.content(d)
	if !ok || bytes.IndexByte(content[:min(len(content), 8000)], 0) >= 0 {
		doc := unread(d)
		return &doc
	}
	return r.library.parse(key, path, string(content))
}

// unread is what is known of a content that was not read as text.
func unread(d fact.Digest) document {
	return document{items: []item{{text: "content " + d.String()[:16], whole: true}}}
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
	r.opened++
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
	return has(r.own(machine)) || has(r.common)
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
