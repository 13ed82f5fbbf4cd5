package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"rollcall/internal/identity"
)

// Rebuild renders every revision of the store into new repositories below out,
// puts them in the place of the old ones in one step, and removes these. The
// commit ids are those that the revisions had before. out must be on the file
// system of the mirror and empty or not there; after an error it is left as it
// is, and the old mirror stays in place. The outbox is left alone: Drain finds
// that what is in it is done.
func (m *Mirror) Rebuild(ctx context.Context, out string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if entries, err := os.ReadDir(out); err == nil && len(entries) > 0 {
		return fmt.Errorf("rebuild mirror: folder %s is not empty: remove it or name another", out)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rebuild mirror: %w", err)
	}
	cfg := m.cfg
	cfg.Dir = out
	fresh := New(cfg)
	fresh.disk = m.disk
	fresh.page = m.most
	err := errors.Join(fresh.replay(ctx), fresh.closeRepos(), m.closeRepos())
	if err == nil {
		err = m.disk.at("before swap")
	}
	if err == nil {
		err = swap(out, m.cfg.Dir)
	}
	if err != nil {
		return fmt.Errorf("rebuild mirror: %w", err)
	}
	m.commits.Add(fresh.commits.Load())
	if err := os.RemoveAll(out); err != nil {
		return fmt.Errorf("rebuild mirror: remove the old one: %w", err)
	}
	return nil
}

// replay makes the commits of all revisions, and the commit-graphs.
func (m *Mirror) replay(ctx context.Context) error {
	if err := m.prepare(); err != nil {
		return err
	}
	seen := map[string]bool{}
	page := make([]Rev, 0, m.page)
	flush := func() error {
		held := map[string]error{}
		_, err := m.apply(ctx, page, held, func([]bool) error { return nil })
		page = page[:0]
		errs := []error{err, ctx.Err()}
		for _, err := range held {
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	for r, err := range m.source.Revisions(ctx) {
		if err != nil {
			return fmt.Errorf("read revisions: %w", err)
		}
		seen[r.Repo] = r.Repo != ""
		if page = append(page, r); len(page) == cap(page) {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	for repo, ok := range seen {
		for more := ok; more; {
			r, err := m.open(repo)
			if err != nil {
				return err
			}
			if more, err = r.refreshGraph(m.cfg.Now()); err != nil {
				return fmt.Errorf("repository %s: %w", repo, errors.Join(err, ctx.Err()))
			}
		}
	}
	return ctx.Err()
}

// swap exchanges two folders in one step (renameat2(2), RENAME_EXCHANGE). Where
// the second is not there yet, the first takes its name.
func swap(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOENT) {
		err = os.Rename(a, b)
	}
	if err != nil {
		return fmt.Errorf("put %s in the place of %s: %w", a, b, err)
	}
	return errors.Join(identity.SyncDir(filepath.Dir(a)), identity.SyncDir(filepath.Dir(b)))
}
