package enrol

import (
	"fmt"

	"rollcall/server/store"
)

// MayMerge returns an error if a CI cannot be merged into another one as far as keys
// are concerned: ErrState while a key speaks for it, because what that key says next
// would have no CI; ErrTrust where one of the two is a seat that boots from the
// network, which is found anew by its card and never becomes another CI. What only a
// boot server has told of may turn out to be such a seat.
func (w Writer) MayMerge(other, into string) error {
	id, err := store.GetFramed(w.tx, ownerKey(w.tenant, other))
	if err != nil {
		return err
	}
	if id != nil {
		k, found, err := w.key(string(id))
		if err != nil {
			return err
		}
		if found && k.State == Enrolled {
			return fmt.Errorf("merge CI %s: %w: key %s speaks for it: merge the other way round, or revoke it first", other, ErrState, k.ID)
		}
	}
	_, trust, _, err := w.items.Standing(other)
	if err != nil {
		return err
	}
	_, of, _, err := w.items.Standing(into)
	if err == nil && (trust == T0 || of == T0 && trust != observed) {
		err = fmt.Errorf("merge CI %s: %w", other, ErrTrust)
	}
	return err
}

// observed is the trust class of a CI that only boot servers tell of, see package cmdb.
const observed = "observed"
