package compare

import (
	"bytes"
	"fmt"
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
	contents func(fact.Digest) ([]byte, error)
	maskers  []*masker
	common   *masker // for files that several machines share
	read     int
	failed   int
	reason   error
	full     bool
	past     map[pastKey][]item // items of files seen in history
}

type pastKey struct {
	path    string
	digest  fact.Digest
	machine int
}

func newReader(f *field, contents func(fact.Digest) ([]byte, error)) *reader {
	r := &reader{contents: contents, common: &masker{}, past: map[pastKey][]item{}}
	for _, m := range f.machines {
		r.maskers = append(r.maskers, newMasker(m))
	}
	return r
}

// generic masks what needs no knowledge of a machine.
func (r *reader) generic(s string) string { return r.common.mask(s) }

func (r *reader) masker(machine int) *masker {
	if machine < 0 {
		return r.common
	}
	return r.maskers[machine]
}

// items returns what a file says. Where it cannot be read as text it says only
// which content it has.
func (r *reader) items(path string, d fact.Digest, machine int) []item {
	content, ok := r.content(d)
	if !ok || bytes.IndexByte(content[:min(len(content), 8000)], 0) >= 0 {
		return []item{{text: "content " + d.String()[:16], whole: true}}
	}
	return r.masked(parse(path, string(content)), machine)
}

// masked adds to each item its masked form where there is one.
func (r *reader) masked(items []item, machine int) []item {
	m := r.masker(machine)
	out := make([]item, 0, len(items))
	for _, it := range items {
		if it.whole {
			out = append(out, it)
			continue
		}
		masked := m.mask(it.text)
		if masked != it.text {
			out = append(out, item{text: masked}, item{text: it.text, raw: true})
		} else {
			out = append(out, it)
		}
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
	has := func(machine int) bool {
		k := pastKey{path, f.Digest, machine}
		items, ok := r.past[k]
		if !ok {
			items = r.items(path, f.Digest, machine)
			r.past[k] = items
		}
		return slices.ContainsFunc(items, func(it item) bool { return it.text == text })
	}
	return has(machine) || has(-1)
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
