package compare

import (
	"fmt"
	"math"
	"testing"
)

// fieldOf makes a field of one site, or of several, from the labels: each string
// is a site, "B" and "W" its machines.
func fieldOf(t *testing.T, sites ...string) *field {
	t.Helper()
	var g Groups
	for s, labels := range sites {
		for i, l := range labels {
			m := Machine{ID: fmt.Sprintf("m%d-%02d", s, i), Site: fmt.Sprintf("elm/%d", s)}
			if l == 'B' {
				g.Broken = append(g.Broken, m)
			} else {
				g.Working = append(g.Working, m)
			}
		}
	}
	f, _, err := newField(g)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// having returns so many broken and working machines of a field.
func (f *field) having(broken, working int) set {
	s := f.all.blank()
	for i := range f.places {
		switch {
		case f.broken.has(i) && broken > 0:
			broken--
			s.add(i)
		case f.working.has(i) && working > 0:
			working--
			s.add(i)
		}
	}
	return s
}

// patternOf makes a pattern of machines that all tell.
func (f *field) patternOf(member set) *pattern {
	all := f.tally(f.all)
	p := &pattern{Tally: f.tally(member), all: all, known: &known{bits: f.all}, bits: member}
	p.hope = f.atMost(p.Tally, all)
	return p
}

func TestExactTestIsFishers(t *testing.T) {
	f := fieldOf(t, "BBBBBBBBBBWWWWWWWWWWWW")
	for _, tt := range []struct {
		broken, working int
		want            float64
	}{
		{10, 0, 1 / 646646.0},    // 1 / C(22,10)
		{5, 0, 252 / 26334.0},    // C(10,5) / C(22,5)
		{0, 12, 1},               // the wrong way round
		{8, 3, 10572 / 705432.0}, // sum over 8, 9, 10 of C(10,k) C(12,11-k) / C(22,11)
	} {
		if got := f.exact(f.patternOf(f.having(tt.broken, tt.working))); math.Abs(got-tt.want) > 1e-6 {
			t.Errorf("%d of 10 against %d of 12: p = %.9f, want %.9f", tt.broken, tt.working, got, tt.want)
		}
	}
}

func TestExactTestIsWithinSites(t *testing.T) {
	f := fieldOf(t, "BBBWWW", "BBBWWW")
	if got, want := f.exact(f.patternOf(f.having(6, 0))), 1/400.0; math.Abs(got-want) > 1e-9 { // (1 / C(6,3))²
		t.Errorf("p = %v, want %v", got, want)
	}
	g := fieldOf(t, "BBBBBW", "BWWWWW")
	site := g.all.blank()
	for i, p := range g.places {
		if p.Site == 0 {
			site.add(i)
		}
	}
	if p, e := g.exact(g.patternOf(site)), g.evidence(g.patternOf(site)); p != 1 || e > 0 {
		t.Errorf("a fact of a site alone has p = %v and evidence %v, want 1 and none", p, e)
	}
}

func TestEvidencePrefersPureOverWide(t *testing.T) {
	f := fieldOf(t, "BBBBBBBBBBWWWWWWWWWWWW")
	at := func(b, w int) float64 { return f.evidence(f.patternOf(f.having(b, w))) }
	order := []float64{at(10, 0), at(9, 0), at(9, 1), at(5, 0), at(8, 3), at(5, 6)}
	for i := 1; i < len(order); i++ {
		if order[i] >= order[i-1] {
			t.Errorf("evidence %v is not falling", order)
		}
	}
	if last := order[len(order)-1]; last > 0 {
		t.Errorf("equal shares are evidence %v", last)
	}
}

func TestAdjustFollowsBenjaminiAndHochberg(t *testing.T) {
	rows := []Row{{P: 0.04}, {P: 0.001}, {P: 0.03}, {P: 1e-6, Kind: Both}}
	adjust(rows, nil, 4)
	for i, want := range []float64{0.16 / 3, 0.004, 0.16 / 3, 16e-6} {
		if math.Abs(rows[i].Q-want) > 1e-12 {
			t.Errorf("row %d: q = %v, want %v", i, rows[i].Q, want)
		}
	}
}
