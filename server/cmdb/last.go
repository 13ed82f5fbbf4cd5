package cmdb

import (
	"bytes"
	"encoding/json"
	"fmt"

	"rollcall/server/store"
)

// Last is what the newest report said beside facts: it is replaced, never
// history.
type Last struct {
	AgentVersion string            `json:"agent_version,omitempty"`
	Collectors   []CollectorStatus `json:"collectors,omitempty"`
	Measurements []byte            `json:"measurements,omitempty"` // encoded fact.Set
}

// CollectorStatus is how one collector fared.
type CollectorStatus struct {
	Name   string `json:"name"`
	Status int32  `json:"status"` // as in the wire's CollectorStatus
	Detail string `json:"detail,omitempty"`
	TookMS uint32 `json:"took_ms,omitempty"`
}

// maxLast is what Last may take as it is stored, in bytes.
const maxLast = 56 << 10

// PutLast stores what the newest report of a CI said. What is too much to be
// stored is left out, the least telling first: it is no part of history, and no
// reason to refuse the report.
func (w Writer) PutLast(ci string, l Last) error {
	for _, less := range []func(){
		func() {},
		func() {
			for i := range l.Collectors {
				l.Collectors[i].Detail = ""
			}
		},
		func() { l.Measurements = nil },
		func() { l.Collectors = nil },
	} {
		less()
		b, err := json.Marshal(l)
		if err != nil {
			return fmt.Errorf("encode last report of CI %s: %w", ci, err)
		}
		if len(b) <= maxLast {
			key := lastKey(w.tenant, ci)
			framed := store.Frame(key, 1, b)
			if have, err := w.tx.Get(key); err != nil || bytes.Equal(have, framed) {
				return err
			}
			return w.tx.Put(key, framed)
		}
	}
	return fmt.Errorf("last report of CI %s: %w: more than %d bytes", ci, ErrInvalid, maxLast)
}

// Last returns what the newest report of a CI said, or ErrNotFound for one outside
// of the scope.
func (v View) Last(ci string) (Last, error) {
	var l Last
	if err := v.inScope(ci); err != nil {
		return l, err
	}
	_, err := store.GetJSON(v.r, lastKey(v.tenant, ci), &l)
	return l, err
}
