package mirror

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// maxBatchBytes bounds a pack before the branch is moved and a new one begun.
const maxBatchBytes = 128 << 20

// Drain works through the outbox once and returns how many revisions were
// mirrored. It goes on with other repositories where one fails, and returns what
// failed.
func (m *Mirror) Drain(ctx context.Context) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.drain(ctx)
	m.trouble.Store(nil)
	if err != nil {
		m.trouble.Store(&err)
	}
	return n, err
}

func (m *Mirror) drain(ctx context.Context) (int, error) {
	p := pass{m: m, held: map[string]error{}}
	total := 0
	var after []byte
	limit := m.page
	for ctx.Err() == nil {
		page, err := m.outbox(ctx, after, limit)
		if err != nil {
			return total, err
		}
		if len(page) == 0 {
			break
		}
		n, err := p.page(ctx, page)
		total += n
		if err != nil {
			return total, err
		}
		if len(page) < limit {
			break // what has come since then is for the next time: one pack for all of it
		}
		after = page[len(page)-1].key.K
		limit = m.most // much waits
	}
	return total, errors.Join(append(slices.Collect(maps.Values(p.held)), ctx.Err())...)
}

// pass is one way through the outbox. A repository that failed is left alone
// until the next pass; its revisions stay in the outbox.
type pass struct {
	m    *Mirror
	held map[string]error
	left bool // an entry was left, so that the watermark must not move
}

// job is what one revision does to one repository.
type job struct {
	rev  Rev
	gone bool // the machine has left the repository
	at   int  // index of the revision
}

// page mirrors the revisions of one page of the outbox.
func (p *pass) page(ctx context.Context, entries []outboxEntry) (int, error) {
	revs := make([]Rev, 0, len(entries))
	for _, e := range entries {
		r, err := p.m.source.Revision(ctx, e.ci, e.n)
		if err == nil && (r.CI != e.ci || r.N != e.n || r.Stamp != e.stamp) {
			err = ErrDiffers
		}
		if err != nil {
			// Whose repository it belongs to is not known: nothing after it may pass.
			err = fmt.Errorf("revision %d of CI %s: %w", e.n, e.ci, err)
			n, err2 := p.apply(ctx, entries[:len(revs)], revs)
			return n, errors.Join(err, err2)
		}
		revs = append(revs, r)
	}
	return p.apply(ctx, entries, revs)
}

func (p *pass) apply(ctx context.Context, entries []outboxEntry, revs []Rev) (int, error) {
	settled := make([]bool, len(entries))
	total := 0
	settle := func(ok []bool, watermark int64) error {
		var done []outboxEntry
		for i, e := range entries {
			if ok[i] && !settled[i] {
				done, settled[i] = append(done, e), true
			}
		}
		total += len(done)
		return p.m.settle(ctx, done, watermark)
	}
	last := time.Now()
	ok, err := p.m.apply(ctx, revs, p.held, func(ok []bool) error {
		if time.Since(last) < p.m.settleEvery {
			return nil
		}
		last = time.Now()
		return settle(ok, 0)
	})
	var watermark int64
	for i, e := range entries {
		p.left = p.left || !ok[i]
		if !p.left {
			watermark = e.stamp
		}
	}
	return total, errors.Join(err, settle(ok, watermark))
}

// apply makes the commits of revisions, which are in the order of their stamps,
// and tells which are done, after each repository and at the end. Repositories in
// held are left alone, those that fail are added to it.
func (m *Mirror) apply(ctx context.Context, revs []Rev, held map[string]error, progress func(ok []bool) error) ([]bool, error) {
	jobs := map[string][]job{}
	open := make([]int, len(revs))
	for i, r := range revs {
		if r.PrevRepo != "" && r.PrevRepo != r.Repo {
			jobs[r.PrevRepo] = append(jobs[r.PrevRepo], job{r, true, i})
			open[i]++
		}
		if r.Repo != "" {
			jobs[r.Repo] = append(jobs[r.Repo], job{r, false, i})
			open[i]++
		}
	}
	ok := func() []bool {
		all := make([]bool, len(revs))
		for i, n := range open {
			all[i] = n == 0
		}
		return all
	}
	for _, repo := range slices.Sorted(maps.Keys(jobs)) {
		if held[repo] != nil || ctx.Err() != nil {
			continue
		}
		n, err := m.applyTo(ctx, repo, jobs[repo])
		for _, j := range jobs[repo][:n] {
			open[j.at]--
		}
		if err != nil {
			held[repo] = errors.Join(fmt.Errorf("repository %s: %w", repo, err), m.forget(repo))
		}
		if err := progress(ok()); err != nil {
			return ok(), err
		}
	}
	return ok(), nil
}

// applyTo makes the commits of one repository and returns how many of the jobs,
// from the first on, are durable.
func (m *Mirror) applyTo(ctx context.Context, path string, jobs []job) (int, error) {
	r, err := m.open(path)
	if err != nil {
		return 0, err
	}
	done, err := r.skip(jobs)
	if err != nil {
		return 0, err
	}
	for done < len(jobs) && err == nil {
		var n int
		n, err = m.writeBatch(ctx, r, jobs[done:])
		done += n
	}
	if err == nil && (!m.busy() || len(r.packs) > 3*maxPacks) {
		err = r.consolidate(m.cfg.Now())
	}
	return done, err
}

// writeBatch writes as many jobs as fit one pack. What it has finished before an
// error is kept.
func (m *Mirror) writeBatch(ctx context.Context, r *repo, jobs []job) (int, error) {
	b, err := r.begin(r.head)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for i, j := range jobs {
		if i%giveWayEvery == giveWayEvery-1 {
			m.yield(ctx, time.Since(began))
			began = time.Now()
		}
		if err = ctx.Err(); err == nil {
			err = m.add(ctx, b, j)
		}
		if err != nil || b.pack != nil && b.pack.size > maxBatchBytes {
			break
		}
	}
	if err2 := b.finish(); err2 != nil {
		return 0, errors.Join(err, err2)
	}
	m.commits.Add(uint64(b.commits))
	return b.commits, err
}

// add makes the commit of one job.
func (m *Mirror) add(ctx context.Context, b *batch, j job) error {
	r := j.rev
	c := commit{ci: r.CI, n: r.N, stamp: r.Stamp}
	var edits []edit
	if j.gone {
		c.message = goneMessage(r)
		edits = []edit{{path: safeName(r.PrevFolder), mode: dropTree}}
	} else {
		changed, err := m.sections(ctx, r)
		if err == nil {
			c.message = message(r, changed)
			edits, err = m.render(ctx, b, r, changed)
		}
		if err != nil {
			return fmt.Errorf("revision %d of CI %s: %w", r.N, r.CI, err)
		}
	}
	return b.add(c, edits)
}

// skip tells how many of the jobs, from the first on, the branch has already: a
// crash came between its move and the outbox. A revision that is older than the
// branch's tip and not in it has no place any more.
func (r *repo) skip(jobs []job) (int, error) {
	type id struct {
		ci string
		n  uint64
	}
	have := map[id]bool{}
	var tip int64
	for h := r.head; !h.IsZero(); {
		c, err := r.commit(h)
		if err != nil {
			return 0, err
		}
		tip = max(tip, c.stamp)
		if c.stamp < jobs[0].rev.Stamp {
			break
		}
		have[id{c.ci, c.n}] = true
		h = c.parent
	}
	for i, j := range jobs {
		if !have[id{j.rev.CI, j.rev.N}] {
			if j.rev.Stamp <= tip {
				return 0, fmt.Errorf("revision %d of CI %s is older than the newest commit and missing: %w; rebuild the mirror", j.rev.N, j.rev.CI, ErrDiffers)
			}
			return i, nil
		}
	}
	return len(jobs), nil
}
