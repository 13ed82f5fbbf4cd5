package cmdb_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/server/cmdb"
	"rollcall/server/store"
)

func TestNamesAreUnique(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		for i, want := range []string{"pc07", "pc07-2", "pc07-3"} {
			if got := b.found(i, "PC07.elm.example", "").Name; got != want {
				t.Errorf("machine %d that calls itself PC07 is named %q, want %q", i, got, want)
			}
		}
		if err := b.declare("pc07-2", "name", "Pc07"); !errors.Is(err, cmdb.ErrTaken) {
			t.Errorf("renaming to a name in use: %v, want ErrTaken", err)
		}
		if err := b.declare("pc07-2", "name", "door"); err != nil {
			t.Fatal(err)
		}
		if got := b.head("DOOR").ID; got != id(1) {
			t.Errorf("the new name leads to %s, want %s", got, id(1))
		}
		if err := b.look(func(v cmdb.View) error { _, err := v.CI("pc07-2"); return err }); !errors.Is(err, cmdb.ErrNotFound) {
			t.Errorf("the old name: %v, want ErrNotFound", err)
		}
		if got := b.found(9, "pc07-2", "").Name; got != "pc07-2" {
			t.Errorf("a name that was given up is not given again: %q", got)
		}
	})
}

func TestAFormerNameIsKnownForItsTime(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		first := b.found(1, "tjener", "").Created
		if err := b.declare("tjener", "name", "old-tjener"); err != nil {
			t.Fatal(err)
		}
		second := b.found(2, "tjener", "").Created
		for _, test := range []struct {
			name string
			at   time.Time
			want string // "" for ErrNotFound
		}{
			{"tjener", time.Time{}, id(2)},
			{"tjener", second, id(2)},
			{"Tjener", first, id(1)},
			{"tjener", first.Add(-time.Nanosecond), ""},
			{"old-tjener", first, id(1)},
			{id(1), first, id(1)},
			{"tjenar", first, ""},
		} {
			b.see(func(v cmdb.View) error {
				ci, err := v.NamedAt(test.name, test.at)
				if test.want == "" {
					// What came later may be found; that it was not there yet is for AsOf to say.
					if err == nil && !test.at.Before(ci.Created) || err != nil && !errors.Is(err, cmdb.ErrNotFound) {
						t.Errorf("%s at %s is %s, %v, want none", test.name, test.at, ci.ID, err)
					}
					return nil
				}
				if err != nil || ci.ID != test.want {
					t.Errorf("%s at %s is %s, %v, want %s", test.name, test.at, ci.ID, err, test.want)
				}
				return nil
			})
		}
	})
}

func TestARenameInCaseKeepsTheName(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.found(1, "pc07", "")
		if err := b.declare("pc07", "name", "PC07"); err != nil {
			t.Fatal(err)
		}
		ci := b.head("pc07")
		if ci.Name != "PC07" || ci.Folder != "pc07" {
			t.Errorf("name %q in folder %q, want PC07 in pc07", ci.Name, ci.Folder)
		}
		if got := b.found(2, "pc07", "").Name; got != "pc07-2" {
			t.Errorf("another machine got %q, want pc07-2", got)
		}
	})
}

func TestConcurrentMachinesOfOneNameGetOneEach(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				if err := b.try(func(w cmdb.Writer) error { return w.Found(day, id(i), "pc", "", "", "agent", "") }); err != nil {
					t.Errorf("machine %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		names, folders := map[string]bool{}, map[string]bool{}
		b.see(func(v cmdb.View) error {
			for ci, err := range v.All() {
				if err != nil {
					return err
				}
				names[ci.Name], folders[ci.Repo+"/"+ci.Folder] = true, true
			}
			return nil
		})
		if len(names) != 30 || len(folders) != 30 {
			t.Errorf("%d names and %d folders for 30 machines", len(names), len(folders))
		}
	})
}

func TestMoreMachinesOfOneNameThanNumbersAreAdmitted(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		names := map[string]bool{}
		b.do(func(w cmdb.Writer) error {
			clear(names)
			for i := range 110 {
				ci, err := w.New(cmdb.NewID(), "localhost.localdomain", "", "")
				if err != nil {
					return err
				}
				if ci, _, err = w.Record(b.now, cmdb.CI{}, ci, cmdb.Revision{By: "agent"}); err != nil {
					return fmt.Errorf("machine %d: %w", i, err)
				}
				names[ci.Name] = true
			}
			return nil
		})
		if len(names) != 110 {
			t.Errorf("%d names for 110 machines", len(names))
		}
	})
}

func TestAMoveTakesTheFolderAlong(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		for _, s := range []string{"elm", "elm/north", "elm/north/b1", "elm/south"} {
			b.do(func(w cmdb.Writer) error { return w.SetSite(cmdb.Site{Path: s}) })
		}
		b.found(1, "pc", "elm/north")
		b.found(2, "other", "elm/south")
		if err := b.declare("other", "name", "pc-2"); err != nil {
			t.Fatal(err)
		}
		steps := []struct{ field, value, repo, folder string }{
			{"site", "elm/north/b1", "elm/north", "pc"}, // within the school: stays
			{"site", "elm/south", "elm/south", "pc"},
			{"name", "door", "elm/south", "door"},
			{"site", "", cmdb.Unassigned, "door"},
			{"name", "pc", cmdb.Unassigned, "pc"},
			{"site", "elm/north", "elm/north", "pc"},
		}
		for _, s := range steps {
			before := b.head(id(1))
			if err := b.declare(id(1), s.field, s.value); err != nil {
				t.Fatalf("%s = %q: %v", s.field, s.value, err)
			}
			ci := b.head(id(1))
			if ci.Repo != s.repo || ci.Folder != s.folder {
				t.Errorf("%s = %q: folder %s/%s, want %s/%s", s.field, s.value, ci.Repo, ci.Folder, s.repo, s.folder)
			}
			b.see(func(v cmdb.View) error {
				r, err := v.Revision(ci.ID, ci.Rev)
				if r.PrevRepo != before.Repo || r.PrevFolder != before.Folder || r.Repo != ci.Repo || r.Folder != ci.Folder {
					t.Errorf("%s = %q: the revision says %s/%s → %s/%s", s.field, s.value, r.PrevRepo, r.PrevFolder, r.Repo, r.Folder)
				}
				return err
			})
		}
		guards := map[string]string{}
		if err := b.engine.View(t.Context(), func(r store.Reader) error {
			from := []byte(tenant + "/folder/")
			for p, err := range r.Scan(store.Unique, from, store.PrefixEnd(from), 0) {
				if err != nil {
					return err
				}
				holder, err := store.OpenFramed(store.Key{Space: store.Unique, K: p.K}, p.V)
				if err != nil {
					return err
				}
				guards[strings.TrimPrefix(string(p.K), string(from))] = string(holder)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if want := map[string]string{"elm/north/pc": id(1), "elm/south/pc-2": id(2)}; fmt.Sprint(guards) != fmt.Sprint(want) {
			t.Errorf("folders kept: %v, want %v", guards, want)
		}
	})
}

func TestNamesThatMachinesGiveThemselvesBecomeSafe(t *testing.T) {
	tests := []struct{ in, want string }{
		{"pc07", "pc07"},
		{"PC07.Elm.Example", "pc07"},
		{"", "unnamed"},
		{"...", "unnamed"},
		{"-", "unnamed"},
		{"../../etc", "unnamed"},
		{"a/../b", "a"},
		{"x y\n\x1b[31m", "x-y---31m"},
		{"ÅÆØ", "unnamed"},
		{strings.Repeat("a", 300), strings.Repeat("a", 50)},
		{"ci0123456789abcdef0123", "unnamed"}, // has the form of an id
		{"pc\x00", "pc"},
	}
	for _, tt := range tests {
		got := cmdb.NameFrom(tt.in)
		if got != tt.want {
			t.Errorf("NameFrom(%.40q) = %q, want %q", tt.in, got, tt.want)
		}
		if err := cmdb.CheckName(got); err != nil {
			t.Errorf("NameFrom(%.40q): %v", tt.in, err)
		}
	}
}

func FuzzNameFrom(f *testing.F) {
	f.Add("pc07.elm")
	f.Add("ci0123456789abcdef0123")
	f.Fuzz(func(t *testing.T, s string) {
		if err := cmdb.CheckName(cmdb.NameFrom(s)); err != nil {
			t.Errorf("NameFrom(%q): %v", s, err)
		}
	})
}

func TestNamesThatNobodyMayGive(t *testing.T) {
	for _, name := range []string{"", ".git", "-x", "a/b", "a b", "å", "x.", strings.Repeat("a", 64), "ci0123456789abcdef0123", "a\n", ".."} {
		if err := cmdb.CheckName(name); !errors.Is(err, cmdb.ErrInvalid) {
			t.Errorf("CheckName(%q) = %v, want ErrInvalid", name, err)
		}
	}
	for _, name := range []string{"a", "PC-07", "tjener.intern", strings.Repeat("a", 63)} {
		if err := cmdb.CheckName(name); err != nil {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
}

func TestIDsAreNoNames(t *testing.T) {
	for range 100 {
		if id := cmdb.NewID(); !cmdb.IsID(id) || cmdb.CheckName(id) == nil {
			t.Fatalf("id %q", id)
		}
	}
	for _, s := range []string{"", "ci", "ci0123456789abcdef012", "ci0123456789abcdef012g", "xx0123456789abcdef0123"} {
		if cmdb.IsID(s) {
			t.Errorf("IsID(%q)", s)
		}
	}
}
