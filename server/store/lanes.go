package store

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// scanLane yields the remembered entries of a lane after a number.
func scanLane(r Reader, lane string, after uint64, limit int, each func(n uint64, k Key, v []byte) error) error {
	from := feedKey(lane, after+1).K
	to := PrefixEnd([]byte(System + "/" + lane + "/"))
	for p, err := range r.Scan(Feed, from, to, limit) {
		if err != nil {
			return err
		}
		_, n, ok := parseFeedKey(p.K)
		if !ok {
			return &CorruptError{Key: Key{Feed, p.K}, Reason: "not a feed key"}
		}
		if err := each(n, Key{Feed, p.K}, p.V); err != nil {
			return err
		}
	}
	return nil
}

// lanesOf lists the lanes of which the feed remembers something: one seek each.
func lanesOf(r Reader) ([]string, error) {
	var lanes []string
	from := []byte(System + "/")
	end := PrefixEnd(from)
	for {
		found := false
		for p, err := range r.Scan(Feed, from, end, 1) {
			if err != nil {
				return nil, err
			}
			lane, _, ok := parseFeedKey(p.K)
			if !ok {
				return nil, &CorruptError{Key: Key{Feed, slices.Clone(p.K)}, Reason: "not a feed key"}
			}
			lanes, found = append(lanes, lane), true
			from = PrefixEnd([]byte(System + "/" + lane + "/"))
		}
		if !found {
			return lanes, nil
		}
	}
}

// heads returns the last remembered number of every lane.
func (f *ChangeFeed) heads(ctx context.Context) (map[string]uint64, error) {
	heads := map[string]uint64{}
	err := f.cfg.Engine.View(ctx, func(r Reader) error {
		clear(heads)
		lanes, err := lanesOf(r)
		if err != nil {
			return err
		}
		for _, lane := range lanes {
			if err := scanLane(r, lane, 0, 0, func(n uint64, _ Key, _ []byte) error {
				heads[lane] = n
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read heads of the lanes: %w", err)
	}
	return heads, nil
}

// poll applies what lanes of other processes have committed.
func (f *ChangeFeed) poll(ctx context.Context, fo *follower, apply func([]string) error) error {
	at := f.position(fo)
	var dirty []string
	gap := false
	err := f.cfg.Engine.View(ctx, func(r Reader) error {
		dirty, gap = nil, false
		lanes, err := lanesOf(r)
		if err != nil {
			return err
		}
		for _, lane := range lanes {
			if f.isOwn(lane) {
				continue
			}
			if err := scanLane(r, lane, at[lane], pollMax, func(n uint64, k Key, v []byte) error {
				e, err := decodeEntry(k, v)
				if err != nil {
					return err
				}
				gap = gap || n != at[lane]+1
				dirty = append(dirty, e.dirty...)
				at[lane] = n
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case gap: // further behind than the feed remembers
		return f.reload(ctx, fo, apply)
	}
	slices.Sort(dirty)
	if dirty = slices.Compact(dirty); len(dirty) > 0 {
		if err := apply(dirty); err != nil {
			return err
		}
	}
	f.mu.Lock()
	for lane, n := range at {
		fo.applied[lane] = max(fo.applied[lane], n)
	}
	f.mu.Unlock()
	f.notify()
	return nil
}

func (f *ChangeFeed) isOwn(lane string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.own[lane]
}

// Prune deletes the entries that are older than an hour and returns how many.
func (f *ChangeFeed) Prune(ctx context.Context) (int, error) {
	total := 0
	for {
		old, err := f.oldEntries(ctx, f.cfg.Now().Add(-keepEntries))
		if err != nil {
			return total, fmt.Errorf("prune the feed: %w", err)
		}
		if len(old) == 0 {
			return total, nil
		}
		if err := UpdateAgain(ctx, f.cfg.Engine, func(tx Tx) error {
			for _, k := range old {
				if err := tx.Delete(k); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return total, fmt.Errorf("prune the feed: %w", err)
		}
		total += len(old)
	}
}

// oldEntries returns up to one transaction full of entries from before limit. In
// each lane they are the first ones.
func (f *ChangeFeed) oldEntries(ctx context.Context, limit time.Time) ([]Key, error) {
	var old []Key
	err := f.cfg.Engine.View(ctx, func(r Reader) error {
		old = nil
		lanes, err := lanesOf(r)
		if err != nil {
			return err
		}
		for _, lane := range lanes {
			young := false
			for after := uint64(0); !young && len(old) < MaxTxKeys; {
				seen := 0
				if err := scanLane(r, lane, after, 100, func(n uint64, k Key, v []byte) error {
					e, err := decodeEntry(k, v)
					if err != nil {
						return err
					}
					seen++
					after = n
					young = young || !e.at.Before(limit)
					if !young && len(old) < MaxTxKeys {
						old = append(old, feedKey(lane, n))
					}
					return nil
				}); err != nil {
					return err
				}
				young = young || seen < 100
			}
		}
		return nil
	})
	return old, err
}
