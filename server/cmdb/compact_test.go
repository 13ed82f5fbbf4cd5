package cmdb_test

import (
	"reflect"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

// A field that is added to a head or a revision and not to its stored form would be
// lost without a word.
func TestWhatIsStoredCompactlyComesBackWhole(t *testing.T) {
	a, b, c := fact.Digest{1}, fact.Digest{2}, fact.Digest{3}
	full := []any{
		&cmdb.CI{
			ID: "ci1", Name: "pc07", Class: "laptop", Site: "elm/north", Status: cmdb.InProduction, Fields: map[string]string{"room": "12", "": "x"},
			State: fact.State{"pkg": a, "etc": b}, Rev: 700, Created: time.Unix(5, 7).UTC(), Changed: time.Unix(1e9, 1).UTC(), Repo: "elm", Folder: "pc07",
			Cloned: true, Trust: "T0", First: 3, LastDeclared: 400,
		},
		&cmdb.Revision{
			CI: "ci1", N: 9, Stamp: 1 << 60, Claimed: 12, By: "agent 00", Report: a.String(), Reason: "boot", State: fact.State{"pkg": a, "etc": b, "hw": c},
			Prev: fact.State{"pkg": c, "hw": c, "net": a}, Fields: map[string]cmdb.Change{"room": {Old: "1", New: "2"}},
			Events: []cmdb.Event{{At: 1, Kind: "k", Text: "t"}}, Name: "pc07", Class: "laptop", Site: "elm", Repo: "elm", Folder: "f", PrevRepo: "p", PrevFolder: "q",
			Declared: "disposed", PrevDeclared: 5,
		},
		&cmdb.Revision{N: 1, Report: "of another form", State: fact.State{"pkg": a}},
		&cmdb.Revision{N: 2, Prev: fact.State{"pkg": a}},
		&cmdb.Revision{N: 3, State: fact.State{"pkg": a}, Prev: fact.State{"pkg": a}},
		&cmdb.Revision{}, &cmdb.CI{},
	}
	for i, v := range full[:2] {
		for f := range reflect.ValueOf(v).Elem().NumField() {
			if reflect.ValueOf(v).Elem().Field(f).IsZero() {
				t.Errorf("record %d: field %s is not tried", i, reflect.TypeOf(v).Elem().Field(f).Name)
			}
		}
	}
	onEngines(t, func(t *testing.T, b *base) {
		k := store.At(store.Event, tenant, "/compact")
		for i, want := range full {
			if err := store.UpdateAgain(t.Context(), b.engine, func(tx store.Tx) error {
				return store.PutJSON(tx, k, reflect.ValueOf(want).Elem().Interface())
			}); err != nil {
				t.Fatal(err)
			}
			got := reflect.New(reflect.TypeOf(want).Elem()).Interface()
			if err := b.engine.View(t.Context(), func(r store.Reader) error {
				_, err := store.GetJSON(r, k, got)
				return err
			}); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("record %d: %+v, %v\nwant %+v", i, got, err, want)
			}
		}
	})
}

// Whatever stands in a record's frame, it is read or refused.
func FuzzReadCompactRecords(f *testing.F) {
	f.Add([]byte{1, 3, 'c', 'i', '1'})
	f.Add([]byte{7, 33})
	f.Fuzz(func(t *testing.T, payload []byte) {
		k := store.At(store.Event, tenant, "/x")
		for _, v := range []any{&cmdb.CI{}, &cmdb.Revision{}} {
			if err := store.DecodeJSON(k, store.Frame(k, 2, payload), v); err != nil {
				continue
			}
			again := reflect.New(reflect.TypeOf(v).Elem()).Interface()
			tx := store.NewOverlay(nothing{})
			if err := store.PutJSON(tx, k, reflect.ValueOf(v).Elem().Interface()); err != nil {
				continue // beyond the limits of a value
			}
			if _, err := store.GetJSON(tx, k, again); err != nil || !reflect.DeepEqual(v, again) {
				t.Errorf("%+v comes back as %+v, %v", v, again, err)
			}
		}
	})
}

type nothing struct{}

func (nothing) Get(store.Key) ([]byte, error)              { return nil, nil }
func (nothing) GetMany(keys []store.Key) ([][]byte, error) { return make([][]byte, len(keys)), nil }
