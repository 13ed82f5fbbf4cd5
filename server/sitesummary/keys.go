package sitesummary

import (
	"context"
	"errors"
	"time"

	"rollcall/server/store"
)

// Keys of this package. Changing one breaks every existing database.
//
//	space   key                      value
//	Record  <t>/sitesummary/<entry>  Entry, framed JSON
func entryKey(tenant, entry string) store.Key {
	return store.At(store.Record, tenant, "/sitesummary/", entry)
}

// Entry is what is kept of a machine that uploads, beside its CI.
type Entry struct {
	ID    string    `json:"id"` // as sitesummary calls it, "ether-MAC"
	CI    string    `json:"ci"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Events are the event-like facts of the last upload, as an encoded fact.Set.
	Events []byte `json:"events,omitempty"`
}

// Entries returns all machines that have uploaded.
func Entries(r store.Reader, tenant string) ([]Entry, error) {
	return store.ListJSON[Entry](r, store.Record, entryKey(tenant, "").K)
}

// Forget removes what is kept of uploads for a CI that is erased.
func Forget(ctx context.Context, e store.Engine, u store.Updater, tenant, ci string) error {
	var gone []store.Key
	err := e.View(ctx, func(r store.Reader) error {
		gone = nil
		all, err := Entries(r, tenant)
		for _, entry := range all {
			if entry.CI == ci {
				gone = append(gone, entryKey(tenant, entry.ID))
			}
		}
		return err
	})
	for _, k := range gone {
		err = errors.Join(err, store.UpdateAgain(ctx, u, func(tx store.Tx) error { return tx.Delete(k) }))
	}
	return err
}
