package mirror

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"rollcall/internal/identity"
)

const (
	// maxPacks is the number of packs above which the small ones are merged.
	maxPacks = 20
	// readersGrace is how long a merged pack stays for git processes that have
	// begun to read it: a clone over a slow line.
	readersGrace = 2 * time.Hour
	// supersededFile lists merged packs and when they were merged: "NAME SECONDS".
	supersededFile = "rollcall-superseded"
	// copiedDepth bounds the chains that grow where deltas are copied onto others.
	copiedDepth = 2 * maxDepth
	// smallEntry is a size in bytes below which a delta saves next to nothing.
	smallEntry = 128
)

// consolidate merges small packs when there are too many. Packs then grow
// geometrically in size, so that each git object is rewritten a logarithmic
// number of times. The merged packs stay on disk for readersGrace.
func (r *repo) consolidate(now time.Time) error {
	if len(r.packs) <= maxPacks {
		return nil
	}
	small := smallPacks(r.packs)
	merged, err := r.merge(small)
	if err != nil {
		return fmt.Errorf("merge %d packs of %s: %w", len(small), r.dir, err)
	}
	if err := r.disk.at("merged"); err != nil {
		return err
	}
	old, err := r.readSuperseded()
	if err != nil {
		return err
	}
	var kept []*pack
	for _, p := range r.packs {
		if p.name != merged && !slices.Contains(small, p) {
			kept = append(kept, p)
			continue
		}
		if p.name != merged {
			old[p.name] = now.Unix()
		}
		err = errors.Join(err, p.file.Close())
	}
	p, err2 := openPack(r.packDir(), merged)
	if err = errors.Join(err, err2); err != nil {
		return err
	}
	r.packs = append(kept, p)
	return r.writeSuperseded(old)
}

// smallPacks picks the packs to merge: from the smallest on, until the next one
// is more than twice as large as all of them together.
func smallPacks(packs []*pack) []*pack {
	packs = slices.Clone(packs)
	slices.SortFunc(packs, func(a, b *pack) int { return cmp.Compare(a.size, b.size) })
	sum := packs[0].size
	n := 1
	for n < len(packs) && (packs[n].size <= 2*sum || n < len(packs)/2) {
		sum += packs[n].size
		n++
	}
	return packs[:n]
}

// merge writes everything that lies in the packs into one. What is a delta there
// is copied as it is. What is whole becomes a delta of the version of the same
// place before: batches of a single commit hold everything whole.
func (r *repo) merge(packs []*pack) (string, error) {
	m := merger{repo: r, from: packs}
	for _, p := range packs {
		l, err := p.layout()
		if err != nil {
			return "", err
		}
		m.layouts = append(m.layouts, l)
	}
	w, err := newPackWriter(r.disk, r.packDir())
	if err != nil {
		return "", err
	}
	m.to = w
	if err := m.run(); err != nil {
		return "", errors.Join(err, w.discard())
	}
	return w.finish()
}

type merger struct {
	repo    *repo
	from    []*pack
	layouts []layout // of from
	to      *packWriter
}

func (m *merger) run() error {
	commits, err := m.commits()
	if err != nil {
		return err
	}
	for _, h := range commits {
		if err := m.addCommit(h); err != nil {
			return err
		}
	}
	for _, p := range m.from { // what no commit needs any more
		all, err := p.hashes()
		if err != nil {
			return err
		}
		for _, h := range all {
			if err := m.add(h, Hash{}, lineLength); err != nil {
				return err
			}
		}
	}
	return nil
}

// commits lists the commits in the packs, oldest first.
func (m *merger) commits() ([]Hash, error) {
	type dated struct {
		hash  Hash
		stamp int64
	}
	var all []dated
	for _, p := range m.from {
		hashes, err := p.commits()
		if err != nil {
			return nil, err
		}
		for _, h := range hashes {
			c, err := m.repo.commit(h)
			if err != nil {
				return nil, err
			}
			all = append(all, dated{h, c.stamp})
		}
	}
	slices.SortStableFunc(all, func(a, b dated) int { return cmp.Compare(a.stamp, b.stamp) })
	hashes := make([]Hash, len(all))
	for i, d := range all {
		hashes[i] = d.hash
	}
	return hashes, nil
}

// addCommit writes a commit and what it changed.
func (m *merger) addCommit(h Hash) error {
	c, err := m.repo.commit(h)
	if err != nil {
		return err
	}
	var before Hash
	if !c.parent.IsZero() {
		parent, err := m.repo.commit(c.parent)
		if err != nil {
			return err
		}
		before = parent.tree
	}
	if err := m.add(h, Hash{}, lineLength); err != nil {
		return err
	}
	if err := m.add(c.tree, before, entryLength); err != nil {
		return err
	}
	return diffTrees(m.repo, before, c.tree, "", func(ch change) error {
		if ch.new.hash.IsZero() {
			return nil
		}
		split := lineLength
		if ch.new.mode == modeTree {
			split = entryLength
		}
		return m.add(ch.new.hash, ch.old.hash, split)
	})
}

// add copies one git object of the packs, as a delta to old if that helps.
func (m *merger) add(h, old Hash, split func([]byte) int) error {
	if _, done := m.to.at[h]; done {
		return nil
	}
	i := slices.IndexFunc(m.from, func(p *pack) bool { return p.has(h) })
	if i < 0 {
		return nil
	}
	e, err := m.layouts[i].raw(m.from[i], h)
	if err != nil {
		return err
	}
	before, hasBefore := m.to.at[old]
	from, hasBase := m.to.at[e.base]
	switch {
	case e.isDelta && hasBase && from.depth < copiedDepth:
		head := append(entryHead(plumbing.OFSDeltaObject, e.size), ofsDistance(m.to.size-from.offset)...)
		return m.to.write(h, packEntry{head, e.zipped}, from.depth+1)
	case !e.isDelta && (!hasBefore || before.depth >= maxDepth || e.size < smallEntry):
		return m.to.write(h, packEntry{entryHead(e.typ, e.size), e.zipped}, 0)
	}
	typ, content, err := m.repo.read(h)
	if err != nil {
		return err
	}
	return m.to.add(typ, h, content, base{hash: old, split: split, content: func() ([]byte, error) {
		_, content, err := m.repo.read(old)
		return content, err
	}})
}

// expire removes merged packs that no reader needs any more. The index goes
// first, so that git never finds an index without its pack.
func (r *repo) expire(now time.Time) error {
	old, err := r.readSuperseded()
	if err != nil || len(old) == 0 {
		return err
	}
	left := map[string]int64{}
	for name, at := range old {
		if now.Sub(time.Unix(at, 0)) < readersGrace {
			left[name] = at
			continue
		}
		for _, suffix := range []string{".idx", ".pack"} {
			if err := os.Remove(filepath.Join(r.packDir(), name+suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove merged pack: %w", err)
			}
		}
	}
	if len(left) == len(old) {
		return nil
	}
	if err := identity.SyncDir(r.packDir()); err != nil {
		return err
	}
	return r.writeSuperseded(left)
}

func (r *repo) readSuperseded() (map[string]int64, error) {
	raw, err := os.ReadFile(filepath.Join(r.dir, supersededFile))
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]int64{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read merged packs: %w", err)
	}
	old := map[string]int64{}
	for line := range strings.Lines(string(raw)) {
		name, at, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		sec, err := strconv.ParseInt(at, 10, 64)
		if !ok || err != nil || name != filepath.Base(name) {
			return nil, fmt.Errorf("read %s: bad line %.80q; remove the file", filepath.Join(r.dir, supersededFile), line)
		}
		old[name] = sec
	}
	return old, nil
}

func (r *repo) writeSuperseded(old map[string]int64) error {
	var b strings.Builder
	for name, at := range old {
		fmt.Fprintf(&b, "%s %d\n", name, at)
	}
	return r.disk.replace(filepath.Join(r.dir, supersededFile), []byte(b.String()), 0o644)
}
