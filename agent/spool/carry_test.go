package spool

import (
	"errors"
	"slices"
	"testing"
	"time"

	"rollcall/internal/identity"
)

// carryAll is what goes into a file, and when of it what waits.
func carryAll(t *testing.T, s *Spool) (all []Carried, waits []uint64) {
	t.Helper()
	must(t, s.Carry(func(c Carried) error {
		all = append(all, c)
		if !c.Acked {
			waits = append(waits, c.Seq)
		}
		return nil
	}))
	return all, waits
}

func TestWhatWasCarriedIsNeverDroppedForWantOfRoom(t *testing.T) {
	dir := t.TempDir()
	opt := Options{MaxBytes: 4000, MaxAge: 24 * time.Hour}
	s, srv, k := mustOpen(t, dir, opt), newServer(t), newKey(t)
	at := start
	for n := range 3 {
		_, err := add(t, s, k, n, at)
		must(t, err)
	}
	carried, first := carryAll(t, s)
	if len(first) != 3 {
		t.Fatalf("%d reports are carried, want 3", len(first))
	}
	must(t, s.Close())
	s = mustOpen(t, dir, opt) // the mark is on the disk
	for n := 3; n < 40; n++ { // too much, and too old
		at = at.Add(12 * time.Hour)
		_, err := add(t, s, k, n, at)
		must(t, err)
	}
	var left []uint64
	for _, w := range s.Waits() {
		left = append(left, w.Seq)
	}
	if !slices.Equal(left[:3], first) || len(left) > 6 {
		t.Errorf("%v wait, want %v and few more", left, first)
	}
	for _, c := range carried { // the file came, its receipts did not
		srv.accept(c.Waiting)
	}
	must(t, drain(t, s, srv))
	if !equal(srv.have, state(39)) {
		t.Error("the server has another state")
	}
}

// With room for no more, what was carried goes again and the rest waits: an export
// that could never be dropped would fill the disk.
func TestAFullSpoolCarriesWhatItCarriedBefore(t *testing.T) {
	s, k := mustOpen(t, t.TempDir(), Options{MaxBytes: 3000}), newKey(t)
	_, err := add(t, s, k, 0, start)
	must(t, err)
	_, first := carryAll(t, s)
	for n := 1; s.bytes() <= s.opt.MaxBytes; n++ {
		_, err := add(t, s, k, n, start)
		must(t, err)
	}
	if _, again := carryAll(t, s); !slices.Equal(again, first) {
		t.Errorf("%v are carried, want %v again", again, first)
	}
}

func TestAcknowledgedReportsAreCarriedForAServerThatLostThem(t *testing.T) {
	s, srv, k := mustOpen(t, t.TempDir(), Options{}), newServer(t), newKey(t)
	for n := range 2 {
		_, err := add(t, s, k, n, start)
		must(t, err)
	}
	must(t, drain(t, s, srv))
	_, err := add(t, s, k, 2, start)
	must(t, err)
	all, waits := carryAll(t, s)
	if len(all) != 3 || len(waits) != 1 || !all[0].Acked || all[2].Acked {
		t.Errorf("%d reports, %d of them wait, want 3 and 1", len(all), len(waits))
	}
	restored := newServer(t)
	for _, c := range all {
		restored.accept(c.Waiting)
	}
	if !equal(restored.have, state(2)) {
		t.Error("a server that was empty has another state")
	}
}

func TestAnErrorOfTheFileEndsIt(t *testing.T) {
	s, k := mustOpen(t, t.TempDir(), Options{}), newKey(t)
	_, err := add(t, s, k, 0, start)
	must(t, err)
	full := errors.New("the stick is full")
	if err := s.Carry(func(Carried) error { return full }); !errors.Is(err, full) {
		t.Errorf("Carry = %v, want %v", err, full)
	}
	srv := newServer(t)
	must(t, drain(t, s, srv)) // over the line, as if nothing had been
	if r := srv.receipts[srv.last]; r == nil {
		t.Error("the report did not arrive")
	} else if _, err := identity.OpenReceipt(identity.Public(srv.key), r); err != nil {
		t.Error(err)
	}
}
