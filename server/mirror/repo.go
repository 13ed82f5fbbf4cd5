package mirror

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"rollcall/internal/identity"
)

const (
	headRef    = "refs/heads/main"
	repoConfig = `[core]
	repositoryformatversion = 0
	filemode = true
	bare = true
	symlinks = true
	logAllRefUpdates = false
[gc]
	auto = 0
[maintenance]
	auto = false
[receive]
	autogc = false
`
	repoDescription = "Configuration of the machines of this site, kept by Rollcall. Derived: do not write here.\n"
)

// repo is one bare repository. It is used by one goroutine.
type repo struct {
	dir   string
	disk  disk
	packs []*pack            // newest first
	head  Hash               // zero before the first commit
	trees *lru[Hash, []byte] // shared by all repositories: the id says it all

	// Of the commit-graph: how many commits it lacks, as far as we know, and what
	// was true when it was last refreshed.
	stale, graphed int
	graphTime      time.Time
}

// openRepo opens the repository base/rel, and makes it if it is not there.
func openRepo(d disk, base, rel string, trees *lru[Hash, []byte]) (*repo, error) {
	dir := filepath.Join(base, rel)
	if _, err := os.Stat(filepath.Join(dir, "HEAD")); errors.Is(err, fs.ErrNotExist) {
		if err := createRepo(d, base, rel); err != nil {
			return nil, fmt.Errorf("make repository %s: %w", rel, err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	r := &repo{dir: dir, disk: d, trees: trees, stale: 1}
	for _, sub := range []string{"objects/pack", "objects/info", "refs/heads", "."} {
		if err := d.sweep(filepath.Join(dir, sub)); err != nil {
			return nil, err
		}
	}
	if err := dropUnindexed(r.packDir()); err != nil {
		return nil, err
	}
	if err := r.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open repository %s: %w", rel, err), r.close())
	}
	return r, nil
}

// createRepo builds the repository aside and renames it into place, so that one
// that is there is whole.
func createRepo(d disk, base, rel string) error {
	parent := filepath.Dir(rel)
	if err := mkdirAll(base, parent); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(base, tempPrefix)
	if err != nil {
		return err
	}
	for _, sub := range []string{"objects/pack", "objects/info", "refs/heads", "refs/tags", "info", "hooks"} {
		if err := os.MkdirAll(filepath.Join(tmp, sub), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	files := map[string]string{"HEAD": "ref: " + headRef + "\n", "config": repoConfig, "description": repoDescription}
	for name, text := range files {
		if err := d.replace(filepath.Join(tmp, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, sub := range []string{"objects/pack", "objects/info", "objects", "refs/heads", "refs/tags", "refs", "."} {
		if err := identity.SyncDir(filepath.Join(tmp, sub)); err != nil {
			return err
		}
	}
	if err := d.at("repository built"); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(base, rel)); err != nil {
		return err
	}
	return identity.SyncDir(filepath.Join(base, parent))
}

// load opens the packs and reads the ref.
func (r *repo) load() error {
	names, err := listPacks(r.packDir())
	if err != nil {
		return err
	}
	old, err := r.readSuperseded()
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := old[name]; ok {
			continue
		}
		p, err := openPack(r.packDir(), name)
		if err != nil {
			return err
		}
		r.packs = append(r.packs, p)
	}
	if r.head, err = r.readRef(); err != nil {
		return err
	}
	if !r.head.IsZero() {
		if _, err := r.commit(r.head); err != nil {
			return fmt.Errorf("%s: %w", headRef, err)
		}
	}
	return nil
}

func (r *repo) packDir() string { return filepath.Join(r.dir, "objects", "pack") }

func (r *repo) close() error {
	var errs []error
	for _, p := range r.packs {
		errs = append(errs, p.file.Close())
	}
	r.packs = nil
	return errors.Join(errs...)
}

// readRef reads the branch, also where somebody has run git pack-refs.
func (r *repo) readRef() (Hash, error) {
	raw, err := os.ReadFile(filepath.Join(r.dir, headRef))
	if errors.Is(err, fs.ErrNotExist) {
		return r.readPackedRef()
	}
	if err != nil {
		return Hash{}, fmt.Errorf("read ref: %w", err)
	}
	text := strings.TrimSuffix(string(raw), "\n")
	if !plumbing.IsHash(text) {
		return Hash{}, fmt.Errorf("read %s: %.80q is not a commit id; rebuild the mirror", headRef, text)
	}
	return newHash(text), nil
}

func (r *repo) readPackedRef() (Hash, error) {
	raw, err := os.ReadFile(filepath.Join(r.dir, "packed-refs"))
	if errors.Is(err, fs.ErrNotExist) {
		return Hash{}, nil
	}
	if err != nil {
		return Hash{}, fmt.Errorf("read packed refs: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		if id, ok := strings.CutSuffix(line, " "+headRef+"\n"); ok && plumbing.IsHash(id) {
			return newHash(id), nil
		}
	}
	return Hash{}, nil
}

// setRef moves the branch: temporary file, fsync, rename, fsync. go-git's own
// way truncates the file in place, which a power cut turns into an empty ref.
func (r *repo) setRef(h Hash) error {
	if err := r.disk.at("before ref"); err != nil {
		return err
	}
	if err := r.disk.replace(filepath.Join(r.dir, headRef), []byte(h.String()+"\n"), 0o644); err != nil {
		return err
	}
	r.head = h
	return nil
}

func (r *repo) has(h Hash) bool {
	return slices.ContainsFunc(r.packs, func(p *pack) bool { return p.has(h) })
}

// read returns a git object from any pack.
func (r *repo) read(h Hash) (plumbing.ObjectType, []byte, error) {
	for _, p := range r.packs {
		if p.has(h) {
			return p.read(h)
		}
	}
	return 0, nil, fmt.Errorf("read %s: %w", h, errNoObject)
}

// tree returns a tree's bytes, which must not be changed.
func (r *repo) tree(h Hash) ([]byte, error) {
	if raw, ok := r.trees.get(h); ok {
		return raw, nil
	}
	typ, raw, err := r.read(h)
	if err != nil {
		return nil, err
	}
	if typ != plumbing.TreeObject {
		return nil, fmt.Errorf("read %s: it is a %s, want a tree", h, typ)
	}
	r.trees.put(h, raw)
	return raw, nil
}

// commit reads one of the mirror's commits.
func (r *repo) commit(h Hash) (commit, error) {
	typ, raw, err := r.read(h)
	if err != nil {
		return commit{}, err
	}
	if typ != plumbing.CommitObject {
		return commit{}, fmt.Errorf("read %s: it is a %s, want a commit", h, typ)
	}
	c, err := parseCommit(raw)
	if err != nil {
		return commit{}, fmt.Errorf("read commit %s: %w", h, err)
	}
	return c, nil
}
