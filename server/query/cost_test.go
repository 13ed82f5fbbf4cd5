package query_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/query"
)

// big is a subject with n facts in every section.
type big struct{ set fact.Set }

func newBig(n int) big {
	var facts []fact.Fact
	for i := range n {
		facts = append(facts, fact.Fact{Path: fmt.Sprintf("pkg/p%06d/version", i), Value: strings.Repeat("a", 60)})
	}
	return big{fact.NewSet(facts)}
}

func (b big) AsOf(time.Time) (query.Subject, bool, error) { return b, true, nil }

func (b big) Field(string) ([]string, bool)           { return nil, false }
func (b big) Facts(string) (fact.Set, error)          { return b.set, nil }
func (b big) Changed(string) (time.Time, bool, error) { return time.Time{}, false, nil }

// The most expensive filter that is taken costs a tenth of a second on one machine;
// what costs more is refused, and says what to do.
func TestClass35OneFilterCostsATenthOfASecondOnOneMachine(t *testing.T) {
	machine := newBig(5000)
	hostile := strings.Repeat("a*", 30) + "b"
	var parts []string
	for range 30 {
		parts = append(parts, "fact(pkg/*/version) = '"+hostile+"'")
	}
	many := "fact(pkg/*/version) in ('" + strings.Repeat(hostile+"','", 50) + "x')"
	for name, tt := range map[string]struct {
		filter string
		want   error
	}{
		"a package":           {"pkg(p000001) < 2", nil},
		"all packages":        {"fact(pkg/*/version) = '1.*'", nil},
		"many hostile globs":  {strings.Join(parts, " or "), query.ErrCost},
		"five hostile globs":  {"fact(pkg/*/version) in ('" + strings.Repeat(hostile+"','", 5) + "x')", nil},
		"a list of globs":     {many, query.ErrCost},
		"the same, turned":    {"not (" + many + ")", query.ErrCost},
		"stars in the path":   {"fact(pkg/" + strings.Repeat("*a", 60) + "*) = 1", nil},
		"a long list of text": {"fact(pkg/*/version) in (" + strings.Repeat("x,", 99) + "x)", nil},
	} {
		e, err := query.Parse(tt.filter, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		begin := time.Now()
		_, err = query.Match(e, machine, time.Unix(0, 0))
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		// Far above the promise: this machine may be busy.
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

func BenchmarkMostExpensiveFilter(b *testing.B) {
	machine := newBig(5000)
	e, err := query.Parse("fact(pkg/*/version) in ('"+strings.Repeat(strings.Repeat("a*", 30)+"b','", 5)+"x')", nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := query.Match(e, machine, time.Unix(0, 0)); err != nil {
			b.Fatal(err)
		}
	}
}
