package ingest

import (
	"context"
	"maps"
	"slices"
	"sync"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/evidence"
)

// maxDays is how many days of ticks wait in memory for a store that takes nothing
// in; older ones are lost.
const maxDays = 3

// days keeps the last tick of each key, by day, until its list is in the log. It is
// memory: a crash loses the days that are not in the log, today's for the most.
type days struct {
	mu   sync.Mutex
	last map[string]map[identity.KeyID]evidence.Tick
}

func (d *days) note(key identity.KeyID, seq uint64, hash fact.Digest, atMS int64, day string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil {
		d.last = map[string]map[identity.KeyID]evidence.Tick{}
	}
	if d.last[day] == nil {
		d.last[day] = map[identity.KeyID]evidence.Tick{}
	}
	d.last[day][key] = evidence.Tick{Key: key, Seq: seq, Envelope: hash, At: atMS}
	for len(d.last) > maxDays {
		delete(d.last, slices.Min(slices.Collect(maps.Keys(d.last))))
	}
}

// over lists the days that wait, but today unless all is set.
func (d *days) over(today string, all bool) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var days []string
	for _, day := range slices.Sorted(maps.Keys(d.last)) {
		if all || day != today {
			days = append(days, day)
		}
	}
	return days
}

func (d *days) list(day string) evidence.TickList {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.last[day]))
}

// done forgets what was written down, but not what came since.
func (d *days) done(day string, l evidence.TickList) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range l {
		if d.last[day][t.Key] == t {
			delete(d.last[day], t.Key)
		}
	}
	if len(d.last[day]) == 0 {
		delete(d.last, day)
	}
}

// LogTicks writes the last tick of each key into the evidence log, one leaf for
// each day that is over; with all also for the day that goes on, as when the server
// stops. What cannot be written waits for the next call.
func (s *Service) LogTicks(ctx context.Context, all bool) error {
	now := s.now()
	for _, day := range s.days.over(evidence.Day(now), all) {
		l := s.days.list(day)
		if err := evidence.PutTicks(ctx, s.Writer, s.Tenant, now, day, l); err != nil {
			return err
		}
		s.days.done(day, l)
	}
	return nil
}
