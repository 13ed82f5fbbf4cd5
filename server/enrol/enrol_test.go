package enrol_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"rollcall/internal/identity"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
)

func TestClass21EnrolTokenReuseOneOfHundredParallelUsesIsAdmitted(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		secret := b.token(enrol.Token{ID: "one"})
		var admitted atomic.Int32
		var wg sync.WaitGroup
		for range 100 {
			key := newKey(t)
			wg.Go(func() {
				k, err := b.ask(day, request(key, "one", secret))
				switch {
				case err == nil && k.State == enrol.Enrolled:
					admitted.Add(1)
				case !errors.Is(err, enrol.ErrToken):
					t.Errorf("%s, %v, want ErrToken", k.State, err)
				}
			})
		}
		wg.Wait()
		if n := admitted.Load(); n != 1 {
			t.Errorf("%d keys were admitted, want 1", n)
		}
		if err := b.look(func(v enrol.View, items cmdb.View) error {
			keys, err := v.Keys("")
			n := 0
			for _, err := range items.All() {
				if err != nil {
					return err
				}
				n++
			}
			if len(keys) != 1 || n != 1 {
				t.Errorf("%d keys and %d CIs are stored, want 1 and 1", len(keys), n)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWhichTokensAdmit(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		used := b.token(enrol.Token{ID: "used"})
		if _, err := b.ask(day, request(newKey(t), "used", used)); err != nil {
			t.Fatal(err)
		}
		good, late := b.token(enrol.Token{ID: "good"}), b.token(enrol.Token{ID: "late", Expires: day})
		key, other := newKey(t), newKey(t)
		stolen := request(key, "good", good)
		stolen.Public = identity.Public(other)
		replayed := request(key, "good", good)
		replayed.Exporter = []byte("another connection, of 32 bytes..")
		tests := []struct {
			name string
			now  time.Time
			q    enrol.Request
			ok   bool
		}{
			{"wrong secret", day, request(key, "good", late), false},
			{"no proof", day, enrol.Request{TokenID: "good", Public: identity.Public(key), Exporter: exporter}, false},
			{"unknown token", day, request(key, "none", good), false},
			{"unknown token with the proof of no secret", day, func() enrol.Request {
				q := request(key, "none", nil)
				q.Proof = identity.Proof("", exporter, q.Public)
				return q
			}(), false},
			{"proof of another key", day, stolen, false},
			{"proof of another connection", day, replayed, false},
			{"used by another key", day, request(key, "used", used), false},
			{"expired", day.Add(time.Nanosecond), request(key, "late", late), false},
			{"at its last moment", day, request(newKey(t), "late", late), true},
			{"good", day, request(key, "good", good), true},
			{"good again by the same key", day, request(key, "good", good), true},
			{"by the same key after it expired", day.Add(48 * time.Hour), request(key, "good", good), true},
			{"by the same key with a wrong secret: the key is known already", day, request(key, "good", late), true},
		}
		for _, tt := range tests {
			k, err := b.ask(tt.now, tt.q)
			if tt.ok && (err != nil || k.State != enrol.Enrolled) || !tt.ok && !errors.Is(err, enrol.ErrToken) {
				t.Errorf("%s: %q, %v, want ok %v", tt.name, k.State, err, tt.ok)
			}
		}
	})
}

func TestTheSameKeyGetsTheSameCI(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		key := newKey(t)
		first := b.enrolled("a", key, enrol.Token{})
		again, err := b.ask(day, request(key, "a", nil))
		if err != nil || again.CI != first.CI {
			t.Errorf("second time %s, %v, want %s", again.CI, err, first.CI)
		}
		// What the machine calls itself decides nothing.
		q := request(newKey(t), "b", b.token(enrol.Token{ID: "b"}))
		q.Hostname = first.CI
		other, err := b.ask(day, q)
		if err != nil || other.CI == first.CI {
			t.Errorf("a machine that names itself after another's CI gets %s, %v", other.CI, err)
		}
	})
}

func TestApprovalQueue(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		var keys []identity.Key
		for _, name := range []string{"a", "b"} {
			key := newKey(t)
			k, err := b.ask(day, request(key, name, b.token(enrol.Token{ID: name, Approve: true, Class: "laptop"})))
			if err != nil || k.State != enrol.Pending || k.CI != "" {
				t.Fatalf("%q, CI %q, %v, want pending", k.State, k.CI, err)
			}
			keys = append(keys, key)
		}
		a, c := identity.IDOf(identity.Public(keys[0])), identity.IDOf(identity.Public(keys[1]))
		waiting := func() (n int) {
			if err := b.look(func(v enrol.View, _ cmdb.View) error {
				all, err := v.Waiting()
				n = len(all)
				if _, err := v.Key(a); n == 2 && !errors.Is(err, enrol.ErrUnknown) {
					t.Errorf("a waiting key may speak: %v", err)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := waiting(); n != 2 {
			t.Errorf("%d wait, want 2", n)
		}
		b.do(func(w enrol.Writer) error {
			k, err := w.Approve(day, a.String(), "operator ola", "", "", "workstation")
			if err == nil && (k.State != enrol.Enrolled || k.CI == "" || k.By != "operator ola") {
				t.Errorf("approved: %+v", k)
			}
			return err
		})
		b.do(func(w enrol.Writer) error {
			_, err := w.Refuse(day, c.String(), "operator ola", "who is it?"+strings.Repeat("<", 9000))
			return err
		})
		if n := waiting(); n != 0 {
			t.Errorf("%d wait, want none", n)
		}
		if err := b.look(func(v enrol.View, items cmdb.View) error {
			k, err := v.Key(a)
			if err != nil {
				return err
			}
			ci, err := items.CI(k.CI)
			if ci.Class != "workstation" || ci.Name != "pc07" {
				t.Errorf("CI %s of class %s, want pc07, workstation", ci.Name, ci.Class)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{a.String(), c.String(), "00", ""} {
			for name, decide := range map[string]func(w enrol.Writer) error{
				"approve": func(w enrol.Writer) error { _, err := w.Approve(day, id, "x", "", "", ""); return err },
				"refuse":  func(w enrol.Writer) error { _, err := w.Refuse(day, id, "x", ""); return err },
			} {
				if err := b.try(decide); !errors.Is(err, enrol.ErrState) {
					t.Errorf("%s %q, which does not wait: %v, want ErrState", name, id, err)
				}
			}
		}
		k, err := b.ask(day, request(keys[1], "b", nil))
		if err != nil || k.State != enrol.Refused {
			t.Errorf("a refused key asks again: %q, %v", k.State, err)
		}
	})
}

func TestARevokedKeySpeaksNoMore(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		key := newKey(t)
		k := b.enrolled("a", key, enrol.Token{})
		b.do(func(w enrol.Writer) error { _, err := w.MarkCloned(day, k.ID); return err })
		b.do(func(w enrol.Writer) error {
			_, err := w.Revoke(day, k.ID, "operator ola", "stolen")
			return err
		})
		if err := b.look(func(v enrol.View, items cmdb.View) error {
			if _, err := v.Key(identity.IDOf(identity.Public(key))); !errors.Is(err, enrol.ErrUnknown) {
				t.Errorf("Key = %v, want ErrUnknown", err)
			}
			if _, ok, err := v.KeyOf(k.CI); ok || err != nil {
				t.Errorf("KeyOf = %v, %v", ok, err)
			}
			ci, err := items.CI(k.CI)
			if ci.Cloned {
				t.Error("the CI still counts as cloned")
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if again, err := b.ask(day, request(key, "b", b.token(enrol.Token{ID: "b"}))); err != nil || again.State != enrol.Revoked {
			t.Errorf("it asks with a new token: %q, %v, want revoked", again.State, err)
		}
		if err := b.try(func(w enrol.Writer) error { _, err := w.Revoke(day, k.ID, "x", ""); return err }); !errors.Is(err, enrol.ErrState) {
			t.Errorf("revoked twice: %v, want ErrState", err)
		}
	})
}

func TestAReinstalledMachineTakesItsCIOver(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		key := newKey(t)
		old := b.enrolled("a", key, enrol.Token{})
		b.do(func(w enrol.Writer) error { _, err := w.MarkCloned(day, old.ID); return err })
		b.do(func(w enrol.Writer) error { return w.PutChain(old.ID, enrol.Chain{Seq: 9}) })
		fresh := b.enrolled("b", newKey(t), enrol.Token{CI: old.CI})
		if fresh.CI != old.CI {
			t.Fatalf("CI %s, want %s", fresh.CI, old.CI)
		}
		if err := b.look(func(v enrol.View, items cmdb.View) error {
			if _, err := v.Key(identity.IDOf(identity.Public(key))); !errors.Is(err, enrol.ErrUnknown) {
				t.Errorf("the old key: %v, want ErrUnknown", err)
			}
			k, ok, err := v.KeyOf(old.CI)
			if !ok || k.ID != fresh.ID {
				t.Errorf("the CI's key is %s", k.ID)
			}
			if c, err := v.Chain(fresh.ID); err != nil || c.Seq != 0 {
				t.Errorf("the new key begins at %d, %v", c.Seq, err)
			}
			ci, err2 := items.CI(old.CI)
			if ci.Cloned {
				t.Error("the CI still counts as cloned")
			}
			return errors.Join(err, err2)
		}); err != nil {
			t.Fatal(err)
		}
		// The old key's end does not take the new one along.
		if err := b.try(func(w enrol.Writer) error { _, err := w.Revoke(day, old.ID, "x", ""); return err }); !errors.Is(err, enrol.ErrState) {
			t.Errorf("revoking the old key: %v", err)
		}
	})
}

func TestATokenNamesWhatExists(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		for _, tt := range []struct {
			token enrol.Token
			want  error
		}{
			{enrol.Token{ID: "a", CI: cmdb.NewID()}, cmdb.ErrNotFound},
			{enrol.Token{ID: "a", Site: "elm"}, cmdb.ErrInvalid},
			{enrol.Token{ID: "a", Class: "toaster"}, cmdb.ErrInvalid},
		} {
			if err := b.try(func(w enrol.Writer) error { _, err := w.AddToken(tt.token); return err }); !errors.Is(err, tt.want) {
				t.Errorf("%+v: %v, want %v", tt.token, err, tt.want)
			}
		}
	})
}

func TestWhatAMachineCallsItselfIsInertAndFits(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		q := request(newKey(t), "a", b.token(enrol.Token{ID: "a"}))
		q.Hostname, q.Version = "pc\x1b]0;x\a"+strings.Repeat("<&\xff", 5000), strings.Repeat("\n", 9000)
		k, err := b.ask(day, q)
		if err != nil {
			t.Fatal(err)
		}
		if len(k.Hostname) > 500 || strings.ContainsAny(k.Hostname+k.Version, "\x1b\n") || !utf8.ValidString(k.Hostname) {
			t.Errorf("host name %q", k.Hostname)
		}
	})
}

func TestKeysAreFoundByTheBeginningOfTheirID(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		k := b.enrolled("a", newKey(t), enrol.Token{})
		if err := b.look(func(v enrol.View, _ cmdb.View) error {
			for prefix, want := range map[string]int{"": 1, k.ID[:6]: 1, strings.ToUpper(k.ID[:9]): 1, k.ID: 1, k.ID + "0": 0, "zz": 0} {
				keys, err := v.Keys(prefix)
				if err != nil || len(keys) != want {
					t.Errorf("Keys(%q): %d, %v, want %d", prefix, len(keys), err, want)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}
