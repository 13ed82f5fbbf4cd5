package auth_test

import (
	"errors"
	"path/filepath"
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
	return w.Update(t.Context(), func(tx store.Tx) error { return auth.Add(tx, tenant, day, name, role, "kari", secret) })
}

func TestARoleIncludesThoseBelowIt(t *testing.T) {
	roles := []auth.Role{auth.Viewer, auth.Worker, auth.Admin}
	for have, role := range roles {
		for need, other := range roles {
			err := auth.Operator{Name: "x", Role: role}.May(other)
			if (err == nil) != (have >= need) || err != nil && !errors.Is(err, auth.ErrDenied) {
				t.Errorf("%s on what needs %s: %v", role, other, err)
			}
		}
	}
	for _, strange := range []auth.Role{"", "root"} {
		if err := (auth.Operator{Role: strange}).May(auth.Viewer); !errors.Is(err, auth.ErrDenied) {
			t.Errorf("role %q may look: %v", strange, err)
		}
		if err := (auth.Operator{Role: auth.Admin}).May(strange); !errors.Is(err, auth.ErrDenied) {
			t.Errorf("an admin may do what needs %q: %v", strange, err)
		}
	}
}

func TestALoginIsValidUntilItIsReplacedOrRemoved(t *testing.T) {
	onEngines(t, func(t *testing.T, e store.Engine, w *store.Writer) {
		one, two := identity.NewSecret(), identity.NewSecret()
		if err := add(t, w, "kari", auth.Viewer, one); err != nil {
			t.Fatal(err)
		}
		check := func(secret []byte) (auth.Role, error) {
			o, err := auth.Check(t.Context(), e, tenant, "kari", secret)
			return o.Role, err
		}
		if role, err := check(one); err != nil || role != auth.Viewer {
			t.Errorf("%q, %v, want viewer", role, err)
		}
		if err := add(t, w, "kari", auth.Admin, two); err != nil {
			t.Fatal(err)
		}
		if _, err := check(one); !errors.Is(err, auth.ErrWho) {
			t.Errorf("the replaced login: %v, want ErrWho", err)
		}
		if role, err := check(two); err != nil || role != auth.Admin {
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
			if err != auth.ErrWho || o != (auth.Operator{}) {
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
