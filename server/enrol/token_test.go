package enrol_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
)

// withSites adds sites that tokens name.
func (b *base) withSites() {
	b.t.Helper()
	b.items(func(w cmdb.Writer) error {
		return errors.Join(w.SetSite(cmdb.Site{Path: "elm"}), w.SetSite(cmdb.Site{Path: "elm/north"}))
	})
}

func TestWhatEachKindOfTokenMayBe(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.withSites()
		ci := b.enrolled("first", newKey(t), enrol.Token{}).CI
		nets := []string{"10.20.0.0/16", "2001:db8::/48"}
		tests := []struct {
			name string
			t    enrol.Token
			ok   bool
		}{
			{"single", enrol.Token{}, true},
			{"single, of any class", enrol.Token{Class: "printer"}, true},
			{"single, a week", enrol.Token{Created: day, Expires: day.Add(7 * 24 * time.Hour)}, true},
			{"single, more than a week", enrol.Token{Created: day, Expires: day.Add(7*24*time.Hour + 1)}, false},
			{"single, twice", enrol.Token{Uses: 2}, false},
			{"single, from one network", enrol.Token{Nets: nets}, true},
			{"single, from something that is no network", enrol.Token{Nets: []string{"10.20.0.0"}}, false},
			{"an unknown kind", enrol.Token{Kind: "gift"}, false},
			{"batch", enrol.Token{Kind: enrol.Batch, Site: "elm", Class: "laptop", Uses: 500, Approve: true}, true},
			{"batch, from its network without approval", enrol.Token{Kind: enrol.Batch, Site: "elm", Class: "laptop", Uses: 30, Nets: nets}, true},
			{"batch, from anywhere without approval", enrol.Token{Kind: enrol.Batch, Site: "elm", Class: "laptop", Uses: 30}, false},
			{"batch of servers", enrol.Token{Kind: enrol.Batch, Site: "elm", Class: "server", Uses: 3, Nets: nets, Approve: true}, false},
			{"batch of anything", enrol.Token{Kind: enrol.Batch, Site: "elm", Uses: 3, Nets: nets, Approve: true}, false},
			{"batch without a site", enrol.Token{Kind: enrol.Batch, Class: "laptop", Uses: 3, Nets: nets}, false},
			{"batch of 501", enrol.Token{Kind: enrol.Batch, Site: "elm", Class: "laptop", Uses: 501, Approve: true}, false},
			{"reinstall", enrol.Token{CI: ci}, true},
			{"reinstall, two days", enrol.Token{CI: ci, Created: day, Expires: day.Add(48 * time.Hour)}, false},
			{"reinstall of nothing", enrol.Token{Kind: enrol.Reinstall}, false},
			{"reinstall elsewhere", enrol.Token{CI: ci, Site: "elm"}, false},
			{"batch of one CI", enrol.Token{Kind: enrol.Batch, CI: ci, Site: "elm", Class: "laptop", Nets: nets}, false},
			{"netboot", enrol.Token{Kind: enrol.Netboot, Site: "elm", Class: "diskless", Uses: 500, Nets: nets, Created: day, Expires: day.Add(400 * 24 * time.Hour)}, true},
			{"netboot of workstations", enrol.Token{Kind: enrol.Netboot, Site: "elm", Class: "workstation", Nets: nets}, false},
			{"netboot of servers", enrol.Token{Kind: enrol.Netboot, Site: "elm", Class: "server", Nets: nets}, false},
			{"netboot from anywhere", enrol.Token{Kind: enrol.Netboot, Site: "elm", Class: "thin-client"}, false},
			{"netboot without a site", enrol.Token{Kind: enrol.Netboot, Class: "thin-client", Nets: nets}, false},
		}
		for i, tt := range tests {
			tt.t.ID = string(rune('a' + i))
			if tt.t.Expires.IsZero() {
				tt.t.Expires = day.Add(time.Hour)
			}
			err := b.try(func(w enrol.Writer) error { _, err := w.AddToken(tt.t); return err })
			if tt.ok && err != nil || !tt.ok && !errors.Is(err, enrol.ErrInvalid) {
				t.Errorf("%s: %v, want ok %v", tt.name, err, tt.ok)
			}
		}
	})
}

func TestABatchTokenAdmitsAsManyAsItSaysFromItsNetworksOnly(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.withSites()
		secret := b.token(enrol.Token{ID: "b", Kind: enrol.Batch, Site: "elm/north", Class: "laptop", Uses: 3, Nets: []string{"10.20.0.0/16", "2001:db8::/48"}})
		from := func(addr string) (enrol.Key, error) {
			q := request(newKey(t), "b", secret)
			q.Addr = netip.MustParseAddr(addr)
			q.Facts = fact.NewSet([]fact.Fact{{Path: "id/class", Value: "server"}}) // what it claims changes nothing
			return b.ask(day, q)
		}
		for _, addr := range []string{"10.21.0.1", "192.0.2.7", "2001:db9::1", "::ffff:10.21.0.1"} {
			if k, err := from(addr); !errors.Is(err, enrol.ErrToken) {
				t.Errorf("from %s: %q, %v, want ErrToken", addr, k.State, err)
			}
		}
		if _, err := b.ask(day, request(newKey(t), "b", secret)); !errors.Is(err, enrol.ErrToken) {
			t.Errorf("from no known address: %v, want ErrToken", err)
		}
		for i, addr := range []string{"10.20.3.4", "::ffff:10.20.3.5", "2001:db8::7", "10.20.3.6"} {
			k, err := from(addr)
			if ok := i < 3; ok && (err != nil || k.State != enrol.Enrolled || k.Class != "laptop" || k.Site != "elm/north") || !ok && !errors.Is(err, enrol.ErrToken) {
				t.Errorf("machine %d: %q %q %q, %v", i+1, k.State, k.Class, k.Site, err)
			}
		}
		if tok := b.stored("b"); tok.Used != 3 || tok.Standing(day) != "used" {
			t.Errorf("used %d times, it is %s", tok.Used, tok.Standing(day))
		}
	})
}

func TestAWithdrawnTokenAdmitsNobody(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		key := newKey(t)
		secret := b.token(enrol.Token{ID: "a", Approve: true})
		k, err := b.ask(day, request(key, "a", secret))
		if err != nil {
			t.Fatal(err)
		}
		other := b.token(enrol.Token{ID: "b"})
		b.do(func(w enrol.Writer) error { _, err := w.Withdraw(day, "b", "ola"); return err })
		if _, err := b.ask(day, request(newKey(t), "b", other)); !errors.Is(err, enrol.ErrToken) {
			t.Errorf("a withdrawn token: %v, want ErrToken", err)
		}
		b.do(func(w enrol.Writer) error { _, err := w.Withdraw(day, "a", "ola"); return err })
		b.do(func(w enrol.Writer) error { _, err := w.Approve(day, k.ID, "operator ola", "", "", ""); return err })
		if err := b.try(func(w enrol.Writer) error { _, err := w.Withdraw(day, "a", "ola"); return err }); !errors.Is(err, enrol.ErrState) {
			t.Errorf("withdrawn twice: %v, want ErrState", err)
		}
		if err := b.try(func(w enrol.Writer) error { _, err := w.Withdraw(day, "none", "ola"); return err }); !errors.Is(err, enrol.ErrToken) {
			t.Errorf("none: %v, want ErrToken", err)
		}
		if got := b.stored("a").Standing(day); got != "withdrawn" {
			t.Errorf("it is %s", got)
		}
	})
}

func TestAWaitingKeyUsesNoSecondTokenUp(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		key := newKey(t)
		first, second := b.token(enrol.Token{ID: "first", Approve: true}), b.token(enrol.Token{ID: "second"})
		for _, ask := range []struct {
			token  string
			secret []byte
		}{{"first", first}, {"second", second}, {"first", first}} {
			if k, err := b.ask(day, request(key, ask.token, ask.secret)); err != nil || k.State != enrol.Pending || k.Token != "first" {
				t.Errorf("with the %s token: %q of %q, %v", ask.token, k.State, k.Token, err)
			}
		}
		if _, err := b.ask(day, request(key, "second", first)); !errors.Is(err, enrol.ErrToken) {
			t.Errorf("with a wrong secret: %v, want ErrToken", err)
		}
		if tok := b.stored("second"); tok.Used != 0 || tok.UsedBy != "" {
			t.Errorf("the second token is used up: %+v", tok)
		}
		if k, err := b.ask(day, request(newKey(t), "second", second)); err != nil || k.State != enrol.Enrolled {
			t.Errorf("another machine with the second token: %q, %v", k.State, err)
		}
	})
}

// A token that was stored before there were kinds and uses.
func TestATokenOfAnEarlierVersionIsStillOneUse(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		for _, tt := range []struct {
			t    enrol.Token
			want string
		}{
			{enrol.Token{Expires: day}, "good"},
			{enrol.Token{Expires: day, UsedBy: "k"}, "used"},
			{enrol.Token{Expires: day.Add(-1)}, "expired"},
		} {
			if got := tt.t.Standing(day); got != tt.want {
				t.Errorf("%+v: %s, want %s", tt.t, got, tt.want)
			}
		}
	})
}

// stored reads a token back.
func (b *base) stored(id string) (t enrol.Token) {
	b.t.Helper()
	if err := b.look(func(v enrol.View, _ cmdb.View) error {
		all, err := v.Tokens()
		for _, one := range all {
			if one.ID == id {
				t = one
			}
		}
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	return t
}

// FuzzAdmit gives hostile requests to a store with one good token: none is
// admitted, and whatever a machine calls itself is inert.
func FuzzAdmit(f *testing.F) {
	f.Add("good", []byte("proof"), "pc07", []byte{}, "1.2")
	f.Add("", []byte{}, "\x1b]0;x\a", []byte("\x00\x01"), strings.Repeat("x", 600))
	f.Fuzz(func(t *testing.T, token string, proof []byte, hostname string, facts []byte, version string) {
		b := newBase(t)
		b.token(enrol.Token{ID: "good"})
		set, err := fact.DecodeSet(facts)
		if err != nil {
			set = nil
		}
		q := enrol.Request{
			TokenID: token, Proof: proof, Exporter: exporter, Public: identity.Public(newKey(t)), Hostname: hostname, Facts: set, Version: version,
		}
		if _, err := b.ask(day, q); err == nil {
			t.Errorf("admitted with token %q and proof %x", token, proof)
		}
		secret := b.token(enrol.Token{ID: "other"})
		q.TokenID, q.Proof = "other", identity.Proof(identity.HashSecret(secret), exporter, q.Public)
		k, err := b.ask(day, q)
		if err != nil {
			return // facts that cannot be kept
		}
		if len(k.Hostname) > 500 || strings.ContainsAny(k.Hostname+k.Version, "\x1b\n\r\x00") {
			t.Errorf("host name %q, version %q", k.Hostname, k.Version)
		}
	})
}
