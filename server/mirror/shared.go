package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"rollcall/internal/fact"
)

// Bounds of what is remembered of the wholes that machines stand on.
const (
	wholeBytes = 12 << 20
	madeBytes  = 16 << 20
)

// whole is what the mirror knows of the /etc of a whole set: the git objects that
// it would take, of which each repository gets those that its own machines have.
type whole struct {
	root  Hash // of what is below etc/
	trees map[Hash][]byte
	blobs map[Hash]origin
	size  int
}

// origin is where a blob comes from: a content, or the target of a link.
type origin struct {
	digest fact.Digest
	target string
}

// wholeOf works out the trees of a whole; nothing is written. The whole may be
// that of a machine that is gone, contents and all: the error then wraps
// errContent.
func (m *Mirror) wholeOf(ctx context.Context, f Facts) (*whole, error) {
	if w, ok := m.wholes.get(f.Whole); ok {
		return w, nil
	}
	w := &whole{trees: map[Hash][]byte{}, blobs: map[Hash]origin{}}
	var edits []edit
	for _, b := range f.Base {
		at, file := placeFile(f.base(), b.Path)
		if at == "" {
			continue
		}
		h, from, err := m.blobOf(ctx, file)
		if err != nil {
			return nil, fmt.Errorf("/%s: %w", b.Path, err)
		}
		w.blobs[h] = from
		edits = append(edits, edit{path: at, mode: fileMode(file), hash: h})
	}
	below, ok := belowEtc(edits)
	if !ok {
		return nil, errPlace
	}
	var err error
	if w.root, err = editTree(w, Hash{}, below); err != nil {
		return nil, err
	}
	w.size = 500 + 120*len(w.blobs)
	for _, raw := range w.trees {
		w.size += len(raw) + 100
	}
	m.wholes.put(f.Whole, w)
	return w, nil
}

// blobOf gives the id of the blob that shows a file.
func (m *Mirror) blobOf(ctx context.Context, f fact.File) (Hash, origin, error) {
	if f.Kind == fact.KindLink {
		return hashObject(plumbing.BlobObject, []byte(f.Target)), origin{target: f.Target}, nil
	}
	from := origin{digest: f.Digest}
	if h, ok := m.blobs.get(f.Digest); ok {
		return h, from, nil
	}
	raw, err := m.source.Content(ctx, f.Digest)
	if err != nil {
		return Hash{}, from, fmt.Errorf("%w: %w", errContent, err)
	}
	h := hashObject(plumbing.BlobObject, raw)
	m.blobs.put(f.Digest, h)
	return h, from, nil
}

// errPlace: a file of /etc has its place elsewhere, which no agent sends.
var errPlace = errors.New("a file of /etc is not below etc")

const etcDir = "etc/"

// belowEtc gives the edits paths below etc/; ok is false if one is not there.
func belowEtc(edits []edit) (below []edit, ok bool) {
	below = make([]edit, 0, len(edits))
	for _, e := range edits {
		if e.path, ok = strings.CutPrefix(e.path, etcDir); !ok {
			return nil, false
		}
		below = append(below, e)
	}
	return below, true
}

// tree and putTree make a whole a treeStore while it is worked out.
func (w *whole) tree(h Hash) ([]byte, error) {
	if raw, ok := w.trees[h]; ok {
		return raw, nil
	}
	return nil, fmt.Errorf("read %s: %w", h, errNoObject)
}

func (w *whole) putTree(raw []byte, _ Hash) (Hash, error) {
	h := hashObject(plumbing.TreeObject, raw)
	w.trees[h] = raw
	return h, nil
}

// likeOthers renders all of an /etc from the whole that it stands on: only what
// this machine has otherwise is looked at, and only what the repository lacks is
// written. done is false if that is not possible.
func (d *rendering) likeOthers(ctx context.Context, now Facts) (done bool, err error) {
	w, err := d.m.wholeOf(ctx, now)
	if errors.Is(err, errContent) || errors.Is(err, errPlace) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	own := &rendering{m: d.m, batch: d.batch, rev: d.rev}
	if err := own.files(ctx, &sectionChange{old: now.base(), new: now}); err != nil {
		return false, err
	}
	edits, ok := belowEtc(own.edits)
	if !ok {
		return false, nil
	}
	g := &graft{ctx: ctx, m: d.m, batch: d.batch, whole: w, fresh: map[Hash][]byte{}}
	root, err := editTree(g, w.root, edits)
	if err != nil || root.IsZero() {
		return err == nil, err
	}
	if err := g.write(root); err != nil {
		return false, err
	}
	d.edits = append(d.edits, edit{path: strings.TrimSuffix(etcDir, "/"), mode: modeTree, hash: root})
	return true, nil
}

// graft brings a tree that is mostly a whole's into a repository: of the whole
// only what the tree has, and of that only what the repository lacks. A tree is
// written after everything in it, so that one that is there is there entirely.
type graft struct {
	ctx   context.Context
	m     *Mirror
	batch *batch
	whole *whole
	fresh map[Hash][]byte // trees that the whole lacks
}

func (g *graft) tree(h Hash) ([]byte, error) {
	if raw, ok := g.fresh[h]; ok {
		return raw, nil
	}
	return g.whole.tree(h)
}

func (g *graft) putTree(raw []byte, _ Hash) (Hash, error) {
	h := hashObject(plumbing.TreeObject, raw)
	g.fresh[h] = raw
	return h, nil
}

func (g *graft) write(h Hash) error {
	if g.batch.has(h) {
		return nil
	}
	raw, err := g.tree(h)
	if err != nil {
		return err
	}
	entries, err := parseTree(raw)
	if err != nil {
		return fmt.Errorf("read tree %s: %w", h, err)
	}
	for _, e := range entries {
		if e.mode == modeTree {
			err = g.write(e.hash)
		} else {
			err = g.blob(e.hash)
		}
		if err != nil {
			return err
		}
	}
	if _, own := g.fresh[h]; own {
		return g.batch.putHashed(plumbing.TreeObject, h, raw, base{})
	}
	return g.shared(plumbing.TreeObject, h, func() ([]byte, error) { return raw, nil })
}

// blob writes a blob of the whole; those that only this machine has were written.
func (g *graft) blob(h Hash) error {
	if g.batch.has(h) {
		return nil
	}
	from, ok := g.whole.blobs[h]
	if !ok {
		return fmt.Errorf("write %s: %w", h, errNoObject)
	}
	return g.shared(plumbing.BlobObject, h, func() ([]byte, error) {
		if from.digest.IsZero() {
			return []byte(from.target), nil
		}
		raw, err := g.m.source.Content(g.ctx, from.digest)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errContent, err)
		}
		return raw, nil
	})
}

// shared writes an object that other repositories have too.
func (g *graft) shared(typ plumbing.ObjectType, h Hash, content func() ([]byte, error)) error {
	return g.batch.putShared(g.m.made, typ, h, content)
}
