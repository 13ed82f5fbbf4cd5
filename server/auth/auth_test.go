package auth_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/identity"
	"rollcall/server/auth"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
	"rollcall/server/store/storetest"
)

const tenant = "t"

var day = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// onEngines runs a test on bbolt and on the weak engine.
func onEngines(t *testing.T, test func(t *testing.T, e store.Engine, w *store.Writer)) {
	t.Run("bolt", func(t *testing.T) {
		e, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		test(t, e, storetest.NewWriter(t, e, nil))
	})
	t.Run("weak", func(t *testing.T) {
		e := storetest.Weak(storetest.Seed(t))
		test(t, e, storetest.NewWriter(t, e, nil))
	})
}

func add(t *testing.T, w *store.Writer, name string, role auth.Role, secret []byte) error {
	t.Helper()
	return w.Update(t.Context(), func(tx store.Tx) error {
		return auth.Add(tx, tenant, day, name, auth.Everywhere(role), "kari", secret, false)
	})
}

func TestWhereARoleHolds(t *testing.T) {
	o := auth.Operator{Name: "x", Grants: []auth.Grant{
		{Role: auth.Worker, Site: "elm/north"}, {Role: auth.Approver, Site: "elm"}, {Role: auth.Restorer}, {Role: "root", Site: ""},
	}}
	for _, tt := range []struct {
		roles []auth.Role
		want  []string
	}{
		{[]auth.Role{auth.Worker}, []string{"elm/north"}},
		{[]auth.Role{auth.Approver, auth.Worker}, []string{"elm/north", "elm"}},
		{[]auth.Role{auth.Viewer}, []string{"elm/north", "elm", ""}},
		{[]auth.Role{auth.Restorer, auth.Admin}, []string{""}},
		{[]auth.Role{auth.Admin}, nil},
		{[]auth.Role{"root"}, nil}, // a role that does not exist holds nowhere
		{[]auth.Role{""}, nil},
		{nil, nil},
	} {
		if got := o.Sites(tt.roles...); !slices.Equal(got, tt.want) {
			t.Errorf("%s holds at %q, want %q", tt.roles, got, tt.want)
		}
	}
	if err := o.Denied(auth.Admin); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("Denied = %v", err)
	}
}

func TestGrantsAreReadAsTheyAreWritten(t *testing.T) {
	for _, role := range auth.Roles {
		for _, site := range []string{"", "elm/north"} {
			g := auth.Grant{Role: role, Site: site}
			if got, err := auth.ParseGrant(g.String()); err != nil || got != g {
				t.Errorf("%s is read as %v, %v", g, got, err)
			}
		}
	}
	for _, bad := range []string{"", "root", "@elm", "admin@", "Admin", "admin ", "admin,viewer"} {
		if g, err := auth.ParseGrant(bad); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%q is read as %v, %v, want ErrInvalid", bad, g, err)
		}
	}
	if got := auth.Words(auth.Everywhere(auth.Roles...)); got != "every role" {
		t.Errorf("all roles are %q", got)
	}
}

// What a record with one role says was written before there were grants.
func TestAnOperatorOfAnOlderStoreMayWhatSheMight(t *testing.T) {
	onEngines(t, func(t *testing.T, e store.Engine, w *store.Writer) {
		for _, tt := range []struct{ role, want string }{
			{"viewer", "viewer"},
			{"operator", "operator, approver, restorer"},
			{"admin", "admin, operator, approver, restorer, auditor"},
			{"root", "without a role"},
			{"", "without a role"},
		} {
			secret := identity.NewSecret()
			old := map[string]any{"name": "kari", "role": tt.role, "hash": identity.HashSecret(secret), "created": day, "by": "x"}
			if err := w.Update(t.Context(), func(tx store.Tx) error {
				return store.PutJSON(tx, store.At(store.Record, tenant, "/operator/kari"), old)
			}); err != nil {
				t.Fatal(err)
			}
			o, err := auth.Check(t.Context(), e, tenant, "kari", secret)
			if got := auth.Words(o.Grants); err != nil || got != tt.want {
				t.Errorf("an old %q is %q, %v, want %q", tt.role, got, err, tt.want)
			}
			for _, g := range o.Grants {
				if g.Site != "" {
					t.Errorf("an old %q is bound to %q", tt.role, g.Site)
				}
			}
		}
	})
}

func TestALoginIsValidUntilItIsReplacedOrRemoved(t *testing.T) {
	onEngines(t, func(t *testing.T, e store.Engine, w *store.Writer) {
		one, two := identity.NewSecret(), identity.NewSecret()
		if err := add(t, w, "kari", auth.Viewer, one); err != nil {
			t.Fatal(err)
		}
		check := func(secret []byte) (string, error) {
			o, err := auth.Check(t.Context(), e, tenant, "kari", secret)
			return auth.Words(o.Grants), err
		}
		if role, err := check(one); err != nil || role != "viewer" {
			t.Errorf("%q, %v, want viewer", role, err)
		}
		if err := add(t, w, "kari", auth.Admin, two); err != nil {
			t.Fatal(err)
		}
		if _, err := check(one); !errors.Is(err, auth.ErrWho) {
			t.Errorf("the replaced login: %v, want ErrWho", err)
		}
		if role, err := check(two); err != nil || role != "admin" {
			t.Errorf("%q, %v, want admin", role, err)
		}
		remove := func() error {
			return w.Update(t.Context(), func(tx store.Tx) error { return auth.Remove(tx, tenant, "kari") })
		}
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		if _, err := check(two); !errors.Is(err, auth.ErrWho) {
			t.Errorf("the removed login: %v, want ErrWho", err)
		}
		if err := remove(); !errors.Is(err, auth.ErrNotFound) {
			t.Errorf("removed twice: %v, want ErrNotFound", err)
		}
	})
}

func TestEveryRefusalLooksTheSame(t *testing.T) {
	onEngines(t, func(t *testing.T, e store.Engine, w *store.Writer) {
		secret := identity.NewSecret()
		if err := add(t, w, "kari", auth.Viewer, secret); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			tenant, name string
			secret       []byte
		}{
			{tenant, "kari", identity.NewSecret()},
			{tenant, "kari", nil},
			{tenant, "ola", secret},
			{tenant, "", secret},
			{tenant, "kari/../x", secret},
			{tenant, "KARI", secret},
			{"other", "kari", secret},
		} {
			o, err := auth.Check(t.Context(), e, tt.tenant, tt.name, tt.secret)
			if err != auth.ErrWho || o.Name != "" || o.Grants != nil {
				t.Errorf("%q: %+v, %v, want exactly ErrWho and nobody", tt.name, o, err)
			}
		}
	})
}

func TestWhoCanBeAnOperator(t *testing.T) {
	onEngines(t, func(t *testing.T, e store.Engine, w *store.Writer) {
		for _, tt := range []struct {
			name string
			role auth.Role
			ok   bool
		}{
			{"kari", auth.Admin, true},
			{"k.n_2-x", auth.Viewer, true},
			{"", auth.Viewer, false},
			{"Kari", auth.Viewer, false},
			{"a/b", auth.Viewer, false},
			{"a:b", auth.Viewer, false},
			{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", auth.Viewer, false},
			{"ola", "root", false},
			{"ola", "", false},
		} {
			if err := add(t, w, tt.name, tt.role, identity.NewSecret()); (err == nil) != tt.ok || err != nil && !errors.Is(err, auth.ErrInvalid) {
				t.Errorf("%q as %q: %v, want ok %v", tt.name, tt.role, err, tt.ok)
			}
		}
		if err := e.View(t.Context(), func(r store.Reader) error {
			all, err := auth.List(r, tenant)
			if len(all) != 2 || all[0].Name != "k.n_2-x" || all[1].Name != "kari" {
				t.Errorf("operators %v", all)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTheStoreHoldsNoSecret(t *testing.T) {
	onEngines(t, func(t *testing.T, e store.Engine, w *store.Writer) {
		secret := []byte("0123456789abcdef")
		if err := add(t, w, "kari", auth.Viewer, secret); err != nil {
			t.Fatal(err)
		}
		if err := e.View(t.Context(), func(r store.Reader) error {
			for p, err := range r.Scan(store.Record, nil, nil, 0) {
				if err != nil {
					return err
				}
				for _, canary := range []string{"0123456789abcdef", "30313233343536373839616263646566", "MDEyMzQ1Njc4OWFiY2RlZg"} {
					if strings.Contains(string(p.V), canary) {
						t.Errorf("the secret stands in %q", p.K)
					}
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}
