package mirror

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Hash is the id of a git object.
type Hash = plumbing.Hash

// mode is a file mode as git writes it in trees.
type mode string

// The modes that the mirror uses.
const (
	modePlain mode = "100644"
	modeExec  mode = "100755"
	modeLink  mode = "120000"
	modeTree  mode = "40000"
)

// entry is one line of a tree.
type entry struct {
	name string
	mode mode
	hash Hash
}

// key is what git sorts by: a folder as if its name ended in a slash.
func (e entry) key() string {
	if e.mode == modeTree {
		return e.name + "/"
	}
	return e.name
}

var errTree = errors.New("malformed tree")

// parseTree reads a tree (git's Documentation/technical, "tree object").
func parseTree(raw []byte) ([]entry, error) {
	entries := make([]entry, 0, len(raw)/32)
	for len(raw) > 0 {
		n := entryLength(raw)
		end := n - len(Hash{}) - 1
		if end < 0 || raw[end] != 0 {
			return nil, errTree
		}
		m, name, ok := bytes.Cut(raw[:end], []byte{' '})
		if !ok || len(name) == 0 {
			return nil, errTree
		}
		entries = append(entries, entry{name: string(name), mode: mode(m), hash: Hash(raw[n-len(Hash{}) : n])})
		raw = raw[n:]
	}
	return entries, nil
}

// entryLength is makeDelta's split for trees.
func entryLength(raw []byte) int {
	i := bytes.IndexByte(raw, 0)
	if i < 0 || i+1+len(Hash{}) > len(raw) {
		return len(raw)
	}
	return i + 1 + len(Hash{})
}

func encodeTree(entries []entry) []byte {
	n := 0
	for _, e := range entries {
		n += len(e.mode) + len(e.name) + 2 + len(e.hash)
	}
	raw := make([]byte, 0, n)
	for _, e := range entries {
		raw = append(raw, e.mode...)
		raw = append(raw, ' ')
		raw = append(raw, e.name...)
		raw = append(raw, 0)
		raw = append(raw, e.hash[:]...)
	}
	return raw
}

// edit changes one place of a tree.
type edit struct {
	path string // from the root, components divided by "/"
	mode mode   // dropFile and dropTree remove
	hash Hash
}

// Edits that remove. What is not there, or is the other kind, is left alone.
const (
	dropFile mode = ""
	dropTree mode = "-"
)

// treeReader gives the bytes of trees, which must not be changed.
type treeReader interface {
	tree(Hash) ([]byte, error)
}

// treeStore also keeps new ones; old is the version before, for a delta.
type treeStore interface {
	treeReader
	putTree(raw []byte, old Hash) (Hash, error)
}

// editTree applies edits, each path at most once, to the tree old (zero: none)
// and returns the new one, or zero if nothing is left in it. Only the trees on
// the way to an edit are read and written.
func editTree(s treeStore, old Hash, edits []edit) (Hash, error) {
	slices.SortFunc(edits, func(a, b edit) int { return cmp.Compare(a.path, b.path) })
	return editSorted(s, old, edits, 0)
}

func editSorted(s treeStore, old Hash, edits []edit, skip int) (Hash, error) {
	entries, err := readTree(s, old)
	if err != nil {
		return Hash{}, err
	}
	groups := groupEdits(edits, skip)
	at := positions(entries, groups)
	grown, gone := false, false
	for name, group := range groups {
		i, ok := at[name]
		var e entry
		if ok {
			e = entries[i]
		}
		e, err := editEntry(s, e, group, skip+len(name))
		if err != nil {
			return Hash{}, err
		}
		e.name = name
		switch {
		case ok:
			grown = grown || entries[i].mode != e.mode // its place may be another
			gone = gone || e.mode == dropFile
			entries[i] = e
		case e.mode != dropFile:
			entries, grown = append(entries, e), true
		}
	}
	if gone {
		entries = slices.DeleteFunc(entries, func(e entry) bool { return e.mode == dropFile })
	}
	if grown {
		slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.key(), b.key()) })
	}
	if len(entries) == 0 {
		return Hash{}, nil
	}
	return s.putTree(encodeTree(entries), old)
}

// positions finds the entries that groups name: looking through the entries
// once for each of a few names is much cheaper than a map of all of them.
func positions(entries []entry, groups map[string][]edit) map[string]int {
	const few = 8
	at := make(map[string]int, len(groups))
	if len(groups) <= few {
		for name := range groups {
			if i := slices.IndexFunc(entries, func(e entry) bool { return e.name == name }); i >= 0 {
				at[name] = i
			}
		}
		return at
	}
	for i, e := range entries {
		if _, ok := groups[e.name]; ok {
			at[e.name] = i
		}
	}
	return at
}

// editEntry applies the edits at and below one name: a file that is put wins
// over everything below it; files below win over a file that is there.
func editEntry(s treeStore, e entry, edits []edit, at int) (entry, error) {
	var below []edit
	for _, ed := range edits {
		switch {
		case len(ed.path) > at:
			below = append(below, ed)
		case ed.mode == dropTree && e.mode == modeTree, ed.mode == dropFile && e.mode != modeTree:
			e = entry{}
		case ed.mode != dropFile && ed.mode != dropTree:
			return entry{mode: ed.mode, hash: ed.hash}, nil
		}
	}
	if len(below) == 0 {
		return e, nil
	}
	sub := e.hash
	if e.mode != modeTree {
		sub = Hash{}
	}
	h, err := editSorted(s, sub, below, at+1)
	if err != nil || h.IsZero() {
		if e.mode == modeTree {
			e = entry{}
		}
		return e, err
	}
	return entry{mode: modeTree, hash: h}, nil
}

// groupEdits gathers sorted edits by the name that follows skip bytes of path.
func groupEdits(edits []edit, skip int) map[string][]edit {
	groups := map[string][]edit{}
	for _, ed := range edits {
		name, _, _ := strings.Cut(ed.path[skip:], "/")
		groups[name] = append(groups[name], ed)
	}
	return groups
}

func readTree(s treeReader, h Hash) ([]entry, error) {
	if h.IsZero() {
		return nil, nil
	}
	raw, err := s.tree(h)
	if err != nil {
		return nil, err
	}
	entries, err := parseTree(raw)
	if err != nil {
		return nil, fmt.Errorf("read tree %s: %w", h, err)
	}
	return entries, nil
}

// find returns the entry at a path below the tree, and whether there is one.
func find(s treeReader, root Hash, path string) (entry, bool, error) {
	e := entry{mode: modeTree, hash: root}
	for name := range strings.SplitSeq(path, "/") {
		if e.mode != modeTree {
			return entry{}, false, nil
		}
		entries, err := readTree(s, e.hash)
		if err != nil {
			return entry{}, false, err
		}
		i := slices.IndexFunc(entries, func(e entry) bool { return e.name == name })
		if i < 0 {
			return entry{}, false, nil
		}
		e = entries[i]
	}
	return e, true, nil
}
