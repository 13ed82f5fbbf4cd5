package cmdb

import "rollcall/server/store"

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

// PutLast stores what the newest report of a CI said.
func (w Writer) PutLast(ci string, l Last) error { return w.put(lastKey(w.tenant, ci), l) }

// Last returns what the newest report of a CI said.
func (v View) Last(ci string) (Last, error) {
	var l Last
	_, err := store.GetJSON(v.r, lastKey(v.tenant, ci), &l)
	return l, err
}
