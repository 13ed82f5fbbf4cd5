package mirror

import (
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxProblems bounds how many problems Verify describes.
const maxProblems = 50

// Report is what Verify has found.
type Report struct {
	Repos, Commits int
	Problems       []string // each names the repository and what is wrong; bounded
}

// Verify compares the mirror with the store in both directions: every commit is
// a revision of the store, in order; every revision that the outbox has let go
// is a commit; every machine's folder is what its last revision renders to; and
// no bit of a pack has flipped. It returns an error that wraps ErrDiffers if
// there is a problem, and other errors where it could not look.
func (m *Mirror) Verify(ctx context.Context) (Report, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := verifier{m: m, want: map[string][]place{}}
	if err := v.expect(ctx); err != nil {
		return v.report, err
	}
	for _, repo := range slices.Sorted(maps.Keys(v.want)) {
		if err := ctx.Err(); err != nil {
			return v.report, err
		}
		v.report.Repos++
		if err := v.repo(ctx, repo); err != nil {
			v.problem(repo, "%v", err)
		}
		if err := m.forget(repo); err != nil {
			return v.report, err
		}
	}
	if len(v.report.Problems) > 0 {
		return v.report, fmt.Errorf("%d problems, the first: %s: %w; rebuild the mirror", len(v.report.Problems), v.report.Problems[0], ErrDiffers)
	}
	return v.report, nil
}

// Objects calls fn with every object of every repository, and where it is. Those
// that are damaged are left out: Verify names them.
func (m *Mirror) Objects(ctx context.Context, fn func(where string, raw []byte)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := verifier{m: m, want: map[string][]place{}}
	if err := v.expect(ctx); err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(v.want)) {
		if _, err := os.Stat(filepath.Join(m.Path(path), "HEAD")); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		r, err := m.open(path)
		if err != nil {
			return err
		}
		for _, p := range r.packs {
			all, err := p.hashes()
			if err != nil {
				return err
			}
			for _, h := range all {
				_, raw, err := p.read(h)
				if errors.Is(err, errPack) {
					continue
				}
				if err := cmp.Or(err, ctx.Err()); err != nil {
					return err
				}
				fn("repository "+path+", object "+h.String(), raw)
			}
		}
		if err := m.forget(path); err != nil {
			return err
		}
	}
	return nil
}

// place is one commit that a repository should have.
type place struct {
	ci      string
	n       uint64
	stamp   int64
	gone    bool
	pending bool // still in the outbox: the commit may be there or not
}

type verifier struct {
	m      *Mirror
	want   map[string][]place // by repository, oldest first
	report Report
}

func (v *verifier) problem(repo, format string, args ...any) {
	if len(v.report.Problems) < maxProblems {
		v.report.Problems = append(v.report.Problems, "repository "+repo+": "+fmt.Sprintf(format, args...))
	}
}

// expect lists what the store says should be there.
func (v *verifier) expect(ctx context.Context) error {
	pending := map[int64]bool{}
	var after []byte
	for {
		page, err := v.m.outbox(ctx, after, v.m.page)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			pending[e.stamp] = true
		}
		after = page[len(page)-1].key.K
	}
	for r, err := range v.m.source.Revisions(ctx) {
		if err != nil {
			return fmt.Errorf("read revisions: %w", err)
		}
		p := place{ci: r.CI, n: r.N, stamp: r.Stamp, pending: pending[r.Stamp]}
		if r.PrevRepo != "" && r.PrevRepo != r.Repo {
			gone := p
			gone.gone = true
			v.want[r.PrevRepo] = append(v.want[r.PrevRepo], gone)
		}
		if r.Repo != "" {
			v.want[r.Repo] = append(v.want[r.Repo], p)
		}
	}
	return nil
}

func (v *verifier) repo(ctx context.Context, path string) error {
	want := v.want[path]
	if _, err := os.Stat(filepath.Join(v.m.Path(path), "HEAD")); errors.Is(err, fs.ErrNotExist) {
		if slices.ContainsFunc(want, func(p place) bool { return !p.pending }) {
			return errors.New("it is not there")
		}
		return nil
	}
	r, err := v.m.open(path)
	if err != nil {
		return err
	}
	for _, p := range r.packs {
		if err := p.check(); err != nil {
			return err
		}
	}
	last, err := v.history(r, want)
	if err != nil {
		return err
	}
	return v.folders(ctx, path, r, last)
}

// history compares the commits with what is wanted, newest first, and returns
// the last commit of each machine.
func (v *verifier) history(r *repo, want []place) (map[string]place, error) {
	last := map[string]place{}
	for h := r.head; !h.IsZero(); v.report.Commits++ {
		c, err := r.commit(h)
		if err != nil {
			return nil, err
		}
		var p place
		for len(want) > 0 {
			p, want = want[len(want)-1], want[:len(want)-1]
			if p.stamp == c.stamp || !p.pending {
				break
			}
		}
		if p.ci != c.ci || p.n != c.n || p.stamp != c.stamp {
			return nil, fmt.Errorf("commit %s is revision %d of CI %s, want revision %d of CI %s", h, c.n, c.ci, p.n, p.ci)
		}
		if _, later := last[p.ci]; !later {
			last[p.ci] = p
		}
		h = c.parent
	}
	for _, p := range want {
		if !p.pending {
			return nil, fmt.Errorf("revision %d of CI %s has no commit", p.n, p.ci)
		}
	}
	return last, nil
}

// folders compares the tree of the newest commit with what the last revision of
// each machine renders to.
func (v *verifier) folders(ctx context.Context, path string, r *repo, last map[string]place) error {
	b, err := r.begin(r.head)
	if err != nil {
		return err
	}
	b.dry = map[Hash][]byte{}
	entries, err := readTree(r, b.root)
	if err != nil {
		return err
	}
	have := map[string]Hash{}
	for _, e := range entries {
		have[e.name] = e.hash
	}
	for _, ci := range slices.Sorted(maps.Keys(last)) {
		if last[ci].gone {
			continue
		}
		rev, err := v.m.source.Revision(ctx, ci, last[ci].n)
		if err != nil {
			return err
		}
		folder := safeName(rev.Folder)
		if err := v.folder(ctx, path, b, rev, have[folder]); err != nil {
			return fmt.Errorf("folder %s: %w", folder, err)
		}
		delete(have, folder)
		clear(b.dry)
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		v.problem(path, "folder %s belongs to no machine", name)
	}
	return nil
}

func (v *verifier) folder(ctx context.Context, path string, b *batch, rev Rev, have Hash) error {
	rev.PrevRepo, rev.PrevFolder = "", ""
	edits, err := v.m.render(ctx, b, rev, nil)
	if err != nil {
		return err
	}
	root, err := editTree(b, Hash{}, edits)
	if err != nil {
		return err
	}
	e, _, err := find(b, root, safeName(rev.Folder))
	if err != nil {
		return err
	}
	defaults, err := v.m.section(ctx, rev.State, "conffile")
	if err != nil {
		return err
	}
	return diffTrees(b, have, e.hash, "", func(ch change) error {
		if ch.old.mode == modeTree || ch.new.mode == modeTree {
			return nil
		}
		if strings.HasPrefix(ch.path, pristineDir+"/") && v.knownDefault(b.repo, defaults, ch) {
			return nil
		}
		v.problem(path, "folder %s: %q differs from revision %d", rev.Folder, ch.path, rev.N)
		return nil
	})
}

// knownDefault tells whether a package's default in the tree may differ from
// what would be rendered today: it may be missing because it became known later,
// but what is there has the MD5 that dpkg recorded.
func (v *verifier) knownDefault(r *repo, defaults Facts, ch change) bool {
	if ch.old.hash.IsZero() {
		return true
	}
	_, raw, err := r.read(ch.old.hash)
	if err != nil {
		return false
	}
	sum := md5.Sum(raw) // as dpkg does
	for _, f := range defaults.set() {
		if at, want := placePristine(defaults, f.Path); at == ch.path {
			return want == hex.EncodeToString(sum[:])
		}
	}
	return false
}
