package auth

import (
	"bytes"
	"encoding/json"
	"fmt"

	"rollcall/server/store"
)

// Governed names the record of an operator, "operator/NAME", and gives all of it:
// nothing in it changes without a person, or a program, who decides so. The name is
// empty for a record of another kind; content is nil where v is.
func Governed(tenant string, k store.Key, v []byte) (name string, content []byte, err error) {
	id, ok := bytes.CutPrefix(k.K, operatorKey(tenant, "").K)
	if k.Space != store.Record || !ok {
		return "", nil, nil
	}
	name = "operator/" + string(id)
	if v == nil {
		return name, nil, nil
	}
	var o Operator
	if err := store.DecodeJSON(k, v, &o); err != nil {
		return name, nil, err
	}
	o = o.opened()
	o.Created = o.Created.UTC()
	if content, err = json.Marshal(o); err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return name, content, err
}
