package cmdb

import (
	"bytes"
	"encoding/json"
	"fmt"

	"rollcall/server/store"
)

// Governed names the record of a site, "site/PATH", and gives what people decided
// of it, which is all. The name is empty for a record of another kind; content is
// nil where v is.
func Governed(tenant string, k store.Key, v []byte) (name string, content []byte, err error) {
	path, ok := bytes.CutPrefix(k.K, siteKey(tenant, "").K)
	if k.Space != store.Record || !ok {
		return "", nil, nil
	}
	name = "site/" + string(path)
	if v == nil {
		return name, nil, nil
	}
	var s Site
	if err := store.DecodeJSON(k, v, &s); err != nil {
		return name, nil, err
	}
	if content, err = json.Marshal(s); err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return name, content, err
}
