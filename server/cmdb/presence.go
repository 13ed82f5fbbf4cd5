package cmdb

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"rollcall/server/store"
)

// The values of presence, which is derived from when a CI was last heard of.
const (
	Live      = "live"
	Silent    = "silent"
	NeverSeen = "never-seen"
)

// Presence knows when each CI was last heard of. It lives in memory, since every
// unchanged tick updates it, and is saved now and then: after a crash the last
// minute is missing, which the next ticks mend.
type Presence struct {
	SilentAfter time.Duration // 0: three days

	mu    sync.Mutex
	seen  map[string]int64 // CI → milliseconds
	dirty map[uint64]bool  // parts to save
}

// seenParts is how many records presence is spread over, so that each stays
// below the store's limits up to about 400,000 CIs. It is on disk: a promise.
const seenParts = 256

// LoadPresence reads what Save wrote.
func LoadPresence(ctx context.Context, e store.Engine, tenant string, silentAfter time.Duration) (*Presence, error) {
	p := &Presence{SilentAfter: silentAfter, seen: map[string]int64{}, dirty: map[uint64]bool{}}
	err := e.View(ctx, func(r store.Reader) error {
		for part := range uint64(seenParts) {
			b, err := store.GetFramed(r, seenKey(tenant, part))
			if err != nil {
				return err
			}
			for len(b) >= 30 {
				p.seen[string(b[:22])] = int64(binary.BigEndian.Uint64(b[22:]))
				b = b[30:]
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read presence: %w", err)
	}
	return p, nil
}

// Heard notes that a CI was heard of.
func (p *Presence) Heard(ci string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ms := at.UnixMilli(); len(ci) == 22 && ms > p.seen[ci] {
		p.seen[ci] = ms
		p.dirty[partOf(ci)] = true
	}
}

// Count returns of how many CIs anything has ever been heard.
func (p *Presence) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.seen)
}

// Last returns when a CI was last heard of; the zero time if never.
func (p *Presence) Last(ci string) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ms := p.seen[ci]; ms != 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

// Of returns Live, Silent or NeverSeen as of now.
func (p *Presence) Of(ci string, now time.Time) string {
	last := p.Last(ci)
	after := p.SilentAfter
	if after == 0 {
		after = 72 * time.Hour
	}
	switch {
	case last.IsZero():
		return NeverSeen
	case now.Sub(last) > after:
		return Silent
	}
	return Live
}

// Save writes what has changed since the last Save.
func (p *Presence) Save(ctx context.Context, e store.Updater, tenant string) error {
	p.mu.Lock()
	parts := map[uint64][]byte{}
	for part := range p.dirty {
		parts[part] = nil
	}
	for _, ci := range slices.Sorted(maps.Keys(p.seen)) {
		if b, ok := parts[partOf(ci)]; ok {
			parts[partOf(ci)] = binary.BigEndian.AppendUint64(append(b, ci...), uint64(p.seen[ci]))
		}
	}
	p.dirty = map[uint64]bool{}
	p.mu.Unlock()
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		err := store.UpdateAgain(ctx, e, func(tx store.Tx) error {
			return store.PutFramed(tx, seenKey(tenant, part), parts[part])
		})
		if err != nil {
			p.unsaved(parts)
			return fmt.Errorf("save presence: %w", err)
		}
		delete(parts, part)
	}
	return nil
}

// unsaved marks parts for the next Save.
func (p *Presence) unsaved(parts map[uint64][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for part := range parts {
		p.dirty[part] = true
	}
}

func partOf(ci string) uint64 {
	var h uint64
	for i := range len(ci) {
		h = h*31 + uint64(ci[i])
	}
	return h % seenParts
}
