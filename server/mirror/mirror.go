// Package mirror keeps every recorded configuration as git commits: one bare
// repository for each school, one folder for each machine, one commit for each
// revision, readable with plain git when the server is gone.
//
// The mirror is derived: it follows the outbox that revisions are written to,
// never holds up a receipt, and can be thrown away. The same revisions give the
// same commit ids, byte for byte, so that Rebuild makes what was there before.
//
// It promises that a crash or a power cut at any moment leaves repositories that
// git reads, and from which it goes on without losing or repeating a commit:
// packs are durable before the branch names them, and the branch before the
// outbox forgets the revision. Nothing that an agent sends becomes a path, a
// name or a line that git, a terminal or a checkout would act upon.
//
// Who may read a repository, and how it is served, is left to others.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// ErrDiffers is wrapped by errors about a repository that does not hold what the
// store says it should. Rebuild makes it anew.
var ErrDiffers = errors.New("the mirror differs from the store")

// Config says what a Mirror follows and where it writes.
type Config struct {
	Store  store.Engine  // holds the outbox
	Writes store.Updater // removes what is done from the outbox; nil means Store
	Source Source
	Tenant string
	Dir    string // holds the repositories; made if it is not there
	Now    func() time.Time
	Log    *slog.Logger
	Wake   <-chan struct{} // told when there may be something new; may be nil
	Every  time.Duration   // how often to look without being told; 0 means 2 s
	Hold   func() error    // why nothing may be written now, if so; may be nil
	Busy   func() bool     // whether receipts are waited for, so that the mirror goes slower; may be nil
}

// Bounds of what is kept in memory.
const (
	openRepos   = 32
	textHashes  = 50_000
	sheetBytes  = 12 << 20
	treeBytes   = 32 << 20
	blobDigests = 200_000
)

// Mirror follows one tenant's outbox. Its methods may be called concurrently;
// those that write wait for each other.
type Mirror struct {
	cfg         Config
	source      Source
	disk        disk
	page        int // revisions that are worked on at once
	most        int // the same where much waits
	settleEvery time.Duration
	forms       []form

	mu     sync.Mutex // all that follows
	repos  *lru[string, *repo]
	trees  *lru[Hash, []byte]
	texts  *lru[string, Hash] // rendered texts by what they show
	sheets *lru[string, *sheet]
	blobs  *lru[fact.Digest, Hash] // contents whose blob is known
	wholes *lru[fact.Digest, *whole]
	made   *lru[Hash, packEntry] // of wholes, as written in packs
	swept  bool

	commits, failures atomic.Uint64
	trouble           atomic.Pointer[error] // why the last Drain failed
}

// New returns a Mirror that has not yet touched its folder.
func New(cfg Config) *Mirror {
	if cfg.Writes == nil {
		cfg.Writes = cfg.Store
	}
	if cfg.Every <= 0 {
		cfg.Every = 2 * time.Second
	}
	return &Mirror{
		cfg:         cfg,
		source:      cfg.Source,
		page:        pageEntries,
		most:        mostEntries,
		settleEvery: settleEvery,
		forms:       newForms(),
		repos:       newLRU[string](openRepos, func(*repo) int { return 1 }),
		trees:       newLRU[Hash](treeBytes, func(b []byte) int { return len(b) + 200 }),
		texts:       newLRU[string](textHashes, func(Hash) int { return 1 }),
		sheets:      newLRU[string](sheetBytes, (*sheet).size),
		blobs:       newLRU[fact.Digest](blobDigests, func(Hash) int { return 1 }),
		wholes:      newLRU[fact.Digest](wholeBytes, func(w *whole) int { return w.size }),
		made:        newLRU[Hash](madeBytes, func(e packEntry) int { return len(e.zipped) + 300 }),
	}
}

// Stats are figures since the start.
type Stats struct {
	Commits  uint64 // written
	Failures uint64 // rounds that ended with an error
}

// Stats returns the figures.
func (m *Mirror) Stats() Stats {
	return Stats{Commits: m.commits.Load(), Failures: m.failures.Load()}
}

// Trouble returns why the last Drain failed, nil if it did not.
func (m *Mirror) Trouble() error {
	if err := m.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// maxPause bounds the pause between attempts after an error, fullPause that after
// a full disk, which harms nothing and ends from outside.
const (
	maxPause  = 5 * time.Minute
	fullPause = 5 * time.Second
)

// Run follows the outbox until ctx is done, then closes the repositories and
// returns nil. Where a repository cannot be written or something is missing in
// the store, it logs the error, goes on with the other repositories, and tries
// again after a pause; the outbox keeps what is not done.
func (m *Mirror) Run(ctx context.Context) error {
	pause := m.cfg.Every
	for ctx.Err() == nil {
		if m.held() {
			m.wait(ctx, m.cfg.Every, false)
			continue
		}
		began := time.Now()
		done, err := m.Drain(ctx)
		took := time.Since(began)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			m.failures.Add(1)
			m.cfg.Log.Error("mirror is behind", "err", err, "again", pause)
			pause = min(2*pause, maxPause)
			if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, store.ErrReadOnly) {
				pause = fullPause
			}
		default:
			pause = m.cfg.Every
			if done == 0 {
				m.tidy(ctx)
			} else if m.busy() {
				m.wait(ctx, min(took, maxPause), false) // half a processor is for receipts
			}
		}
		m.wait(ctx, pause, err == nil)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closeRepos()
}

// A mirror that shares its processors with reports gives way to them: after every
// few commits it waits while the server is busy, at most giveWay times as long as
// they took, so that it goes on all the same.
const (
	giveWay      = 2
	giveWayEvery = 16
)

// busy tells whether receipts are waited for.
func (m *Mirror) busy() bool { return m.cfg.Busy != nil && m.cfg.Busy() }

// yield gives way to reports after some work.
func (m *Mirror) yield(ctx context.Context, worked time.Duration) {
	if !m.busy() {
		return
	}
	const step = 5 * time.Millisecond
	t := time.NewTimer(step)
	defer t.Stop()
	for waited := time.Duration(0); waited < giveWay*worked && m.busy(); waited += step {
		t.Reset(step)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// held tells whether nothing may be written now. The reason is not logged: who
// holds the mirror has said it.
func (m *Mirror) held() bool {
	if m.cfg.Hold == nil {
		return false
	}
	err := m.cfg.Hold()
	if err == nil {
		return false
	}
	err = fmt.Errorf("the git mirror waits: %w", err)
	m.trouble.Store(&err)
	return true
}

// linger is how long Run waits for more after it was woken: one pack for the
// revisions of a moment is much smaller than a pack for each.
const linger = time.Second

// wait waits for the pause, or for something new unless there was an error.
func (m *Mirror) wait(ctx context.Context, pause time.Duration, wake bool) {
	t := time.NewTimer(pause)
	defer t.Stop()
	woken := m.cfg.Wake
	if !wake {
		woken = nil
	}
	select {
	case <-ctx.Done():
		return
	case <-t.C:
		return
	case <-woken:
	}
	t.Reset(linger)
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// tidy does in idle moments what readers profit from.
func (m *Mirror) tidy(ctx context.Context) {
	if err := m.Tidy(ctx); err != nil && ctx.Err() == nil {
		m.failures.Add(1)
		m.cfg.Log.Error("mirror cannot be tidied", "err", err)
	}
}

// Tidy refreshes the commit-graph of the repositories in use and removes merged
// packs that no reader needs any more. Run calls it when there is nothing to do.
func (m *Mirror) Tidy(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.cfg.Now()
	for e := m.repos.order.Front(); e != nil && ctx.Err() == nil; e = e.Next() {
		r := e.Value.(lruItem[string, *repo]).value
		if err := r.expire(now); err != nil {
			return err
		}
		if _, err := r.refreshGraph(now); err != nil {
			return err
		}
	}
	return nil
}

// open returns the repository at a path, which is made if it is not there.
func (m *Mirror) open(path string) (*repo, error) {
	if r, ok := m.repos.get(path); ok {
		return r, nil
	}
	if err := m.prepare(); err != nil {
		return nil, err
	}
	r, err := openRepo(m.disk, m.cfg.Dir, repoFile(path), m.trees)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, old := range m.repos.put(path, r) {
		errs = append(errs, old.close())
	}
	return r, errors.Join(errs...)
}

// prepare makes the folder and removes what a crash has left in it.
func (m *Mirror) prepare() error {
	if m.swept {
		return nil
	}
	if err := os.MkdirAll(m.cfg.Dir, 0o750); err != nil {
		return fmt.Errorf("make folder of the mirror: %w", err)
	}
	if err := m.disk.sweep(m.cfg.Dir); err != nil {
		return err
	}
	m.swept = true
	return nil
}

// forget closes a repository after an error, so that it is read anew.
func (m *Mirror) forget(path string) error {
	e, ok := m.repos.at[path]
	if !ok {
		return nil
	}
	return m.repos.remove(e).close()
}

func (m *Mirror) closeRepos() error {
	var errs []error
	for _, r := range m.repos.clear() {
		errs = append(errs, r.close())
	}
	m.swept = false
	return errors.Join(errs...)
}

// Path returns where the repository of a school ("elm/north") lies.
func (m *Mirror) Path(repo string) string { return filepath.Join(m.cfg.Dir, repoFile(repo)) }

// repoFile is the repository's path below the mirror's folder. A component that
// ends in ".git" must not pass for a repository.
func repoFile(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		p = safeName(p)
		if rest, ok := strings.CutSuffix(p, ".git"); ok {
			p = rest + "%2Egit"
		}
		parts[i] = p
	}
	return filepath.Join(parts...) + ".git"
}
