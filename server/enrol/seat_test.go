package enrol_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
)

// room is a boot image and the machines that boot from it.
type room struct {
	*base
	secret []byte
	heard  map[string]time.Time
}

func newRoom(b *base, uses int) *room {
	b.withSites()
	r := &room{base: b, heard: map[string]time.Time{}}
	r.secret = b.token(enrol.Token{
		ID: "image", Kind: enrol.Netboot, Site: "elm/north", Class: "diskless", Uses: uses, Nets: []string{"10.20.0.0/16"}, Expires: day.Add(400 * 24 * time.Hour),
	})
	return r
}

// boot is what a machine does at each boot: it makes a key and asks.
func (r *room) boot(now time.Time, key identity.Key, mac string) (enrol.Key, error) {
	q := request(key, "image", r.secret)
	q.Addr = netip.MustParseAddr("10.20.1.1")
	q.Facts = fact.NewSet([]fact.Fact{{Path: "net/eth0/mac", Value: mac}, {Path: "net/enx1/permanent", Value: "00:00:00:00:00:01"}, {Path: "id/class", Value: "server"}})
	q.Heard = func(ci string) time.Time { return r.heard[ci] }
	return r.ask(now, q)
}

const mac = "52:54:00:00:00:07"

func TestASeatIsOneCIHoweverOftenItBoots(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		r := newRoom(b, 500)
		first, err := r.boot(day, newKey(t), mac)
		if err != nil || first.State != enrol.Enrolled || first.TrustClass() != enrol.T0 || first.Class != "diskless" {
			t.Fatalf("%+v, %v", first, err)
		}
		now := day
		last := first
		for range 3 {
			now = now.Add(24 * time.Hour)
			k, err := r.boot(now, newKey(t), mac)
			if err != nil || k.State != enrol.Enrolled || k.CI != first.CI || k.Replaced != last.ID {
				t.Fatalf("the next day: %+v, %v", k, err)
			}
			if old := b.anyKey(last.ID); old.State != enrol.Revoked || old.Facts != nil {
				t.Errorf("the session before: %s, %d bytes of facts", old.State, len(old.Facts))
			}
			last = k
		}
		other, err := r.boot(now, newKey(t), "52:54:00:00:00:08")
		if err != nil || other.CI == first.CI {
			t.Errorf("another seat: %s, %v", other.CI, err)
		}
		if tok := b.stored("image"); tok.Used != 2 || tok.Standing(now) != "good" {
			t.Errorf("%d seats, %s", tok.Used, tok.Standing(now))
		}
		if err := b.look(func(_ enrol.View, items cmdb.View) error {
			ci, err := items.CI(first.CI)
			if ci.TrustClass() != enrol.T0 || ci.Rev != 1 {
				t.Errorf("the seat: trust %s, revision %d", ci.TrustClass(), ci.Rev)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	})
}

// T2: a pupil claims the seat of a machine that is on.
func TestAClaimOfASeatThatIsAliveWaitsAndOverwritesNothing(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		r := newRoom(b, 500)
		honest, err := r.boot(day, newKey(t), mac)
		if err != nil {
			t.Fatal(err)
		}
		pupil := newKey(t)
		now := day.Add(time.Minute)
		claim, err := r.boot(now, pupil, mac)
		if err != nil || claim.State != enrol.Pending || claim.Seat != honest.CI {
			t.Fatalf("%+v, %v", claim, err)
		}
		for range 3 { // the seat goes on reporting, the pupil goes on asking
			now = now.Add(time.Hour)
			r.heard[honest.CI] = now.Add(-time.Minute)
			if k, err := r.boot(now, pupil, mac); err != nil || k.State != enrol.Pending || k.Reason == "" {
				t.Errorf("%s, %q, %v", k.State, k.Reason, err)
			}
		}
		if err := b.look(func(v enrol.View, items cmdb.View) error {
			if k, ok, err := v.KeyOf(honest.CI); err != nil || !ok || k.ID != honest.ID {
				t.Errorf("the seat's key is %s, %v", k.ID, err)
			}
			ci, err := items.CI(honest.CI)
			if ci.Rev != 2 {
				t.Errorf("revision %d, want the conflict told once", ci.Rev)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		b.do(func(w enrol.Writer) error {
			_, err := w.Refuse(now, claim.ID, "operator ola", "no such seat")
			return err
		})
	})
}

func TestAMachineThatWasSwitchedOffAndOnGetsItsSeatWhenTheOldSessionIsSilent(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		r := newRoom(b, 500)
		first, err := r.boot(day, newKey(t), mac)
		if err != nil {
			t.Fatal(err)
		}
		r.heard[first.CI] = day.Add(10 * time.Minute)
		key, on := newKey(t), day.Add(20*time.Minute)
		for _, tt := range []struct {
			after time.Duration
			want  enrol.State
		}{{0, enrol.Pending}, {64 * time.Minute, enrol.Pending}, {65 * time.Minute, enrol.Enrolled}, {66 * time.Minute, enrol.Enrolled}} {
			k, err := r.boot(on.Add(tt.after), key, mac)
			if err != nil || k.State != tt.want || k.State == enrol.Enrolled && k.CI != first.CI {
				t.Errorf("%s after it was switched on: %s, %v, want %s", tt.after, k.State, err, tt.want)
			}
		}
	})
}

func TestClaimsAreBoundedForEachSeatAndInSeats(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		r := newRoom(b, 3)
		for i := range 6 {
			_, err := r.boot(day.Add(time.Duration(i)*time.Second), newKey(t), mac)
			if ok := i < 5; ok != (err == nil) || !ok && !errors.Is(err, enrol.ErrRate) {
				t.Errorf("claim %d in a minute: %v", i+1, err)
			}
		}
		if _, err := r.boot(day.Add(2*time.Minute), newKey(t), mac); !errors.Is(err, enrol.ErrRate) {
			t.Errorf("while four wait: %v, want ErrRate", err)
		}
		for i := range 4 {
			_, err := r.boot(day, newKey(t), fmt.Sprintf("52:54:00:00:01:%02d", i))
			if ok := i < 2; ok != (err == nil) || !ok && !errors.Is(err, enrol.ErrToken) {
				t.Errorf("seat %d of 3: %v", i+2, err)
			}
		}
		q := request(newKey(t), "image", r.secret)
		q.Addr, q.Facts = netip.MustParseAddr("10.20.1.1"), nil
		if _, err := r.ask(day, q); !errors.Is(err, enrol.ErrToken) {
			t.Errorf("a claim of no seat: %v, want ErrToken", err)
		}
	})
}

func TestAnImageTokenAdmitsNothingElse(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		r := newRoom(b, 500)
		tjener := b.aServer()
		if _, err := r.boot(day, newKey(t), mac); err != nil {
			t.Fatal(err)
		}
		claim, err := r.boot(day, newKey(t), mac)
		if err != nil || claim.State != enrol.Pending {
			t.Fatalf("%s, %v", claim.State, err)
		}
		for _, as := range []struct {
			ci, site, class string
			want            error
		}{{tjener, "", "", enrol.ErrTrust}, {"", "elm", "", enrol.ErrTrust}, {"", "", "server", enrol.ErrInvalid}, {"", "", "workstation", enrol.ErrInvalid}} {
			if err := b.try(func(w enrol.Writer) error {
				_, err := w.Approve(day, claim.ID, "operator ola", as.ci, as.site, as.class)
				return err
			}); !errors.Is(err, as.want) {
				t.Errorf("as %+v: %v, want %v", as, err, as.want)
			}
		}
		b.do(func(w enrol.Writer) error { _, err := w.Approve(day, claim.ID, "operator ola", "", "", ""); return err })
		if k := b.anyKey(claim.ID); k.State != enrol.Enrolled || k.CI != claim.Seat {
			t.Errorf("approved, it is %s and CI %s, want its seat", k.State, k.CI)
		}
		// Nor does anything else take a seat over.
		if err := b.try(func(w enrol.Writer) error {
			_, err := w.AddToken(enrol.Token{ID: "x", CI: claim.Seat, Expires: day})
			return err
		}); !errors.Is(err, enrol.ErrTrust) {
			t.Errorf("a reinstall token for a seat: %v, want ErrTrust", err)
		}
		k, err := b.ask(day, request(newKey(t), "w", b.token(enrol.Token{ID: "w", Approve: true})))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.try(func(w enrol.Writer) error {
			_, err := w.Approve(day, k.ID, "operator ola", claim.Seat, "", "")
			return err
		}); !errors.Is(err, enrol.ErrTrust) {
			t.Errorf("a machine with a disk as a seat: %v, want ErrTrust", err)
		}
	})
}

func TestASeatIsNeverMergedNorAnyCIForWhichAKeySpeaks(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		r := newRoom(b, 500)
		seat, err := r.boot(day, newKey(t), mac)
		if err != nil {
			t.Fatal(err)
		}
		pc, other := b.enrolled("one", newKey(t), enrol.Token{}), b.enrolled("two", newKey(t), enrol.Token{})
		try := func(goes, into string) error {
			return b.try(func(w enrol.Writer) error { return w.MayMerge(goes, into) })
		}
		if err := try(pc.CI, other.CI); !errors.Is(err, enrol.ErrState) {
			t.Errorf("a CI for which a key speaks: %v, want ErrState", err)
		}
		if err := b.try(func(w enrol.Writer) error { _, err := w.Revoke(day, pc.ID, "kari", "gone"); return err }); err != nil {
			t.Fatal(err)
		}
		if err := try(pc.CI, other.CI); err != nil {
			t.Errorf("one whose key has ended: %v", err)
		}
		if err := try(pc.CI, seat.CI); !errors.Is(err, enrol.ErrTrust) {
			t.Errorf("into a seat: %v, want ErrTrust", err)
		}
		if err := b.try(func(w enrol.Writer) error { _, err := w.Revoke(day, seat.ID, "kari", "gone"); return err }); err != nil {
			t.Fatal(err)
		}
		if err := try(seat.CI, other.CI); !errors.Is(err, enrol.ErrTrust) {
			t.Errorf("a seat: %v, want ErrTrust", err)
		}
	})
}

func TestASeatThatReportsOnceIsFreeTwoMinutesLater(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		r := newRoom(b, 500)
		boot := func(now time.Time, oneShot bool) enrol.Key {
			t.Helper()
			q := request(newKey(t), "image", r.secret)
			q.Addr, q.OneShot = netip.MustParseAddr("10.20.1.1"), oneShot
			q.Facts = fact.NewSet([]fact.Fact{{Path: "net/eth0/mac", Value: mac}})
			q.Heard = func(string) time.Time { return now } // its report came a moment ago
			k, err := r.ask(now, q)
			if err != nil {
				t.Fatal(err)
			}
			return k
		}
		now := day
		if k := boot(now, true); k.State != enrol.Enrolled || !k.OneShot {
			t.Fatalf("the first boot: %+v", k)
		}
		if k := boot(now.Add(enrol.SeatOneShot-time.Second), true); k.State != enrol.Pending {
			t.Errorf("another one while the first may still speak: %s, want pending", k.State)
		}
		now = now.Add(enrol.SeatOneShot)
		if k := boot(now, false); k.State != enrol.Enrolled {
			t.Errorf("two minutes later: %s, want enrolled", k.State)
		}
		if k := boot(now.Add(enrol.SeatOneShot), true); k.State != enrol.Pending {
			t.Errorf("after one that goes on speaking: %s, want pending", k.State)
		}
	})
}

func TestATokenOfAnImageNamesACIOfThatClass(t *testing.T) {
	b := newBase(t)
	b.withSites()
	b.items(func(w cmdb.Writer) error {
		if err := w.Found(day, "ci00000000000000000001", "edu12", "image", "elm/north", "operator kari", ""); err != nil {
			return err
		}
		return w.Found(day, "ci00000000000000000002", "pc07", "workstation", "elm/north", "operator kari", "")
	})
	add := func(kind enrol.Kind, image string) error {
		tok := enrol.Token{ID: string(kind) + image, Kind: kind, Site: "elm/north", Class: "diskless", Image: image, Nets: []string{"10.20.0.0/16"}, Created: day, Expires: day.Add(time.Hour)}
		return b.try(func(w enrol.Writer) error { _, err := w.AddToken(tok); return err })
	}
	if err := add(enrol.Netboot, "ci00000000000000000001"); err != nil {
		t.Errorf("a CI of class image: %v", err)
	}
	for what, err := range map[string]error{
		"a workstation": add(enrol.Netboot, "ci00000000000000000002"), "no CI": add(enrol.Netboot, "ci00000000000000000003"), "a token for one machine": add(enrol.Single, "ci00000000000000000001"),
	} {
		if !errors.Is(err, enrol.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
}
