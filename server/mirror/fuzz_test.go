package mirror

import (
	"bytes"
	"errors"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

func FuzzDelta(f *testing.F) {
	f.Add([]byte("a\nb\nc\n"), []byte("a\nx\nc\n"))
	f.Add(bytes.Repeat([]byte("long enough\n"), 60), bytes.Repeat([]byte("long enough\n"), 59))
	f.Add([]byte(nil), []byte("100644 a\x00aaaaaaaaaaaaaaaaaaaa"))
	f.Fuzz(func(t *testing.T, old, new []byte) {
		for _, split := range []func([]byte) int{lineLength, entryLength} {
			d := makeDelta(old, new, split)
			got, err := packfile.PatchDelta(old, d)
			if len(old) == 0 || len(new) == 0 {
				continue // go-git refuses these, and the mirror writes no such delta
			}
			if err != nil || !bytes.Equal(got, new) {
				t.Fatalf("delta from %q to %q gives %q, %v", old, new, got, err)
			}
		}
	})
}

func FuzzTree(f *testing.F) {
	f.Add(encodeTree([]entry{{"a", modePlain, Hash{1}}, {"b", modeTree, Hash{2}}}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		entries, err := parseTree(raw)
		if err == nil && !bytes.Equal(encodeTree(entries), raw) {
			t.Fatalf("%q does not survive parsing", raw)
		}
	})
}

func FuzzCommit(f *testing.F) {
	f.Add(encodeCommit(commit{tree: Hash{1}, parent: Hash{2}, ci: "c", message: "x\n\nCI: c\nRevision: 1\nStamp: 2\n"}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := parseCommit(raw)
		if err == nil && c.tree.IsZero() {
			t.Fatalf("%q: a commit without a tree", raw)
		}
	})
}

func FuzzGraph(f *testing.F) {
	f.Add(encodeGraph(map[Hash]graphCommit{{1}: {hash: Hash{1}, tree: Hash{2}, level: 1, filter: bloomAny()}}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if all, ok := decodeGraph(raw); ok {
			for _, c := range all {
				_ = c.filter
			}
		}
	})
}

// FuzzPackEntry reads entries of damaged packs: an error, never a panic, and
// never more memory than the file can account for.
func FuzzPackEntry(f *testing.F) {
	p, err := newPackWriter(disk{}, f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	old := bytes.Repeat([]byte("some line\n"), 50)
	first := hashObject(plumbing.BlobObject, old)
	second := append(bytes.Clone(old), "more\n"...)
	from := base{hash: first, content: func() ([]byte, error) { return old, nil }, split: lineLength}
	if err := errors.Join(p.add(plumbing.BlobObject, first, old, base{}), p.add(plumbing.BlobObject, hashObject(plumbing.BlobObject, second), second, from), p.buf.Flush()); err != nil {
		f.Fatal(err)
	}
	raw := make([]byte, p.size)
	if _, err := p.file.ReadAt(raw, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(raw, int64(packHeader))
	f.Add(raw, p.at[hashObject(plumbing.BlobObject, second)].offset)
	f.Fuzz(func(t *testing.T, raw []byte, at int64) {
		find := func(Hash) (int64, error) { return packHeader, nil }
		_, data, err := new(inflater).entry(bytes.NewReader(raw), at, find)
		if err == nil && len(data) > maxObject {
			t.Fatalf("%d bytes out of a pack of %d", len(data), len(raw))
		}
	})
}
