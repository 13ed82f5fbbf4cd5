package auth_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"rollcall/server/auth"
	"rollcall/server/store"
)

func TestAProposalIsDecidedOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, e store.Engine, w *store.Writer) {
		p := auth.Proposal{ID: "1", Method: "/m", Request: []byte("x"), What: "do it", By: "ola", Made: day}
		propose := func(p auth.Proposal) error {
			var known []auth.Proposal
			if err := e.View(t.Context(), func(r store.Reader) (err error) {
				known, err = auth.Proposals(r, tenant)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return w.Update(t.Context(), func(tx store.Tx) error { return auth.Propose(tx, tenant, p, known) })
		}
		decide := func(at time.Time, state, second, run string) error {
			return w.Update(t.Context(), func(tx store.Tx) error {
				_, err := auth.Decide(tx, tenant, at, p.ID, state, second, "", run)
				return err
			})
		}
		if err := propose(p); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name               string
			at                 time.Time
			state, second, run string
			want               error
		}{
			{"confirmed by who made it", day, auth.Confirmed, "ola", "a", auth.ErrProposal},
			{"too late", day.Add(auth.ProposalLife), auth.Confirmed, "kari", "a", auth.ErrProposal},
			{"confirmed", day.Add(auth.ProposalLife - 1), auth.Confirmed, "kari", "a", nil},
			{"the same transaction again", day, auth.Confirmed, "kari", "a", nil},
			{"another call", day, auth.Confirmed, "kari", "b", auth.ErrProposal},
			{"declined after that", day, auth.Declined, "ola", "c", auth.ErrProposal},
		} {
			if err := decide(tt.at, tt.state, tt.second, tt.run); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		}
		p.ID = "2"
		if err := propose(p); err != nil {
			t.Fatal(err)
		}
		if err := decide(day, auth.Declined, "ola", "d"); err != nil {
			t.Errorf("taken back by who made it: %v", err)
		}
		p.ID, p.Request = "3", make([]byte, 33<<10)
		if err := propose(p); !errors.Is(err, auth.ErrProposal) {
			t.Errorf("a request of 33 KiB: %v, want ErrProposal", err)
		}
		p.Request, p.Made = nil, day.AddDate(0, 0, 91)
		if err := propose(p); err != nil {
			t.Fatal(err)
		}
		if err := e.View(t.Context(), func(r store.Reader) error {
			all, err := auth.Proposals(r, tenant)
			if len(all) != 1 || all[0].ID != "3" {
				t.Errorf("after 91 days %d are kept, want the new one only", len(all))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestNotMoreProposalsWaitThanPeopleCanRead(t *testing.T) {
	onEngines(t, func(t *testing.T, e store.Engine, w *store.Writer) {
		var known []auth.Proposal
		for i := range 200 {
			known = append(known, auth.Proposal{ID: fmt.Sprint(i), Made: day, State: auth.Waiting})
		}
		propose := func(made time.Time) error {
			return w.Update(t.Context(), func(tx store.Tx) error {
				return auth.Propose(tx, tenant, auth.Proposal{ID: "x", Made: made}, known)
			})
		}
		if err := propose(day); !errors.Is(err, auth.ErrProposal) {
			t.Errorf("one more than 200: %v, want ErrProposal", err)
		}
		if err := propose(day.Add(auth.ProposalLife)); err != nil {
			t.Errorf("after they have expired: %v", err)
		}
	})
}

func TestWhatWasDoneAloneIsListedByTime(t *testing.T) {
	onEngines(t, func(t *testing.T, e store.Engine, w *store.Writer) {
		for i := range 3 {
			g := auth.Glass{At: day.Add(time.Duration(i) * time.Hour), By: "operator kari", What: fmt.Sprint(i), Reason: "alone"}
			if err := w.Update(t.Context(), func(tx store.Tx) error { return auth.PutGlass(tx, tenant, g) }); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.View(t.Context(), func(r store.Reader) error {
			all, err := auth.Broken(r, tenant, day.Add(time.Hour))
			if len(all) != 2 || all[0].What != "1" || all[1].What != "2" {
				t.Errorf("since the second: %v", all)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}
