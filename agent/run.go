package agent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"rollcall/agent/uplink"
)

// defaultQuiet is how long nothing may change below /etc before the agent looks: an
// apt run or an editor makes many changes.
const defaultQuiet = 10 * time.Second

// maxWatches bounds the watched folders; the kernel's own limit is shared with
// every other program. What is not watched is seen at the next interval.
const maxWatches = 2000

// Run looks again and again until ctx ends: soon after the start, every
// interval, and after changes. It returns nil when ctx ended, and an error for
// what trying again cannot mend.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.begin(ctx); err != nil {
		return err
	}
	changes := make(chan string, 1)
	w := a.watch()
	if w != nil {
		defer w.Close()
		done := make(chan struct{})
		go func() { defer close(done); a.relay(ctx, w, changes) }()
		defer func() { <-done }()
	}
	wait, reason := a.firstWait(), "start"
	if a.uptime() < 10*time.Minute {
		reason = "boot"
	}
	for {
		if changed := a.await(ctx, wait, changes); changed != "" {
			reason = changed
		}
		if ctx.Err() != nil {
			return nil
		}
		if w != nil {
			a.watchFolders(w) // also those that are new
		}
		wait = a.cycle(ctx, reason)
		reason = "interval"
		a.rest()
	}
}

// await returns when it is time to look, or ctx ended; or earlier, with the reason,
// at a change, if the policy lets it look then.
func (a *Agent) await(ctx context.Context, wait time.Duration, changes <-chan string) (reason string) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ""
		case <-timer.C:
			return ""
		case reason := <-changes:
			if a.policy().WatchEtc {
				return reason
			}
		}
	}
}

// cycle is one look; it returns how long to wait for the next. While the server
// is away, or has asked for patience, looks go on and reports wait on disk; only
// the attempts to reach it are spaced out.
func (a *Agent) cycle(ctx context.Context, reason string) time.Duration {
	sum, err := a.Once(ctx, reason)
	interval := a.policy().Interval
	next := interval - interval/10 + time.Duration(a.rand(int64(interval/5)+1))
	switch {
	case ctx.Err() != nil:
		return 0
	case isFull(err): // somebody has to make room; each look uses one of the reserved numbers
		a.log.Error("there is no room in the state folder", "err", err, "again_in", next)
		return next
	case err != nil:
		wait := a.backoff.Next(0)
		a.log.Error("the look failed", "err", err, "again_in", wait)
		return min(wait, next)
	case sum.early:
		a.log.Info("looked", "reason", reason, "outcome", string(sum.Outcome), "sections", len(sum.Changed), "sends_at", a.notBefore)
		return min(next, max(a.notBefore.Sub(a.now()), time.Second))
	case sum.Problem != "":
		wait := a.backoff.Next(sum.retry)
		a.notBefore = a.now().Add(wait)
		a.log.Warn("the server did not take it", "outcome", string(sum.Outcome), "why", sum.Problem, "again_in", wait)
		return min(wait, next)
	}
	a.notBefore = a.now().Add(min(sum.retry, uplink.MaxRetry))
	a.rotateIfDue(ctx)
	a.log.Info("looked", "reason", reason, "outcome", string(sum.Outcome), "sections", len(sum.Changed), "bytes", sum.Envelope, "took", sum.Took)
	if sum.Recipients == 1 {
		a.log.Warn("ONE RECIPIENT ONLY: if its identity is lost, no secret can be restored")
	}
	if sum.Withheld > 0 {
		a.log.Warn("SECRET FILES CANNOT BE RESTORED: no recipient is configured", "files", sum.Withheld)
	}
	return next
}

// firstWait spreads the first look: after a power cut a whole school boots at
// once.
func (a *Agent) firstWait() time.Duration {
	spread := max(a.cfg.BootSpread, a.memory.Way.Spread) // a large fleet needs more time
	if a.uptime() > 10*time.Minute || !a.cfg.live() {
		spread = min(spread, 5*time.Second) // a restart of the program alone
	}
	return time.Duration(a.rand(int64(spread) + 1))
}

// watch starts to watch /etc and dpkg's record, or returns nil: watching only
// makes the agent look sooner.
func (a *Agent) watch() *fsnotify.Watcher {
	if !a.cfg.WatchEtc {
		return nil
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		a.log.Warn("changes are seen at the next interval only", "err", err)
		return nil
	}
	a.watchFolders(w)
	return w
}

// watchFolders adds the folders that are not watched yet; links are not
// followed, other file systems below are few.
func (a *Agent) watchFolders(w *fsnotify.Watcher) {
	known := map[string]bool{}
	for _, name := range w.WatchList() {
		known[name] = true
	}
	add := func(name string) bool {
		if known[name] {
			return true
		}
		known[name] = true
		if err := w.Add(name); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			a.log.Warn("not all changes are seen at once", "err", err)
			return false
		}
		return len(known) < maxWatches
	}
	if !add(filepath.Join(a.cfg.Root, "var/lib/dpkg")) {
		return
	}
	remote := a.remoteFolders()
	if slices.Contains(remote, filepath.Join(a.cfg.Root, "etc")) {
		return
	}
	err := filepath.WalkDir(filepath.Join(a.cfg.Root, "etc"), func(name string, d os.DirEntry, err error) error {
		if slices.Contains(remote, name) {
			return fs.SkipDir
		}
		if err != nil || !d.IsDir() {
			return nil // what cannot be read is not watched
		}
		if d.Name() == ".git" || !add(name) {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		a.log.Warn("not all changes are seen at once", "err", err)
	}
}

// remoteFolders lists mounts below /etc that may never answer. Without the list of
// mounts the old one stands.
func (a *Agent) remoteFolders() []string {
	if err := a.root.Refresh(); err != nil {
		a.log.Debug("watching", "err", err)
	}
	names := a.root.Remote("etc")
	for i, name := range names {
		names[i] = filepath.Join(a.cfg.Root, "etc", name)
	}
	return names
}

// relay turns bursts of events into one trigger.
func (a *Agent) relay(ctx context.Context, w *fsnotify.Watcher, changes chan<- string) {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	reason := ""
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.Events:
			if !ok {
				return
			}
			what, counts := a.meaning(e)
			if !counts {
				continue
			}
			if reason == "" || what == "apt" {
				reason = what
			}
			timer.Reset(a.quiet)
		case err, ok := <-w.Errors:
			if !ok {
				return
			}
			a.log.Debug("watching", "err", err)
		case <-timer.C:
			select {
			case changes <- reason:
			default: // one is waiting already
			}
			reason = ""
		}
	}
}

// meaning tells whether an event is a reason to look. Reading a file changes its
// access time, which is none.
func (a *Agent) meaning(e fsnotify.Event) (reason string, counts bool) {
	if e.Op == fsnotify.Chmod && filepath.Dir(e.Name) == filepath.Join(a.cfg.Root, "var/lib/dpkg") {
		return "", false
	}
	if filepath.Dir(e.Name) == filepath.Join(a.cfg.Root, "var/lib/dpkg") {
		return "apt", filepath.Base(e.Name) == "status"
	}
	return "etc", true
}
