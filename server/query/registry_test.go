package query_test

import (
	"errors"
	"testing"

	"rollcall/server/query"
)

// Only what is listed can be asked for and sorted by: an unknown word is an error
// with its column, never a column of a table (CVE-2026-26186).
func TestClass04AnUnknownFieldIsAnError(t *testing.T) {
	for _, filter := range []string{
		"hash = x", "password = x", "secret = x", "token = x", "epoch = x", "1=1; drop table ci", "name = x order by hash",
		"name = 'x' union select 1", "name; = x", "__proto__ = x", "ci.hash = x", "name = x --",
	} {
		var syntax *query.SyntaxError
		if _, err := query.Parse(filter, nil); err != nil && !errors.As(err, &syntax) {
			t.Errorf("%q: %v, want a SyntaxError", filter, err)
		} else if err == nil && filter[:4] == "name" {
			t.Errorf("%q is taken", filter)
		}
	}
}
