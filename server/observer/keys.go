package observer

import (
	"context"

	"rollcall/server/store"
)

// Keys of this package. Changing one breaks every existing database.
//
//	space   key                  value
//	Record  <t>/observer/<ci>    Observer, framed JSON
func observerKey(tenant, ci string) store.Key {
	return store.At(store.Record, tenant, "/observer/", ci)
}

// Observer is what is kept of a boot server beside its CI.
type Observer struct {
	Made int `json:"made"` // CIs that were made because it told of them
}

// Forget removes what is kept of an observer whose CI is erased.
func Forget(ctx context.Context, u store.Updater, tenant, ci string) error {
	return store.UpdateAgain(ctx, u, func(tx store.Tx) error { return tx.Delete(observerKey(tenant, ci)) })
}
