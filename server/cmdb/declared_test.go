package cmdb_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

// wantFields compares the declared fields as of each revision with what all revisions
// until then lead to.
func (b *base) wantFields(what string) {
	b.t.Helper()
	ci := b.head(id(0))
	b.see(func(v cmdb.View) error {
		var revs []cmdb.Revision
		for r, err := range v.History(ci) {
			if err != nil {
				return err
			}
			revs = append(revs, r)
		}
		want := map[string]string{}
		for _, r := range slices.Backward(revs) {
			for name, c := range r.Fields {
				if want[name] = c.New; c.New == "" {
					delete(want, name)
				}
			}
			if got, err := v.FieldsAsOf(ci, r.N); err != nil || !maps.Equal(got, want) {
				b.t.Errorf("%s: after revision %d: %v, %v, want %v", what, r.N, got, err, want)
			}
		}
		return nil
	})
}

// What was declared at any time is found by going from one declaration to the one
// before, also over records of before that do not tell which one that is, and after
// history was removed.
func TestDeclaredFieldsAreFoundInStoresOfAnyAge(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		lives(b, 40)
		b.wantFields("all links")
		ci := b.head(id(0))
		if ci.LastDeclared == 0 {
			t.Fatal("the head does not tell the last declaration")
		}
		var revs []cmdb.Revision
		b.see(func(v cmdb.View) error {
			for r, err := range v.History(ci) {
				if err != nil {
					return err
				}
				revs = append(revs, r)
			}
			return nil
		})
		for _, r := range revs[len(revs)/2:] { // the older half is of before
			r.PrevDeclared = 0
			b.json(store.At(store.Event, tenant, "/", ci.ID, "/", string([]byte{0, 0, 0, 0, 0, 0, 0, byte(r.N)})), r)
		}
		b.wantFields("links of the newer half")
		ci.LastDeclared = 0
		b.json(store.At(store.CI, tenant, "/", ci.ID), ci)
		b.wantFields("no link in the head")
		if err := b.declare(id(0), "owner", "kari"); err != nil {
			t.Fatal(err)
		}
		b.wantFields("declared since")
		first := revs[len(revs)/3].N
		var fields map[string]string
		b.see(func(v cmdb.View) (err error) {
			fields, err = v.FieldsAsOf(b.head(id(0)), first)
			return err
		})
		b.do(func(w cmdb.Writer) error {
			_, err := w.Prune(id(0), first, fields)
			return err
		})
		b.wantFields("older ones removed")
		ci = b.head(id(0))
		var fold cmdb.Fold
		b.see(func(v cmdb.View) error {
			for n := ci.From(); n <= ci.Rev; n++ {
				r, err := v.Revision(ci.ID, n)
				if err != nil {
					return err
				}
				if err := fold.Add(r); err != nil {
					t.Error(err)
				}
			}
			return nil
		})
		if !fold.Leads(ci) {
			t.Error("the revisions do not lead to the head")
		}
		ci.LastDeclared--
		if fold.Leads(ci) {
			t.Error("a head that names another last declaration passes")
		}
	})
}

func TestDeclaredFieldsOfThePastReadNoYears(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.found(0, "pc", "")
		for n := range 4 {
			if err := b.declare(id(0), "room", fmt.Sprint(n)); err != nil {
				t.Fatal(err)
			}
			for range 50 {
				b.do(func(w cmdb.Writer) error { return w.Note(b.now, id(0), "agent 00", "changed") })
			}
		}
		ci := b.head(id(0))
		err := b.engine.View(t.Context(), func(r store.Reader) error {
			c := readsOf{r, map[store.Space]int{}}
			fields, err := cmdb.At(c, tenant, b.sets, cmdb.Everywhere).FieldsAsOf(ci, 60)
			if err != nil {
				return err
			}
			if fields["room"] != "1" || c.of[store.Event] != 3 {
				t.Errorf("the room was %s, found by reading %d of %d revisions; want 1 by the last three that declared something", fields["room"], c.of[store.Event], ci.Rev)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// What a CI names itself is the image that it booted and the CI that it was merged into.
func TestRelationsAreWhatACINamesItself(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.found(1, "edu12", "")
		b.found(2, "seat", "")
		b.found(3, "old", "")
		b.observe(id(2), map[string]fact.Set{"id": {{Path: "id/image", Value: id(1)}}})
		b.do(func(w cmdb.Writer) error {
			old, err := w.CI(id(3))
			if err != nil {
				return err
			}
			seat, err := w.CI(id(2))
			if err == nil {
				_, _, err = w.Merge(b.now, old, seat, "operator kari", "")
			}
			return err
		})
		b.see(func(v cmdb.View) error {
			for name, want := range map[string][]string{"edu12": nil, "SEAT": {id(1)}, id(3): {id(2)}} {
				ci, names, ok, err := v.Relations(name)
				if err != nil || !ok || !slices.Equal(names, want) || ci != b.head(name).ID {
					t.Errorf("%s is %s, %v, which names %v; want %v", name, ci, err, names, want)
				}
			}
			if _, _, ok, err := v.Relations("nobody"); ok || err != nil {
				t.Errorf("nobody: %v, %v", ok, err)
			}
			return nil
		})
	})
}
