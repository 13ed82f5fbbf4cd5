package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"rollcall/server/api"
	"rollcall/server/store"

	"golang.org/x/sys/unix"
)

// How often the room is looked at: one statfs(2) of some microseconds. Before a
// write it is not older than freshRoom, so that what comes in between is less than
// any reserve that the configuration allows.
const (
	roomEvery = time.Second
	freshRoom = 100 * time.Millisecond
)

const (
	leastReserve  = 512 << 20
	leastInodes   = 1000
	roomAfterFull = 2 * time.Second // how long a write that the file system itself refused stops the others
)

// space is what a file system has left.
type space struct {
	size, free     uint64 // bytes; free for those who are not root
	inodes, unused uint64 // 0, 0 where the file system makes them as needed
}

func statfs(dir string) (space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return space{}, fmt.Errorf("look at the room in %s: %w", dir, err)
	}
	block := uint64(s.Bsize)
	return space{size: s.Blocks * block, free: s.Bavail * block, inodes: s.Files, unused: s.Ffree}, nil
}

// room watches the file system of the data folder and closes the store for writing
// before it is full: a file system without any room is one on which nothing can be
// repaired. What is read is not affected, and nothing that was acknowledged: it is
// on disk already. Writing is possible again by itself once there is room.
type room struct {
	dir     string
	reserve uint64 // configured; 0: the larger of 2 % and 512 MiB
	statfs  func(dir string) (space, error)
	now     func() time.Time
	log     *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	space   space
	refused time.Time // when a write found the disk full all the same
	said    string
	why     string // empty: there is room
	since   time.Time
}

func newRoom(cfg Config, log *slog.Logger) *room {
	return &room{dir: cfg.Data, reserve: uint64(cfg.Reserve), statfs: statfs, now: time.Now, log: log}
}

// Err returns store.ErrReadOnly, with the reason, while there is too little room.
func (r *room) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if age := r.now().Sub(r.looked); age < 0 || age >= freshRoom {
		r.look()
	}
	if r.why == "" {
		return nil
	}
	return fmt.Errorf("%w: %s", store.ErrReadOnly, r.why)
}

// Failed tells of a write that the store refused: a quota, or a file system that
// has less room than it says.
func (r *room) Failed(err error) {
	if !errors.Is(err, store.ErrReadOnly) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused, r.said = r.now(), strings.TrimPrefix(err.Error(), store.ErrReadOnly.Error()+": ")
	r.look()
}

// Condition tells how things stand.
func (r *room) Condition() api.Condition {
	r.mu.Lock()
	defer r.mu.Unlock()
	return api.Condition{
		ReadOnly: r.why != "", Why: r.why, Since: r.since, Free: r.space.free, Reserve: r.floor(), FreeInodes: r.space.unused,
	}
}

// watch looks from time to time until ctx ends, so that whoever waits is served
// soon after there is room again.
func (r *room) watch(ctx context.Context) {
	t := time.NewTicker(roomEvery)
	defer t.Stop()
	for {
		r.mu.Lock()
		r.look()
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// look asks the file system. Who asks holds the mutex. A file system that does not
// answer is no reason to refuse: the store will say what is wrong with it.
func (r *room) look() {
	now := r.now()
	s, err := r.statfs(r.dir)
	if err != nil {
		r.log.Error("the room on the disk is not known", "err", err)
		r.looked = now
		return
	}
	r.looked, r.space = now, s
	why := r.reason(now)
	switch {
	case why != "" && r.why == "":
		r.since = now
		r.log.Error("read-only: nothing is taken in until there is room", "why", why)
	case why == "" && r.why != "":
		r.log.Info("there is room again: taking in", "read_only_for", now.Sub(r.since).Round(time.Second).String())
		r.since = now
	}
	r.why = why
}

func (r *room) floor() uint64 {
	if r.reserve > 0 {
		return r.reserve
	}
	return max(r.space.size/50, leastReserve)
}

// reason says why nothing may be written. Once that is so, some more than the
// reserve must be free before it ends, or the server would go to and fro.
func (r *room) reason(now time.Time) string {
	need, inodes := r.floor(), min(leastInodes, max(r.space.inodes/50, 1))
	if r.why != "" {
		need, inodes = need+need/16, inodes+inodes/16
	}
	switch {
	case r.space.free < need:
		return fmt.Sprintf("%s of the disk of %s are free, %s is kept in reserve: free some space", size(r.space.free), r.dir, size(r.floor()))
	case r.space.inodes > 0 && r.space.unused < inodes:
		return fmt.Sprintf("%d files can still be made on the disk of %s (inodes): remove some files", r.space.unused, r.dir)
	case !r.refused.IsZero() && now.Sub(r.refused) >= 0 && now.Sub(r.refused) < roomAfterFull:
		return "the last write found no room: " + r.said
	}
	return ""
}

// roomForCopy returns an error if a copy of the store has no room in folder dir, or
// would take the reserve of a server that shares the disk. What is told beforehand
// need not be cleaned up.
func roomForCopy(cfg Config, dir string) error {
	info, err := os.Stat(cfg.database())
	if err != nil {
		return fmt.Errorf("size of the store: %w", err)
	}
	r := newRoom(cfg, nil)
	if r.space, err = statfs(dir); err != nil {
		return err
	}
	need := uint64(info.Size())
	if shared, err := sameDisk(cfg.Data, dir); err != nil {
		return err
	} else if shared {
		need += r.floor()
	}
	if r.space.free < need {
		return fmt.Errorf("a copy needs %s in %s and %s are free: %w: free some space or name another disk", size(need), dir, size(r.space.free), unix.ENOSPC)
	}
	return nil
}

func sameDisk(a, b string) (bool, error) {
	var at [2]unix.Stat_t
	for i, name := range []string{a, b} {
		if err := unix.Stat(name, &at[i]); err != nil {
			return false, fmt.Errorf("look at %s: %w", name, err)
		}
	}
	return at[0].Dev == at[1].Dev, nil
}

// size writes a number of bytes for people.
func size(n uint64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
