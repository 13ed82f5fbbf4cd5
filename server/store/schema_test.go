package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"rollcall/server/store"
	"rollcall/server/store/storetest"
)

func TestSchemaIsWrittenOnceAndKept(t *testing.T) {
	e := storetest.Weak(storetest.Seed(t))
	for range 3 {
		if err := store.Schema(t.Context(), e); err != nil {
			t.Errorf("Schema: %v", err)
		}
	}
}

// A program of the version before must not read what this one writes.
func TestSchemaOfAnOlderProgramBecomesThePresentOne(t *testing.T) {
	e := storetest.Weak(storetest.Seed(t))
	schema := store.At(store.Meta, store.System, "/schema")
	if err := store.UpdateAgain(t.Context(), e, func(tx store.Tx) error { return store.PutFramed(tx, schema, []byte{0, 0, 0, 0, 0, 0, 0, 1}) }); err != nil {
		t.Fatal(err)
	}
	if err := store.Schema(t.Context(), e); err != nil {
		t.Fatalf("Schema: %v", err)
	}
	if err := e.View(t.Context(), func(r store.Reader) error {
		b, err := store.GetFramed(r, schema)
		if want := binary.BigEndian.AppendUint64(nil, store.SchemaVersion); !bytes.Equal(b, want) {
			t.Errorf("the store has version %x, want %x", b, want)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestSchemaRefusesWhatIsNotItsOwn(t *testing.T) {
	schema := store.At(store.Meta, store.System, "/schema")
	for _, tt := range []struct {
		claim string
		k     store.Key
		v     []byte
		want  error
	}{
		{"a newer program's", schema, store.Frame(schema, 1, binary.BigEndian.AppendUint64(nil, store.SchemaVersion+1)), store.ErrSchema},
		{"keys without a version", store.At(store.Event, "t/x"), nil, store.ErrSchema},
		{"a damaged version", schema, []byte("damaged!!"), store.ErrCorrupt},
		{"a version in an unknown form", schema, store.Frame(schema, 2, nil), store.ErrCorrupt},
	} {
		e := storetest.Weak(storetest.Seed(t))
		if err := store.UpdateAgain(t.Context(), e, func(tx store.Tx) error { return tx.Put(tt.k, tt.v) }); err != nil {
			t.Fatalf("Update: %v", err)
		}
		if err := store.Schema(t.Context(), e); !errors.Is(err, tt.want) {
			t.Errorf("%s: Schema = %v, want %v", tt.claim, err, tt.want)
		}
	}
}

func TestUpdateAgainGivesUpInTheEnd(t *testing.T) {
	e := storetest.Weak(storetest.Seed(t))
	e.Unknown = 1
	if err := store.UpdateAgain(t.Context(), e, func(store.Tx) error { return nil }); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("UpdateAgain on an engine that loses all answers = %v, want ErrUnknown", err)
	}
}
