package mirror

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"rollcall/server/store"
)

// Keys of this package, in space Record. Changing one breaks every database.
//
//	<t>/out/mirror/<stamp be64><ci>   revision number be64, written by cmdb
//	<t>/mirror/watermark              stamp be64 up to which everything is mirrored
const (
	outboxPrefix  = "/out/mirror/"
	watermarkName = "/mirror/watermark"
)

const (
	pageEntries = 1000 // revisions that are worked on at once
	// mostEntries are worked on at once where more than a page waits. Each page opens
	// every repository that it has something for, and leaves a pack there: when the
	// machines of a thousand schools report in one night, a page has one of each.
	mostEntries   = 20 * pageEntries
	deleteEntries = 200 // outbox entries removed in one transaction
	// settleEvery is how often the outbox is told within a page, so that whoever
	// asks sees a long one go on.
	settleEvery = time.Second
)

// outboxEntry is one revision that waits to be mirrored.
type outboxEntry struct {
	key   store.Key
	stamp int64
	ci    string
	n     uint64
}

// outbox reads the next entries after a key, at most limit; a nil key is the
// beginning.
func (m *Mirror) outbox(ctx context.Context, after []byte, limit int) ([]outboxEntry, error) {
	prefix := []byte(m.cfg.Tenant + outboxPrefix)
	from := prefix
	if after != nil {
		from = append(bytes.Clone(after), 0)
	}
	var page []outboxEntry
	err := m.cfg.Store.View(ctx, func(r store.Reader) error {
		page = page[:0]
		for p, err := range r.Scan(store.Record, from, store.PrefixEnd(prefix), limit) {
			if err != nil {
				return err
			}
			e, err := parseEntry(len(prefix), p)
			if err != nil {
				return err
			}
			page = append(page, e)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read outbox of the mirror: %w", err)
	}
	return page, nil
}

func parseEntry(prefix int, p store.Pair) (outboxEntry, error) {
	e := outboxEntry{key: store.Key{Space: store.Record, K: bytes.Clone(p.K)}}
	_, n, err := store.Unframe(e.key, p.V)
	if err != nil {
		return e, err
	}
	rest := e.key.K[prefix:]
	if len(rest) <= 8 || len(n) != 8 {
		return e, fmt.Errorf("outbox entry %q is malformed: restore a backup", e.key.K)
	}
	e.stamp = int64(binary.BigEndian.Uint64(rest))
	e.ci = string(rest[8:])
	e.n = binary.BigEndian.Uint64(n)
	return e, nil
}

// settle removes entries that are done, and then moves the watermark, unless that
// is 0.
func (m *Mirror) settle(ctx context.Context, done []outboxEntry, watermark int64) error {
	if err := m.disk.at("before outbox"); err != nil {
		return err
	}
	for len(done) > 0 || watermark != 0 {
		part := done[:min(len(done), deleteEntries)]
		done = done[len(part):]
		var moved int64
		if len(done) == 0 {
			moved, watermark = watermark, 0
		}
		if err := m.clear(ctx, part, moved); err != nil {
			return fmt.Errorf("clear outbox of the mirror: %w", err)
		}
		if err := m.disk.at("outbox cleared"); err != nil {
			return err
		}
	}
	return nil
}

// clear is one transaction of settle.
func (m *Mirror) clear(ctx context.Context, part []outboxEntry, watermark int64) error {
	return m.cfg.Writes.Update(ctx, func(tx store.Tx) error {
		for _, e := range part {
			if err := tx.Delete(e.key); err != nil {
				return err
			}
		}
		if watermark == 0 {
			return nil
		}
		key := store.At(store.Record, m.cfg.Tenant, watermarkName)
		return store.PutFramed(tx, key, binary.BigEndian.AppendUint64(nil, uint64(watermark)))
	})
}

// Backlog counts the revisions that wait to be mirrored.
func (m *Mirror) Backlog(ctx context.Context) (int, error) {
	prefix := []byte(m.cfg.Tenant + outboxPrefix)
	n := 0
	err := m.cfg.Store.View(ctx, func(r store.Reader) error {
		n = 0
		for _, err := range r.Scan(store.Record, prefix, store.PrefixEnd(prefix), 0) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("count outbox of the mirror: %w", err)
	}
	return n, nil
}

// Watermark returns the stamp up to which every revision is mirrored, 0 if none
// is known to be.
func (m *Mirror) Watermark(ctx context.Context) (int64, error) {
	var stamp int64
	err := m.cfg.Store.View(ctx, func(r store.Reader) error {
		b, err := store.GetFramed(r, store.At(store.Record, m.cfg.Tenant, watermarkName))
		if err != nil || len(b) != 8 {
			return err
		}
		stamp = int64(binary.BigEndian.Uint64(b))
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read watermark of the mirror: %w", err)
	}
	return stamp, nil
}
