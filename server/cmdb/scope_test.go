package cmdb_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

func TestWhatAScopeSees(t *testing.T) {
	for _, tt := range []struct {
		scope cmdb.Scope
		site  string
		sees  bool
	}{
		{cmdb.Scope{}, "", false},
		{cmdb.Scope{}, "elm", false},
		{cmdb.Within(), "elm", false},
		{cmdb.Everywhere, "", true},
		{cmdb.Everywhere, "elm/north", true},
		{cmdb.Within("elm/north", ""), "oak", true},
		{cmdb.Within("elm/north"), "elm/north", true},
		{cmdb.Within("elm/north"), "elm/north/room12", true},
		{cmdb.Within("elm/north"), "elm/northeast", false},
		{cmdb.Within("elm/north"), "elm", false},
		{cmdb.Within("elm/north"), "", false},
		{cmdb.Within("elm/north", "oak"), "oak/room1", true},
	} {
		if got := tt.scope.Sees(tt.site); got != tt.sees {
			t.Errorf("%s sees %q: %v, want %v", tt.scope, tt.site, got, tt.sees)
		}
		if err := tt.scope.Check(tt.site); (err == nil) != tt.sees || err != nil && !errors.Is(err, cmdb.ErrScope) {
			t.Errorf("%s may place a CI at %q: %v", tt.scope, tt.site, err)
		}
	}
}

// sites adds site paths, parents first.
func (b *base) sites(paths ...string) {
	b.t.Helper()
	for _, p := range paths {
		b.do(func(w cmdb.Writer) error { return w.SetSite(cmdb.Site{Path: p}) })
	}
}

// as looks as a caller with a scope does.
func (b *base) as(scope cmdb.Scope, fn func(v cmdb.View) error) error {
	return b.engine.View(b.t.Context(), func(r store.Reader) error { return fn(cmdb.At(r, tenant, b.sets, scope)) })
}

// write writes as a caller with a scope does.
func (b *base) write(scope cmdb.Scope, fn func(w cmdb.Writer) error) error {
	return b.writer.Update(b.t.Context(), func(tx store.Tx) error { return fn(cmdb.In(tx, tenant, scope)) })
}

// every read of a CI by a view: what each gives for a CI, by id or name.
func reads(v cmdb.View, ci cmdb.CI) map[string]error {
	drain := func(seq func(func(cmdb.Revision, error) bool)) (err error) {
		seq(func(_ cmdb.Revision, e error) bool { err = e; return e == nil })
		return err
	}
	out := map[string]error{}
	_, out["CI by id"] = v.CI(ci.ID)
	_, out["CI by name"] = v.CI(ci.Name)
	_, out["NamedAt now"] = v.NamedAt(ci.Name, time.Time{})
	_, out["NamedAt then"] = v.NamedAt(ci.Name, ci.Created)
	_, out["NamedAt by id"] = v.NamedAt(ci.ID, ci.Created)
	_, out["Revision"] = v.Revision(ci.ID, 1)
	out["History"] = drain(v.History(ci))
	_, out["AsOf"] = v.AsOf(ci, ci.Created)
	_, out["FieldsAsOf"] = v.FieldsAsOf(ci, 0)
	_, out["Last"] = v.Last(ci.ID)
	_, _, out["LastChange"] = v.LastChange(ci, ci.Rev, "pkg")
	return out
}

func TestClass06ACIOutsideOfTheScopeDoesNotExist(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.sites("elm", "elm/north", "elm/south")
		b.found(1, "pc07", "elm/north")
		other, homeless, none := b.found(2, "pc08", "elm/south"), b.found(3, "pc09", ""), cmdb.CI{ID: id(4), Name: "pc10"}
		other.Rev, none.Rev, none.Created, none.Changed = 1, 1, other.Created, other.Changed
		north := cmdb.Within("elm/north")
		err := b.as(north, func(v cmdb.View) error {
			absent := reads(v, none)
			for _, hidden := range []cmdb.CI{other, homeless} {
				for what, err := range reads(v, hidden) {
					if !errors.Is(err, cmdb.ErrNotFound) {
						t.Errorf("%s of %s: %v, want ErrNotFound", what, hidden.Name, err)
						continue
					}
					// Nor may the answer tell one that is hidden from one that is not there.
					same := strings.NewReplacer(hidden.ID, none.ID, hidden.Name, none.Name).Replace(err.Error())
					if same != absent[what].Error() {
						t.Errorf("%s: hidden %q, absent %q", what, same, absent[what])
					}
				}
			}
			for what, err := range reads(v, b.head("pc07")) {
				if err != nil {
					t.Errorf("%s of a CI in the scope: %v", what, err)
				}
			}
			if names := namesOf(v); !slices.Equal(names, []string{"pc07"}) {
				t.Errorf("the view lists %v", names)
			}
			if n, err := v.Count(); n != 1 || err != nil {
				t.Errorf("%d revisions, %v, want 1", n, err)
			}
			if _, err := v.Places(); !errors.Is(err, cmdb.ErrScope) {
				t.Errorf("Places: %v, want ErrScope", err)
			}
			sites, err := v.Sites()
			if len(sites) != 1 || sites[0].Path != "elm/north" {
				t.Errorf("the view lists the sites %v", sites)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.as(cmdb.Scope{}, func(v cmdb.View) error {
			if names := namesOf(v); len(names) > 0 {
				t.Errorf("the zero scope lists %v", names)
			}
			_, err := v.CI("pc07")
			return err
		}); !errors.Is(err, cmdb.ErrNotFound) {
			t.Errorf("the zero scope: %v, want ErrNotFound", err)
		}
	})
}

func namesOf(v cmdb.View) (names []string) {
	for ci, err := range v.All() {
		if err != nil {
			return append(names, err.Error())
		}
		names = append(names, ci.Name)
	}
	return names
}

func TestClass06APastBelongsToWhereTheCIStandsNow(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.sites("elm", "elm/north", "elm/south")
		b.found(1, "pc07", "elm/south")
		then := b.now
		if err := b.declare("pc07", "site", "elm/north"); err != nil {
			t.Fatal(err)
		}
		at := func(scope cmdb.Scope) error {
			return b.as(scope, func(v cmdb.View) error {
				now, err := v.NamedAt("pc07", then)
				if err != nil {
					return err
				}
				rev, err := v.AsOf(now, then)
				if err == nil && rev.Site != "elm/south" {
					t.Errorf("it stood at %s then, want elm/south", rev.Site)
				}
				return err
			})
		}
		if err := at(cmdb.Within("elm/north")); err != nil {
			t.Errorf("where it stands now: %v", err)
		}
		if err := at(cmdb.Within("elm/south")); !errors.Is(err, cmdb.ErrNotFound) {
			t.Errorf("where it stood then: %v, want ErrNotFound", err)
		}
	})
}

func TestClass06AMoveNeedsRightsOnBothSites(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.sites("elm", "elm/north", "elm/north/room1", "elm/south")
		b.found(1, "pc07", "elm/north")
		b.found(2, "pc08", "elm/south")
		b.found(3, "pc09", "")
		move := func(scope cmdb.Scope, name, site string) error {
			return b.write(scope, func(w cmdb.Writer) error {
				old, err := w.Resolve(name)
				if err != nil {
					return err
				}
				next, err := w.Declare(old, map[string]string{"site": site})
				if err != nil {
					return err
				}
				_, _, err = w.Record(b.now, old, next, cmdb.Revision{By: "operator kari"})
				return err
			})
		}
		north, both := cmdb.Within("elm/north"), cmdb.Within("elm/north", "elm/south")
		for _, tt := range []struct {
			scope      cmdb.Scope
			name, site string
			want       error
		}{
			{north, "pc07", "elm/north/room1", nil},
			{north, "pc07", "elm/south", cmdb.ErrScope},
			{north, "pc07", "elm/nowhere", cmdb.ErrScope}, // as one that exists
			{north, "pc07", "", cmdb.ErrScope},
			{north, "pc08", "elm/north", cmdb.ErrNotFound},
			{north, "pc09", "elm/north", cmdb.ErrNotFound},
			{both, "pc08", "elm/north", nil},
			{both, "pc08", "elm/south", nil},
			{cmdb.Scope{}, "pc07", "elm/north", cmdb.ErrNotFound},
			{cmdb.Everywhere, "pc09", "elm/north", nil},
			{cmdb.Everywhere, "pc09", "", nil},
		} {
			if err := move(tt.scope, tt.name, tt.site); !errors.Is(err, tt.want) {
				t.Errorf("%s moves %s to %q: %v, want %v", tt.scope, tt.name, tt.site, err, tt.want)
			}
		}
	})
}

func TestClass06WritesStayInTheScope(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.sites("elm", "elm/north", "elm/south")
		b.found(1, "pc07", "elm/north")
		other := b.found(2, "pc08", "elm/south")
		north := cmdb.Within("elm/north")
		for what, fn := range map[string]func(w cmdb.Writer) error{
			"found at another site": func(w cmdb.Writer) error { return w.Found(b.now, id(9), "new", "", "elm/south", "x", "") },
			"found without a site":  func(w cmdb.Writer) error { return w.Found(b.now, id(9), "new", "", "", "x", "") },
			"a place elsewhere":     func(w cmdb.Writer) error { return w.CheckPlace("", "elm/south", "") },
			"another site's title":  func(w cmdb.Writer) error { return w.SetSite(cmdb.Site{Path: "elm/south", Title: "x"}) },
			"a site above":          func(w cmdb.Writer) error { return w.SetSite(cmdb.Site{Path: "elm"}) },
			"a new tree":            func(w cmdb.Writer) error { return w.SetSite(cmdb.Site{Path: "oak"}) },
			"remove another site":   func(w cmdb.Writer) error { return w.RemoveSite("elm/south") },
			"record a foreign head": func(w cmdb.Writer) error {
				_, _, err := w.Record(b.now, cmdb.CI{}, other, cmdb.Revision{By: "x"})
				return err
			},
		} {
			if err := b.write(north, fn); !errors.Is(err, cmdb.ErrScope) {
				t.Errorf("%s: %v, want ErrScope", what, err)
			}
		}
		for what, fn := range map[string]func(w cmdb.Writer) error{
			"mark as cloned":        func(w cmdb.Writer) error { return w.SetCloned(other.ID, true) },
			"take over":             func(w cmdb.Writer) error { return w.CheckPlace(other.ID, "", "") },
			"record a foreign move": func(w cmdb.Writer) error { _, _, err := w.Record(b.now, other, other, cmdb.Revision{}); return err },
		} {
			if err := b.write(north, fn); !errors.Is(err, cmdb.ErrNotFound) {
				t.Errorf("%s: %v, want ErrNotFound", what, err)
			}
		}
		err := b.write(north, func(w cmdb.Writer) error {
			old, err := w.CI(id(1))
			if err != nil {
				return err
			}
			next, err := w.Declare(old, map[string]string{"name": "pc08"})
			if err == nil {
				_, _, err = w.Record(b.now, old, next, cmdb.Revision{By: "x"})
			}
			return err
		})
		if !errors.Is(err, cmdb.ErrTaken) || strings.Contains(err.Error(), other.ID) {
			t.Errorf("a name of a hidden CI: %v, want ErrTaken that does not say whose", err)
		}
		if got := b.head("pc08"); got.Rev != other.Rev || got.Cloned || got.Site != other.Site {
			t.Errorf("the other site's CI has changed: %+v", got)
		}
		for _, fn := range []func(w cmdb.Writer) error{
			func(w cmdb.Writer) error { return w.SetSite(cmdb.Site{Path: "elm/north", Title: "North"}) },
			func(w cmdb.Writer) error { return w.SetSite(cmdb.Site{Path: "elm/north/room1"}) },
			func(w cmdb.Writer) error { return w.RemoveSite("elm/north/room1") },
		} {
			if err := b.write(north, fn); err != nil {
				t.Errorf("in its own site: %v", err)
			}
		}
	})
}

// Whatever is asked as one site, with any id, name or time, never gives a CI of
// another (T12).
func TestClass06RandomReadsNeverCrossSites(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		rnd := random(t)
		places := []string{"elm/a", "elm/b", "oak/a", ""}
		b.sites("elm", "elm/a", "elm/b", "oak", "oak/a")
		for n := range 12 {
			b.found(n, fmt.Sprintf("pc%02d", n), places[rnd.IntN(len(places))])
			b.observe(id(n), map[string]fact.Set{"pkg": packages(3, rnd.IntN(3))})
		}
		for range 60 {
			n := rnd.IntN(12)
			if rnd.IntN(3) == 0 {
				if err := b.declare(id(n), "site", places[rnd.IntN(len(places))], "name", fmt.Sprintf("m%d-%d", n, rnd.IntN(100))); err != nil {
					t.Fatal(err)
				}
			}
			scope := cmdb.Within(places[rnd.IntN(3)])
			ci := b.head(id(n))
			err := b.as(scope, func(v cmdb.View) error {
				for what, err := range reads(v, ci) {
					// An old name may lead elsewhere, or nowhere; the others must tell.
					if sees := scope.Sees(ci.Site); !strings.HasPrefix(what, "NamedAt") && (err == nil) != sees {
						t.Errorf("%s of %s at %q seen from %s: %v", what, ci.Name, ci.Site, scope, err)
					}
				}
				at := day.Add(time.Duration(rnd.Int64N(int64(b.now.Sub(day)) + 1)))
				if got, err := v.NamedAt(ci.Name, at); err == nil && !scope.Sees(got.Site) {
					t.Errorf("%s at %s leads to %s at %q, seen from %s", ci.Name, at, got.ID, got.Site, scope)
				}
				for got, err := range v.All() {
					if err != nil || !scope.Sees(got.Site) {
						t.Errorf("a CI at %q is listed for %s: %v", got.Site, scope, err)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}
