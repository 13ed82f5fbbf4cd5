package compare_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rollcall/server/compare"
)

func TestTiedCandidatesAreAllShown(t *testing.T) {
	r := newRoom(6, 6)
	r.each(func(i int, broken bool) {
		if i < 5 || i == 6 { // as good as the other, on other machines
			r.facts[i]["svc/a.service"] = "enabled"
		}
		if i > 0 && i < 6 || i == 7 {
			r.facts[i]["svc/b.service"] = "enabled"
		}
		if broken {
			r.facts[i]["svc/c.service"] = "enabled"
			r.facts[i]["svc/d.service"] = "enabled"
		}
	})
	rows := r.compare(t).Rows
	if len(rows) != 3 || len(rows[0].Facts) != 2 || !strings.Contains(rows[0].What, "1 other thing") {
		t.Fatalf("rows %+v: want one of c and d, which the same machines have, then a and b", rows)
	}
	if rows[1].Score != rows[2].Score || rows[1].Strength != rows[2].Strength {
		t.Errorf("a and b: scores %v and %v, %s and %s, want them tied", rows[1].Score, rows[2].Score, rows[1].Strength, rows[2].Strength)
	}
}

// TestSmallGroupsAreJudgedByEffect holds that no test of significance keeps the
// answer from a handful of machines.
func TestSmallGroupsAreJudgedByEffect(t *testing.T) {
	for _, n := range []int{2, 3, 4} {
		r := newRoom(n, n)
		r.each(func(i int, broken bool) {
			r.facts[i]["svc/cups.service"] = map[bool]string{true: "masked", false: "enabled"}[broken]
			r.facts[i][fmt.Sprintf("pkg/extra%d/version", i)] = "1.0"
		})
		res := r.compare(t)
		if res.Verdict != compare.Cause || res.Rows[0].IDs[0] != "fact:svc/cups.service" || res.Rows[0].P < 0.01 {
			t.Errorf("%d against %d: verdict %s, rows %+v", n, n, res.Verdict, res.Rows)
		}
		if small := strings.Contains(strings.Join(res.Notes, "\n"), "the smaller group has"); small != (n < 3) {
			t.Errorf("%d against %d: notes %q", n, n, res.Notes)
		}
	}
}

func TestMachinesThatReportNothingOfASectionAreUnknown(t *testing.T) {
	r := newRoom(6, 6)
	r.each(func(i int, broken bool) {
		if broken {
			r.facts[i]["module/tg3"] = "loaded"
		} else {
			r.facts[i]["module/e1000e"] = "loaded"
		}
		if delete(r.facts[i], "module/ext4"); i == 0 {
			delete(r.facts[i], "module/tg3")
		}
	})
	res := r.compare(t)
	if got, want := res.Rows[0].Broken, (compare.Count{Have: 5, Of: 5}); got != want {
		t.Errorf("%q: %s broken, want %s: one reports no modules", res.Rows[0].What, got, want)
	}
}

func TestBadGroupsAreSaid(t *testing.T) {
	r := newRoom(3, 3)
	g := r.groups()
	if _, err := compare.Compare(t.Context(), compare.Groups{Working: g.Working}); !errors.Is(err, compare.ErrEmpty) || !strings.Contains(err.Error(), "selects no machine") {
		t.Errorf("no broken machines: %v, want ErrEmpty that says so", err)
	}
	if _, err := compare.Compare(t.Context(), compare.Groups{Broken: g.Broken, Working: g.Broken}); !errors.Is(err, compare.ErrEmpty) || !strings.Contains(err.Error(), "in the other group too") {
		t.Errorf("same machines twice: %v, want ErrEmpty that says so", err)
	}
	many := make([]compare.Machine, compare.MaxMachines)
	for i := range many {
		many[i].ID = fmt.Sprint("m", i)
	}
	if _, err := compare.Compare(t.Context(), compare.Groups{Broken: g.Broken, Working: many}); !errors.Is(err, compare.ErrTooBig) {
		t.Errorf("too many: %v, want ErrTooBig", err)
	}
	overlap := compare.Groups{Broken: g.Broken, Working: append(g.Working, g.Broken[0])}
	res, err := compare.Compare(t.Context(), overlap)
	if err != nil || !strings.Contains(strings.Join(res.Notes, "\n"), "1 machines are in both groups") {
		t.Errorf("overlap: %v, notes %q", err, res.Notes)
	}
}

func TestOneBrokenMachineIsComparedWithItsLike(t *testing.T) {
	r := newRoom(1, 9)
	r.facts[0]["svc/cups.service"] = "masked"
	res := r.compare(t)
	if len(res.Rows) == 0 || res.Rows[0].IDs[0] != "fact:svc/cups.service" || res.Verdict != compare.Cause {
		t.Errorf("verdict %s, rows %+v", res.Verdict, res.Rows)
	}
}

func TestPairsExplainWhatNoSingleOneDoes(t *testing.T) {
	both := newRoom(8, 15)
	both.each(func(i int, broken bool) {
		if broken || i < 13 {
			both.facts[i]["svc/a.service"] = "enabled"
		}
		if broken || i >= 18 {
			both.facts[i]["svc/b.service"] = "enabled"
		}
		for k := range 40 { // things to be confused with
			if (i*7+k*5)%11 < 3 {
				both.facts[i][fmt.Sprintf("svc/noise%d.service", k)] = "enabled"
			}
		}
	})
	either := newRoom(10, 12)
	either.each(func(i int, broken bool) {
		if broken {
			either.facts[i][fmt.Sprintf("svc/%c.service", 'a'+i%2)] = "enabled"
		}
		for k := range 40 {
			if (i*7+k*5)%11 < 3 {
				either.facts[i][fmt.Sprintf("svc/noise%d.service", k)] = "enabled"
			}
		}
	})
	for kind, r := range map[compare.Kind]*room{compare.Both: both, compare.Either: either} {
		row := r.compare(t).Rows[0]
		if row.Kind != kind || len(row.Without)+len(row.Despite) != 0 || !slices.Equal(row.IDs, []string{"fact:svc/a.service", "fact:svc/b.service"}) {
			t.Errorf("first row is %s %q %v, want %s of a and b", row.Kind, row.What, row.IDs, kind)
		}
	}
}
