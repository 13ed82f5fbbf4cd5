package cmdb_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"rollcall/server/cmdb"
)

func TestWhatPeopleMayDeclare(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.do(func(w cmdb.Writer) error { return w.SetSite(cmdb.Site{Path: "elm"}) })
		b.found(1, "pc", "")
		b.found(2, "other", "")
		tests := []struct {
			field, value string
			want         error
		}{
			{"owner", "kari", nil},
			{"room-2", "12 b", nil},
			{"owner", "", nil},
			{"name", "door", nil},
			{"name", "", cmdb.ErrInvalid},
			{"name", "a/b", cmdb.ErrInvalid},
			{"name", "OTHER", cmdb.ErrTaken},
			{"class", "server", nil},
			{"class", "", nil},
			{"class", "toaster", cmdb.ErrInvalid},
			{"site", "elm", nil},
			{"site", "", nil},
			{"site", "elm/south", cmdb.ErrInvalid}, // a typing error is no new place
			{"site", "../x", cmdb.ErrInvalid},
			{"status", "disposed", nil},
			{"status", "", cmdb.ErrInvalid},
			{"status", "broken", cmdb.ErrInvalid},
			{"", "x", cmdb.ErrInvalid},
			{"Owner", "x", cmdb.ErrInvalid},
			{"a b", "x", cmdb.ErrInvalid},
			{strings.Repeat("a", 33), "x", cmdb.ErrInvalid},
			{"mac", "x", cmdb.ErrInvalid}, // observed
			{"presence", "live", cmdb.ErrInvalid},
			{"note", strings.Repeat("a", 2001), cmdb.ErrInvalid},
		}
		for _, tt := range tests {
			err := b.declare(id(1), tt.field, tt.value)
			if tt.want == nil && err != nil || !errors.Is(err, tt.want) {
				t.Errorf("%s = %.40q: %v, want %v", tt.field, tt.value, err, tt.want)
			}
		}
	})
}

func TestDeclaredTextIsInert(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.found(1, "pc", "")
		if err := b.declare("pc", "note", "a\x1b[31m\nb\u202e"); err != nil {
			t.Fatal(err)
		}
		if got := b.head("pc").Fields["note"]; got != "a%1B[31m%0Ab%E2%80%AE" {
			t.Errorf("note %q", got)
		}
	})
}

// Whatever people declare must fit into the store: the refusal is a sentence, not
// a failure of the server.
func TestTooManyFieldsAreRefusedInWords(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.found(1, "pc", "")
		var err error
		for i := 0; i < 200 && err == nil; i++ {
			err = b.declare("pc", fmt.Sprintf("f%d", i), strings.Repeat("<", 300))
		}
		if !errors.Is(err, cmdb.ErrInvalid) {
			t.Fatalf("fields without end: %v, want ErrInvalid", err)
		}
		fields := b.head("pc").Fields
		if len(fields) < 5 {
			t.Errorf("only %d fields fit", len(fields))
		}
		var pairs []string
		for name := range fields {
			pairs = append(pairs, name, strings.Repeat(">", 300)) // all at once: old and new stand in the revision
		}
		if err := b.declare("pc", pairs...); err != nil {
			t.Errorf("changing all fields at once: %v", err)
		}
		for i := range 200 {
			pairs = append(pairs, fmt.Sprintf("g%d", i), "x")
		}
		if err := b.declare("pc", pairs...); !errors.Is(err, cmdb.ErrInvalid) {
			t.Errorf("more than 100 fields: %v, want ErrInvalid", err)
		}
	})
}

func TestSitesAreATree(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		set := func(path string) error {
			return b.try(func(w cmdb.Writer) error { return w.SetSite(cmdb.Site{Path: path, Title: path + "\n"}) })
		}
		tests := []struct {
			path string
			ok   bool
		}{
			{"elm/north", false}, // its parent does not exist
			{"elm", true},
			{"elm/north", true},
			{"elm/north/b1/r1/x", false},
			{"", false},
			{"Elm", false},
			{"elm//x", false},
			{"elm/", false},
			{"-elm", false},
			{"elm-", false},
			{"..", false},
			{"elm/.git", false},
			{"unassigned", false},
			{"a/b/c/d/e/f", false},
		}
		for _, tt := range tests {
			if err := set(tt.path); (err == nil) != tt.ok || err != nil && !errors.Is(err, cmdb.ErrInvalid) {
				t.Errorf("site %q: %v, want ok %v", tt.path, err, tt.ok)
			}
		}
		b.see(func(v cmdb.View) error {
			sites, err := v.Sites()
			if fmt.Sprint(sites) != "[{elm elm} {elm/north elm/north}]" {
				t.Errorf("sites %v", sites)
			}
			return err
		})
		if err := b.try(func(w cmdb.Writer) error { return w.RemoveSite("elm/south") }); !errors.Is(err, cmdb.ErrInvalid) {
			t.Errorf("removing what is not there: %v", err)
		}
		b.do(func(w cmdb.Writer) error { return w.RemoveSite("elm/north") })
		if err := b.try(func(w cmdb.Writer) error { return w.HasSite("elm/north") }); !errors.Is(err, cmdb.ErrInvalid) {
			t.Errorf("removed site: %v", err)
		}
	})
}

func TestRepositoryAndSubtreeOfASite(t *testing.T) {
	for site, want := range map[string]string{"": "unassigned", "elm": "elm", "elm/north": "elm/north", "elm/north/b1/r2": "elm/north"} {
		if got := cmdb.RepoOf(site); got != want {
			t.Errorf("RepoOf(%q) = %q, want %q", site, got, want)
		}
	}
	tests := []struct {
		site, subtree string
		want          bool
	}{{"elm/north", "", true}, {"elm/north", "elm", true}, {"elm", "elm", true}, {"elmwood", "elm", false}, {"", "elm", false}}
	for _, tt := range tests {
		if got := cmdb.InSite(tt.site, tt.subtree); got != tt.want {
			t.Errorf("InSite(%q, %q) = %v", tt.site, tt.subtree, got)
		}
	}
}
