package mirror

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/fact"

	"github.com/go-git/go-git/v5/plumbing"
)

// texts renders the files that show whole sections.
func (d *rendering) texts(ctx context.Context) error {
	for _, f := range d.m.forms {
		changed := !d.rev.stays()
		for _, section := range f.sections {
			_, ok := d.sections[section]
			changed = changed || ok
		}
		if !changed {
			continue
		}
		if err := d.text(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return d.put(ciFile, modePlain, ciText(d.rev), base{})
}

// text puts one such file. Machines that share their sections share the blob, and
// nothing is rendered for one that the repository has.
func (d *rendering) text(ctx context.Context, f form) error {
	h, raw, err := d.m.textHash(ctx, f, d.rev.State)
	if err != nil {
		return err
	}
	d.edits = append(d.edits, edit{path: f.name, mode: modePlain, hash: h})
	if d.batch.dry != nil || d.batch.has(h) {
		return nil
	}
	if raw == nil {
		if raw, err = d.m.rendered(ctx, f, d.rev.State); err != nil {
			return err
		}
	}
	from, err := d.textBefore(ctx, f, h)
	if err != nil {
		return err
	}
	return d.batch.putHashed(plumbing.BlobObject, h, raw, from)
}

// textBefore finds a text in the pack that the new one h differs little from: what
// the machine had before, or what the first one on the same whole has.
func (d *rendering) textBefore(ctx context.Context, f form, h Hash) (base, error) {
	from := func(h Hash, s fact.State) base {
		return base{hash: h, split: lineLength, content: func() ([]byte, error) { return d.m.rendered(ctx, f, s) }}
	}
	if d.rev.stays() {
		if old, ok := d.m.texts.get(textKey(d.rev.Prev, f)); ok && d.batch.writes(old) {
			return from(old, d.rev.Prev), nil
		}
	}
	last, err := d.m.section(ctx, d.rev.State, f.sections[len(f.sections)-1])
	if err != nil || last.Whole.IsZero() {
		return base{}, err
	}
	key := f.name + string(last.Whole[:])
	if first, ok := d.batch.texts[key]; ok {
		return from(first.hash, first.state), nil
	}
	d.batch.texts[key] = firstText{h, d.rev.State}
	return base{}, nil
}

// firstText is the first text of its kind in a batch, and of what.
type firstText struct {
	hash  Hash
	state fact.State
}

// textHash gives the id of a rendered text, and the text if it had to be rendered.
func (m *Mirror) textHash(ctx context.Context, f form, s fact.State) (h Hash, raw []byte, err error) {
	key := textKey(s, f)
	if h, ok := m.texts.get(key); ok {
		return h, nil, nil
	}
	if raw, err = m.rendered(ctx, f, s); err != nil {
		return h, nil, err
	}
	h = hashObject(plumbing.BlobObject, raw)
	m.texts.put(key, h)
	return h, raw, nil
}

func textKey(s fact.State, f form) string {
	var b strings.Builder
	b.WriteString(f.name)
	for _, section := range f.sections {
		digest := s[section]
		b.Write(digest[:])
	}
	return b.String()
}

// rendered gives a text. Of a set that stands on a whole, the whole's lines are
// taken as they are.
func (m *Mirror) rendered(ctx context.Context, f form, s fact.State) ([]byte, error) {
	var raw []byte
	for _, section := range f.sections {
		set, err := m.section(ctx, s, section)
		if err != nil {
			return nil, fmt.Errorf("section %s: %w", section, err)
		}
		raw = m.lines(raw, f, set)
	}
	return raw, nil
}

func (m *Mirror) lines(raw []byte, f form, set Facts) []byte {
	if set.empty() {
		return raw
	}
	if set.Whole.IsZero() {
		return f.full(raw, set.set())
	}
	key := f.name + string(set.Whole[:])
	sh, ok := m.sheets.get(key)
	if !ok {
		sh = f.sheet(set.base())
		m.sheets.put(key, sh)
	}
	others := set.others()
	paths := make([]string, len(others))
	for i, o := range others {
		paths[i] = o.Path
	}
	keys, ok := f.keys(paths)
	if !ok || sh.odd {
		return f.full(raw, set.set())
	}
	raw = slices.Grow(raw, len(sh.raw)+200*len(keys))
	from := uint32(0)
	for _, k := range keys {
		i, has := slices.BinarySearch(sh.keys, k)
		raw = append(raw, sh.raw[from:sh.at[i]]...)
		raw = f.line(raw, set, k)
		if from = sh.at[i]; has {
			from = sh.at[i+1]
		}
	}
	return append(raw, sh.raw[from:]...)
}

// ciText says whose folder it is.
func ciText(r Rev) []byte {
	b := fmt.Appendf(nil, "id: %s\nname: %s\nclass: %s\nsite: %s\n", line(r.CI), line(r.Name), line(r.Class), line(r.Site))
	if r.Claim {
		b = append(b, "trust: T0\n"...)
	}
	if r.Into != "" {
		b = fmt.Appendf(b, "merged-into: %s\n", line(r.Into))
	}
	return b
}

// line makes a text inert, and leaves one that is inert as it is.
func line(s string) string {
	if (fact.Fact{Path: "m/x", Value: s}).Check() == nil {
		return s
	}
	return fact.Value(s)
}
