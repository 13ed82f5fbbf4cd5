package mirror

import (
	"bytes"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"rollcall/internal/failpoint"
)

// batch collects commits of one repository in one pack. Nothing of it can be
// seen before finish.
type batch struct {
	repo    *repo
	pack    *packWriter // nil before the first write
	tip     Hash        // the newest commit of the batch
	root    Hash        // its tree; zero = nothing in it
	commits int
	texts   map[string]firstText
	dry     map[Hash][]byte // not nil: nothing is written, and trees are kept here
}

// begin starts a batch on top of a commit of the repository; zero means none.
func (r *repo) begin(on Hash) (*batch, error) {
	b := &batch{repo: r, tip: on, texts: map[string]firstText{}}
	if !on.IsZero() {
		c, err := r.commit(on)
		if err != nil {
			return nil, err
		}
		b.root = c.tree
	}
	return b, nil
}

// put writes a git object unless the repository has it, and returns its id.
func (b *batch) put(typ plumbing.ObjectType, content []byte, old base) (Hash, error) {
	h := hashObject(typ, content)
	return h, b.putHashed(typ, h, content, old)
}

// putHashed is put where the id is known already.
func (b *batch) putHashed(typ plumbing.ObjectType, h Hash, content []byte, old base) error {
	if b.dry != nil {
		if typ == plumbing.TreeObject {
			b.dry[h] = content
		}
		return nil
	}
	if b.has(h) {
		return nil
	}
	if err := b.open(); err != nil {
		return err
	}
	return b.pack.add(typ, h, content, old)
}

// putShared is putHashed for what other repositories have too: it is written in
// the form that made remembers, or made and remembered.
func (b *batch) putShared(made *lru[Hash, packEntry], typ plumbing.ObjectType, h Hash, content func() ([]byte, error)) error {
	if b.has(h) {
		return nil
	}
	if err := b.open(); err != nil {
		return err
	}
	e, ok := made.get(h)
	if !ok {
		raw, err := content()
		if err != nil {
			return err
		}
		if e, err = b.pack.make(entryHead(typ, len(raw)), raw); err != nil {
			return err
		}
		e.zipped = bytes.Clone(e.zipped)
		made.put(h, e)
	}
	return b.pack.write(h, e, 0)
}

// open begins the pack.
func (b *batch) open() error {
	if b.pack != nil {
		return nil
	}
	failpoint.Hit(failpoint.MirrorBlob)
	p, err := newPackWriter(b.repo.disk, b.repo.packDir())
	if err == nil {
		b.pack = p
	}
	return err
}

func (b *batch) has(h Hash) bool { return b.writes(h) || b.repo.has(h) }

// writes tells whether a git object is in the batch's own pack.
func (b *batch) writes(h Hash) bool {
	if b.pack == nil {
		return false
	}
	_, ok := b.pack.at[h]
	return ok
}

// blob writes a file's content.
func (b *batch) blob(content []byte, old base) (Hash, error) {
	if old.split == nil {
		old.split = lineLength
	}
	return b.put(plumbing.BlobObject, content, old)
}

// tree and putTree make a batch a treeStore.
func (b *batch) tree(h Hash) ([]byte, error) {
	if raw, ok := b.dry[h]; ok {
		return raw, nil
	}
	if raw, ok := b.repo.trees.get(h); ok {
		return raw, nil
	}
	if b.writes(h) {
		_, raw, err := b.pack.read(h)
		return raw, err
	}
	return b.repo.tree(h)
}

func (b *batch) putTree(raw []byte, old Hash) (Hash, error) {
	h, err := b.put(plumbing.TreeObject, raw, base{
		hash:    old,
		content: func() ([]byte, error) { return b.tree(old) },
		split:   entryLength,
	})
	if err == nil && b.dry == nil {
		b.repo.trees.put(h, raw)
	}
	return h, err
}

// add makes a commit that applies the edits. The commit's tree and parent are
// filled in here.
func (b *batch) add(c commit, edits []edit) error {
	root, err := editTree(b, b.root, edits)
	if err != nil {
		return err
	}
	c.tree, c.parent = root, b.tip
	if root.IsZero() {
		if c.tree, err = b.putTree(nil, Hash{}); err != nil {
			return err
		}
	}
	h, err := b.put(plumbing.CommitObject, encodeCommit(c), base{})
	if err != nil {
		return err
	}
	b.tip, b.root = h, root
	b.commits++
	return nil
}

// finish makes the batch durable, then moves the ref: at every moment the ref
// names a commit of which everything is on disk.
func (b *batch) finish() error {
	if b.commits == 0 {
		return b.abandon()
	}
	if b.pack != nil {
		if err := b.close(); err != nil {
			return err
		}
	}
	failpoint.Hit(failpoint.MirrorPack)
	if err := b.repo.setRef(b.tip); err != nil {
		return err
	}
	failpoint.Hit(failpoint.MirrorRef)
	b.repo.stale += b.commits
	return nil
}

func (b *batch) close() error {
	name, err := b.pack.finish()
	if err != nil {
		return err
	}
	p, err := openPack(b.repo.packDir(), name)
	if err != nil {
		return err
	}
	b.repo.packs = append([]*pack{p}, b.repo.packs...)
	return nil
}

// abandon drops what has been written.
func (b *batch) abandon() error {
	if b.pack == nil {
		return nil
	}
	if err := b.pack.discard(); err != nil {
		return fmt.Errorf("drop unfinished pack: %w", err)
	}
	b.pack = nil
	return nil
}
