package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// maxDecide bounds the search for a lost outcome. It must stay far below
// keepEntries: a pruned entry would read as "not committed".
const maxDecide = 5 * time.Minute

// resolve finds out whether a batch was committed whose answer was lost. It
// returns nil if it was, errVoid if it was not and never will be, and an error
// that wraps lost if that cannot be found out.
//
// Reading alone would not do: the lost commit may still be under way on another
// machine. So the number is claimed for a void entry; of two transactions that
// write the same absent key, the engine lets one through.
func (l *lane) resolve(ctx context.Context, b *batch, lost error) error {
	if l.cfg.Hooks.Unknown != nil {
		l.cfg.Hooks.Unknown()
	}
	k := feedKey(l.id, b.n)
	deadline := time.Now().Add(maxDecide)
	for pause := time.Millisecond; ; pause = min(2*pause, time.Second) {
		committed := false
		err := l.cfg.Engine.Update(ctx, func(tx Tx) error {
			v, err := tx.Get(k)
			if err != nil {
				return err
			}
			if v == nil {
				committed = false
				return tx.Put(k, entry{void: true, at: l.cfg.Now()}.encode(k))
			}
			e, err := decodeEntry(k, v)
			committed = err == nil && !e.void
			return err
		})
		switch {
		case err == nil && committed:
			return nil
		case err == nil:
			return errVoid
		case errors.Is(err, ErrBroken), errors.Is(err, ErrClosed), ctx.Err() != nil, time.Now().After(deadline):
			return fmt.Errorf("%w (%w)", lost, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}
