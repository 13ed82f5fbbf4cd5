package enrol_test

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
	"rollcall/server/store/storetest"
)

const tenant = "t"

var day = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

type base struct {
	t      testing.TB
	engine store.Engine
	writer *store.Writer
	sets   *cmdb.Sets
}

// onEngines runs a test of the domain on bbolt and on the weak engine.
func onEngines(t *testing.T, test func(t *testing.T, b *base)) {
	on := func(t *testing.T, e store.Engine) {
		sets, err := cmdb.NewSets()
		if err != nil {
			t.Fatal(err)
		}
		test(t, &base{t, e, storetest.NewWriter(t, e, nil), sets})
	}
	t.Run("bolt", func(t *testing.T) {
		e, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		on(t, e)
	})
	t.Run("weak", func(t *testing.T) { on(t, storetest.Weak(storetest.Seed(t))) })
}

// newBase is on the weak engine.
func newBase(t testing.TB) *base {
	t.Helper()
	sets, err := cmdb.NewSets()
	if err != nil {
		t.Fatal(err)
	}
	e := storetest.Weak(storetest.Seed(t))
	return &base{t, e, storetest.NewWriter(t, e, nil), sets}
}

// items changes CIs.
func (b *base) items(fn func(w cmdb.Writer) error) {
	b.t.Helper()
	if err := b.writer.Update(b.t.Context(), func(tx store.Tx) error { return fn(cmdb.In(tx, tenant, cmdb.Everywhere)) }); err != nil {
		b.t.Fatal(err)
	}
}

func (b *base) try(fn func(w enrol.Writer) error) error {
	return b.writer.Update(b.t.Context(), func(tx store.Tx) error { return fn(enrol.In(tx, tenant, cmdb.In(tx, tenant, cmdb.Everywhere))) })
}

func (b *base) do(fn func(w enrol.Writer) error) {
	b.t.Helper()
	if err := b.try(fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *base) look(fn func(v enrol.View, items cmdb.View) error) error {
	return b.engine.View(b.t.Context(), func(r store.Reader) error {
		return fn(enrol.At(r, tenant), cmdb.At(r, tenant, b.sets, cmdb.Everywhere))
	})
}

var exporter = bytes.Repeat([]byte{7}, 32)

// token mints a token and returns its secret.
func (b *base) token(t enrol.Token) []byte {
	b.t.Helper()
	secret := identity.NewSecret()
	t.Hash, t.By = identity.HashSecret(secret), "kari"
	if t.Expires.IsZero() {
		t.Expires = day.Add(time.Hour)
	}
	b.do(func(w enrol.Writer) error { _, err := w.AddToken(t); return err })
	return secret
}

func newKey(t testing.TB) identity.Key {
	t.Helper()
	k, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// request is what a machine with this key and secret sends.
func request(key identity.Key, token string, secret []byte) enrol.Request {
	pub := identity.Public(key)
	return enrol.Request{
		TokenID: token, Proof: identity.Proof(identity.HashSecret(secret), exporter, pub), Exporter: exporter, Public: pub,
		Hostname: "pc07.elm.example", Facts: fact.Set{{Path: "id/hostname", Value: "pc07"}}, Source: "192.0.2.7", Version: "1",
	}
}

func (b *base) ask(now time.Time, q enrol.Request) (k enrol.Key, err error) {
	err = b.try(func(w enrol.Writer) (err error) {
		k, err = w.Admit(now, q)
		return err
	})
	return k, err
}

// enrolled admits a key at once.
func (b *base) enrolled(token string, key identity.Key, t enrol.Token) enrol.Key {
	b.t.Helper()
	t.ID = token
	k, err := b.ask(day, request(key, token, b.token(t)))
	if err != nil || k.State != enrol.Enrolled {
		b.t.Fatalf("enrol: %s, %v", k.State, err)
	}
	return k
}
