package index

import (
	"context"
	"fmt"
	"time"

	"rollcall/server/cmdb"
	"rollcall/server/query"
	"rollcall/server/store"
)

// WithMAC returns the ids of the CIs at any site that show a network card with an
// address, as it is now or as the maker gave it: six pairs of small hexadecimal
// digits with colons. Until the index is ready the error is ErrLoading.
func (ix *Index) WithMAC(ctx context.Context, now time.Time, mac string) (ids []string, err error) {
	is := func(path string) query.Expr {
		return query.Term{Target: query.OnFact, Name: path, Op: query.Equal, Values: []string{mac}}
	}
	q := Question{
		Expr: query.Or{Parts: []query.Expr{is("net/*/mac"), is("net/*/permanent")}}, Now: now,
		Read: func(id string) (query.Subject, error) { return nil, fmt.Errorf("CI %s: %w", id, store.ErrCorrupt) },
	}
	err = ix.Look(cmdb.Everywhere, func(v View) error {
		a, err := v.Select(ctx, q)
		if err != nil {
			return err
		}
		for slot := range a.Slots.Slots() {
			ids = append(ids, v.ID(slot))
		}
		return nil
	})
	return ids, err
}
