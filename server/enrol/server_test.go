package enrol_test

import (
	"errors"
	"testing"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
)

// approval is one attempt to approve.
type approval struct {
	by, ci, class string
	state         enrol.State // afterwards
	err           error
}

func TestTwoPeopleStandBehindAServer(t *testing.T) {
	claims := fact.NewSet([]fact.Fact{{Path: "id/class", Value: "server"}})
	tests := []struct {
		name  string
		token enrol.Token // of kari
		facts fact.Set
		steps []approval
	}{
		{"the token names it: its maker and one other", enrol.Token{Class: "server"}, nil, []approval{
			{"kari", "", "", enrol.Pending, enrol.ErrSecondPerson},
			{"ola", "", "", enrol.Enrolled, nil},
		}},
		{"the token does not: two approve", enrol.Token{Approve: true}, nil, []approval{
			{"ola", "", "server", enrol.Pending, nil},
			{"ola", "", "server", enrol.Pending, enrol.ErrSecondPerson},
			{"per", "", "server", enrol.Enrolled, nil},
		}},
		{"the machine claims it: two approve", enrol.Token{}, claims, []approval{
			{"ola", "", "", enrol.Pending, nil},
			{"kari", "", "", enrol.Enrolled, nil},
		}},
		{"the machine claims it, one says it is none", enrol.Token{}, claims, []approval{
			{"ola", "", "workstation", enrol.Enrolled, nil},
		}},
		{"as another server than the token says: two approve", enrol.Token{Class: "server"}, nil, []approval{
			{"ola", "tjener", "", enrol.Pending, nil},
			{"per", "", "", enrol.Enrolled, nil}, // agrees with the token, and so with its maker
		}},
		{"two who do not agree are not two", enrol.Token{Approve: true}, nil, []approval{
			{"ola", "", "server", enrol.Pending, nil},
			{"per", "tjener", "", enrol.Pending, nil},
			{"ola", "tjener", "", enrol.Enrolled, nil},
		}},
		{"to take a server over", enrol.Token{CI: "tjener"}, nil, []approval{
			{"kari", "", "", enrol.Pending, enrol.ErrSecondPerson},
			{"ola", "", "", enrol.Enrolled, nil},
		}},
		{"a workstation needs one", enrol.Token{Approve: true, Class: "workstation"}, claims, []approval{
			{"kari", "", "", enrol.Enrolled, nil},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onEngines(t, func(t *testing.T, b *base) {
				tjener := b.aServer()
				at := func(ci string) string {
					if ci == "tjener" {
						return tjener
					}
					return ci
				}
				token := tt.token
				token.ID, token.CI = "t", at(token.CI)
				q := request(newKey(t), "t", b.token(token))
				if tt.facts != nil {
					q.Facts = tt.facts
				}
				k, err := b.ask(day, q)
				if err != nil || k.State != enrol.Pending {
					t.Fatalf("%q, %v, want that it waits", k.State, err)
				}
				for i, s := range tt.steps {
					err := b.try(func(w enrol.Writer) (err error) {
						_, err = w.Approve(day, k.ID, "operator "+s.by, at(s.ci), "", s.class)
						return err
					})
					now := b.anyKey(k.ID)
					if !errors.Is(err, s.err) || now.State != s.state {
						t.Fatalf("step %d, %s: %v, it is %s; want %v, %s", i+1, s.by, err, now.State, s.err, s.state)
					}
				}
			})
		})
	}
}

func TestABatchNeverAdmitsAServer(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.withSites()
		tjener := b.aServer()
		secret := b.token(enrol.Token{ID: "b", Kind: enrol.Batch, Site: "elm", Class: "workstation", Uses: 9, Approve: true})
		k, err := b.ask(day, request(newKey(t), "b", secret))
		if err != nil {
			t.Fatal(err)
		}
		for _, by := range []string{"ola", "per"} {
			for _, as := range []struct{ ci, class string }{{tjener, ""}, {"", "server"}} {
				if err := b.try(func(w enrol.Writer) error {
					_, err := w.Approve(day, k.ID, "operator "+by, as.ci, "", as.class)
					return err
				}); !errors.Is(err, enrol.ErrInvalid) {
					t.Errorf("as %+v: %v, want ErrInvalid", as, err)
				}
			}
		}
	})
}

// aServer is a CI of class server that is enrolled.
func (b *base) aServer() string {
	b.t.Helper()
	k := b.enrolled("of-tjener", newKey(b.t), enrol.Token{})
	b.items(func(w cmdb.Writer) error {
		ci, err := w.CI(k.CI)
		if err != nil {
			return err
		}
		next := ci
		next.Class = "server"
		_, _, err = w.Record(day, ci, next, cmdb.Revision{By: "operator kari"})
		return err
	})
	return k.CI
}

// anyKey reads a key in whatever state it is.
func (b *base) anyKey(id string) (k enrol.Key) {
	b.t.Helper()
	if err := b.look(func(v enrol.View, _ cmdb.View) (err error) {
		k, _, err = v.Any(id)
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	return k
}
