package store_test

import (
	"errors"
	"testing"

	"rollcall/server/store"
)

// list is a record of one text.
type list struct{ S string }

func (l list) AppendFields(f *store.Fields) error {
	f.Text(9, l.S)
	return nil
}

func (l *list) ReadField(number uint64, v []byte) error {
	if number == 9 {
		l.S = string(v)
	}
	return nil
}

// What an older program stored as JSON is read, what a newer one added is passed
// over, and what is no list of fields is damage.
func TestACompactRecordIsReadInBothForms(t *testing.T) {
	k := store.At(store.Record, "t/x")
	for _, tt := range []struct {
		what string
		raw  []byte
		want error
	}{
		{"JSON", store.Frame(k, 1, []byte(`{"S":"word"}`)), nil},
		{"fields", store.Frame(k, 2, []byte("\x09\x04word")), nil},
		{"an unknown field", store.Frame(k, 2, []byte("\x07\x01x\x09\x04word\x0a\x00")), nil},
		{"a length beyond the end", store.Frame(k, 2, []byte("\x09\x05word")), store.ErrCorrupt},
		{"half a number", store.Frame(k, 2, []byte("\x09\x04word\xff")), store.ErrCorrupt},
		{"a version to come", store.Frame(k, 3, []byte("\x09\x04word")), store.ErrCorrupt},
		{"another key's", store.Frame(store.At(store.Record, "t/y"), 2, []byte("\x09\x04word")), store.ErrCorrupt},
	} {
		var got list
		err := store.DecodeJSON(k, tt.raw, &got)
		if !errors.Is(err, tt.want) || err == nil && got.S != "word" {
			t.Errorf("%s: %q, %v; want %v", tt.what, got.S, err, tt.want)
		}
	}
}
