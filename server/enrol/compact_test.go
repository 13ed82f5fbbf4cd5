package enrol_test

import (
	"reflect"
	"testing"
	"time"

	"rollcall/server/enrol"
	"rollcall/server/store"
)

// A field that is added to a key and not to its stored form would be lost without
// a word.
func TestWhatIsStoredCompactlyComesBackWhole(t *testing.T) {
	for _, want := range []any{new(enrol.Key), new(enrol.Chain)} {
		fill(reflect.ValueOf(want).Elem())
		k := store.At(store.Record, "t/compact")
		tx := store.NewOverlay(nothing{})
		got := reflect.New(reflect.TypeOf(want).Elem()).Interface()
		if err := store.PutJSON(tx, k, reflect.ValueOf(want).Elem().Interface()); err != nil {
			t.Fatal(err)
		}
		if _, err := store.GetJSON(tx, k, got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v\nwant %+v", got, err, want)
		}
	}
}

// fill sets every field to something that is no other's.
func fill(v reflect.Value) {
	for i := range v.NumField() {
		n := int64(i + 300)
		switch f := v.Field(i); f.Interface().(type) {
		case time.Time:
			f.Set(reflect.ValueOf(time.Unix(n, n).UTC()))
		case []byte:
			f.SetBytes([]byte{byte(i), 0})
		case []uint64:
			f.Set(reflect.ValueOf([]uint64{uint64(i), 1 << 40}))
		case []enrol.Vote:
			f.Set(reflect.ValueOf([]enrol.Vote{{By: "kari"}}))
		default:
			switch {
			case f.Kind() == reflect.String:
				f.SetString("text " + v.Type().Field(i).Name)
			case f.Kind() == reflect.Bool:
				f.SetBool(true)
			case f.CanInt():
				f.SetInt(n)
			default:
				f.SetUint(uint64(n))
			}
		}
	}
}

func FuzzReadCompactRecords(f *testing.F) {
	f.Add([]byte{1, 3, 'k', 'e', 'y'})
	f.Add([]byte{6, 9})
	f.Fuzz(func(t *testing.T, payload []byte) {
		k := store.At(store.Record, "t/x")
		for _, v := range []any{&enrol.Key{}, &enrol.Chain{}} {
			if err := store.DecodeJSON(k, store.Frame(k, 2, payload), v); err != nil {
				continue
			}
			again := reflect.New(reflect.TypeOf(v).Elem()).Interface()
			tx := store.NewOverlay(nothing{})
			if err := store.PutJSON(tx, k, reflect.ValueOf(v).Elem().Interface()); err != nil {
				continue // beyond the limits of a value
			}
			if _, err := store.GetJSON(tx, k, again); err != nil {
				t.Errorf("%+v cannot be read again: %v", v, err)
			}
		}
	})
}

type nothing struct{}

func (nothing) Get(store.Key) ([]byte, error)              { return nil, nil }
func (nothing) GetMany(keys []store.Key) ([][]byte, error) { return make([][]byte, len(keys)), nil }
