package auth_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"rollcall/internal/identity"
	"rollcall/server/auth"
	"rollcall/server/store"
)

const idle = 30 * time.Minute

func TestPasswordsAreHashedAndCompared(t *testing.T) {
	h := auth.NewHasher(2)
	one, err := h.Hash(t.Context(), "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	two, err := h.Hash(t.Context(), "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	if one == two || !strings.HasPrefix(one, "$argon2id$v=19$m=19456,t=2,p=1$") || strings.Contains(one, "horse") {
		t.Errorf("stored: %s and %s, want argon2id with a salt of its own", one, two)
	}
	for _, tt := range []struct {
		stored, password string
		same             bool
	}{
		{one, "correct horse battery", true},
		{two, "correct horse battery", true},
		{one, "correct horse batterz", false},
		{one, "", false},
		{"", "correct horse battery", false},
		{"", "", false},
	} {
		if same, err := h.Same(t.Context(), tt.stored, tt.password); err != nil || same != tt.same {
			t.Errorf("%q against %.20q: %v, %v, want %v", tt.password, tt.stored, same, err, tt.same)
		}
	}
	for _, damaged := range []string{"x", "$argon2id$", strings.Replace(one, "m=19456", "m=99999999", 1), strings.Replace(one, "argon2id", "argon2i", 1), one[:len(one)-4]} {
		if same, err := h.Same(t.Context(), damaged, "correct horse battery"); err == nil || same {
			t.Errorf("a damaged record %q: %v, %v", damaged, same, err)
		}
	}
}

func TestPasswordsWaitForTheirTurn(t *testing.T) {
	h := auth.NewHasher(0) // no room ever
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if _, err := h.Hash(ctx, "x"); !errors.Is(err, auth.ErrBusy) {
		t.Errorf("Hash: %v, want ErrBusy", err)
	}
	if _, err := h.Same(ctx, "", "x"); !errors.Is(err, auth.ErrBusy) {
		t.Errorf("Same: %v, want ErrBusy", err)
	}
}

func TestASessionBelongsToItsEpoch(t *testing.T) {
	onEngines(t, func(t *testing.T, e store.Engine, w *store.Writer) {
		token, secret := identity.NewSecret(), identity.NewSecret()
		if err := add(t, w, "kari", auth.Viewer, token); err != nil {
			t.Fatal(err)
		}
		update := func(fn func(tx store.Tx) error) {
			t.Helper()
			if err := w.Update(t.Context(), fn); err != nil {
				t.Fatal(err)
			}
		}
		uses := auth.NewUses()
		check := func(now time.Time) error {
			o, s, err := auth.CheckSession(t.Context(), e, tenant, "kari", secret, now, idle, uses)
			if err == nil && (o.Name != "kari" || s.Hash != identity.HashSecret(secret)) {
				t.Errorf("the session opens %+v", o)
			}
			return err
		}
		open := func() {
			t.Helper()
			update(func(tx store.Tx) error {
				o, _, err := auth.Get(tx, tenant, "kari")
				if err != nil {
					return err
				}
				s := auth.Session{Made: day, Expires: day.Add(8 * time.Hour), Seen: day, Hash: identity.HashSecret(secret)}
				return auth.Open(tx, tenant, o, s, nil, idle)
			})
		}
		open()
		for _, tt := range []struct {
			name string
			at   time.Duration
			want error
		}{
			{"at once", 0, nil},
			{"after the pause", idle + time.Second, auth.ErrWho},
			{"when the clock is set back a little", -time.Minute, nil},
			{"when it is set back for long", -48 * time.Hour, auth.ErrWho},
		} {
			if err := check(day.Add(tt.at)); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		}
		for at := time.Duration(0); at < 8*time.Hour; at += 20 * time.Minute {
			if err := check(day.Add(at)); err != nil {
				t.Fatalf("in use after %s: %v", at, err)
			}
			uses.Note("kari", identity.HashSecret(secret), day.Add(at))
			if at%time.Hour == 0 {
				if err := uses.Save(t.Context(), w, tenant); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := check(day.Add(8 * time.Hour)); !errors.Is(err, auth.ErrWho) {
			t.Errorf("after its time: %v, want ErrWho", err)
		}
		for name, end := range map[string]func(tx store.Tx) error{
			"password": func(tx store.Tx) error { return auth.SetPassword(tx, tenant, "kari", "$hash", true) },
			"end":      func(tx store.Tx) error { return auth.End(tx, tenant, "kari", []byte(t.Name()), false, false) },
			"roles": func(tx store.Tx) error {
				return auth.Add(tx, tenant, day, "kari", auth.Everywhere(auth.Admin), "x", []byte("another"), false)
			},
			"close": func(tx store.Tx) error { return auth.Close(tx, tenant, "kari", identity.HashSecret(secret)) },
		} {
			uses = auth.NewUses()
			open()
			if err := check(day); err != nil {
				t.Fatal(err)
			}
			update(end)
			if err := check(day); !errors.Is(err, auth.ErrWho) {
				t.Errorf("after %s: %v, want ErrWho", name, err)
			}
		}
		// A session that has ended is not brought back by the figures of its use.
		uses.Note("kari", identity.HashSecret(secret), day)
		update(func(tx store.Tx) error { return auth.Close(tx, tenant, "kari", identity.HashSecret(secret)) })
		if err := uses.Save(t.Context(), w, tenant); err != nil {
			t.Fatal(err)
		}
		if err := check(day); !errors.Is(err, auth.ErrWho) {
			t.Errorf("after its use was saved: %v, want ErrWho", err)
		}
	})
}

func TestATokenThatWasEndedLetsNobodyIn(t *testing.T) {
	onEngines(t, func(t *testing.T, e store.Engine, w *store.Writer) {
		token := identity.NewSecret()
		if err := add(t, w, "kari", auth.Viewer, token); err != nil {
			t.Fatal(err)
		}
		if err := w.Update(t.Context(), func(tx store.Tx) error { return auth.End(tx, tenant, "kari", []byte("x"), true, true) }); err != nil {
			t.Fatal(err)
		}
		for _, secret := range [][]byte{token, nil, {}} {
			if _, err := auth.Check(t.Context(), e, tenant, "kari", secret); !errors.Is(err, auth.ErrWho) {
				t.Errorf("secret %x: %v, want ErrWho", secret, err)
			}
		}
		err := w.Update(t.Context(), func(tx store.Tx) error { return auth.End(tx, tenant, "nobody", []byte("x"), true, true) })
		if !errors.Is(err, auth.ErrNotFound) {
			t.Errorf("of nobody: %v, want ErrNotFound", err)
		}
	})
}
