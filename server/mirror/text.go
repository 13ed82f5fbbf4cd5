package mirror

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/fact"

	"github.com/go-git/go-git/v5/plumbing"
)

// text is a rendered file of many lines, kept to find it again and to write the
// next version as a delta.
type text struct {
	hash Hash
	raw  []byte
}

// texts renders the files that show whole sections.
func (d *rendering) texts(ctx context.Context) error {
	files := []struct {
		name     string
		sections []string
		write    func([]fact.Set) []byte
	}{
		{manifestFile, []string{"conffile", "etc"}, manifestText},
		{packagesFile, []string{"pkg"}, packagesText},
		{hardwareFile, []string{"hw"}, hardwareText},
	}
	for _, f := range files {
		changed := !d.rev.stays()
		for _, section := range f.sections {
			_, ok := d.sections[section]
			changed = changed || ok
		}
		if !changed {
			continue
		}
		if err := d.text(ctx, f.name, f.sections, f.write); err != nil {
			return err
		}
	}
	return d.put(ciFile, modePlain, ciText(d.rev), base{})
}

// text puts one such file. Machines that share their sections share the blob,
// and what was rendered once is not rendered again while it is remembered.
func (d *rendering) text(ctx context.Context, name string, sections []string, write func([]fact.Set) []byte) error {
	t, err := d.rendered(ctx, d.rev.State, name, sections, write)
	if err != nil {
		return err
	}
	var from base
	if d.rev.stays() {
		if old, ok := d.m.texts.get(textKey(d.rev.Prev, name, sections)); ok {
			from = base{hash: old.hash, content: func() ([]byte, error) { return old.raw, nil }, split: lineLength}
		}
	}
	d.edits = append(d.edits, edit{path: d.folder + "/" + name, mode: modePlain, hash: t.hash})
	return d.batch.putHashed(plumbing.BlobObject, t.hash, t.raw, from)
}

func (d *rendering) rendered(ctx context.Context, s fact.State, name string, sections []string, write func([]fact.Set) []byte) (text, error) {
	key := textKey(s, name, sections)
	if t, ok := d.m.texts.get(key); ok {
		return t, nil
	}
	var sets []fact.Set
	for _, section := range sections {
		set, err := d.m.section(ctx, s, section)
		if err != nil {
			return text{}, fmt.Errorf("%s: section %s: %w", name, section, err)
		}
		sets = append(sets, set)
	}
	raw := write(sets)
	t := text{hash: hashObject(plumbing.BlobObject, raw), raw: raw}
	d.m.texts.put(key, t)
	return t, nil
}

func textKey(s fact.State, name string, sections []string) string {
	var b strings.Builder
	b.WriteString(name)
	for _, section := range sections {
		digest := s[section]
		b.Write(digest[:])
	}
	return b.String()
}

// manifestText is fact.Set.WriteText of all sets: everything that git cannot
// hold (owners, groups, modes, empty folders, extended attributes) and what the
// server was not given.
func manifestText(sets []fact.Set) []byte {
	size := 0
	for _, s := range sets {
		for _, f := range s {
			size += len(f.Path) + len(f.Value) + 2
		}
	}
	b := bytes.NewBuffer(make([]byte, 0, size))
	for _, s := range sets {
		for _, f := range s {
			b.WriteString(f.Path)
			b.WriteByte('\t')
			b.WriteString(f.Value)
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// packagesText has a line for each package: "NAME VERSION [STATE]", the state
// only where it is not "install ok installed", "-" where there is no version.
func packagesText(sets []fact.Set) []byte {
	type pkg struct{ name, version, state string }
	var all []pkg
	for _, f := range sets[0] {
		name, attr := splitPackage(f.Path)
		if len(all) == 0 || all[len(all)-1].name != name {
			all = append(all, pkg{name: name, version: "-"})
		}
		switch p := &all[len(all)-1]; attr {
		case "version":
			p.version = f.Value
		case "state":
			p.state = " [" + f.Value + "]"
		}
	}
	slices.SortStableFunc(all, func(a, b pkg) int { return strings.Compare(a.name, b.name) })
	var b bytes.Buffer
	for _, p := range all {
		b.WriteString(p.name)
		b.WriteByte(' ')
		b.WriteString(p.version)
		b.WriteString(p.state)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// splitPackage gives "cups" and "version" of "pkg/cups/version".
func splitPackage(path string) (name, attr string) {
	path = strings.TrimPrefix(path, "pkg/")
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return path, ""
	}
	return path[:i], path[i+1:]
}

// hardwareText has a line for each fact of the hardware: "system/vendor = Dell".
func hardwareText(sets []fact.Set) []byte {
	var b bytes.Buffer
	for _, f := range sets[0] {
		fmt.Fprintf(&b, "%s = %s\n", strings.TrimPrefix(f.Path, "hw/"), f.Value)
	}
	return b.Bytes()
}

// ciText says whose folder it is.
func ciText(r Rev) []byte {
	b := fmt.Appendf(nil, "id: %s\nname: %s\nclass: %s\nsite: %s\n", line(r.CI), line(r.Name), line(r.Class), line(r.Site))
	if r.Claim {
		b = append(b, "trust: T0\n"...)
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
