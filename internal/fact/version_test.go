package fact_test

import (
	"errors"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

func TestVersionsAreOrderedAsDpkgOrdersThem(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"1.0", "1.0", 0},
		{"1.0", "1.00-0", 0},
		{"0:1.0", "1.0", 0},
		{"00001:1.0", "1:1.0", 0},
		{"1:0.1", "9.9", 1},
		{"1.0~rc1", "1.0", -1},
		{"1.0~rc1", "1.0~rc1~git2", 1},
		{"1.0~", "1.0~~", 1},
		{"1.0~bpo12+1", "1.0", -1},
		{"1.0-1", "1.0-1+b1", -1},
		{"1.0-1+deb12u9", "1.0-1+deb12u10", -1},
		{"2.4.2-3+deb12u8", "2.4.2-3+deb12u8~", 1},
		{"1.0a", "1.0+", -1}, // letters before everything else
		{"1.0a", "1.0", 1},
		{"1.9", "1.10", -1},
		{"1.0-9", "1.0-10", -1},
		{"1-2-3", "1-2-4", -1},
		{"20240101", "99999999999999999999999999", -1},
		{"1.000000000000000000000000000001", "1.1", 0},
		{"", "", 0},
		{"", "0", 0},
		{"~", "", -1},
		{"a:1", "1", 1}, // no epoch: a letter sorts after a number
		{":1", "1", 1},
		{"6.1.0-28", "6.1.0-9", 1},
	}
	for _, tt := range tests {
		if got := fact.CompareVersions(tt.a, tt.b); got != tt.want {
			t.Errorf("CompareVersions(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := fact.CompareVersions(tt.b, tt.a); got != -tt.want {
			t.Errorf("CompareVersions(%q, %q) = %d, want %d", tt.b, tt.a, got, -tt.want)
		}
	}
}

// TestVersionOrderAgreesWithDpkg asks the installed dpkg about random versions
// made of the pieces where implementations differ.
func TestVersionOrderAgreesWithDpkg(t *testing.T) {
	dpkg, err := exec.LookPath("dpkg")
	if err != nil {
		t.Skip("dpkg is not installed here: no oracle to compare with")
	}
	rng := rand.New(rand.NewPCG(5, 6))
	pairs := 400
	if testing.Short() {
		pairs = 50
	}
	for range pairs {
		a, b := randomVersion(rng), randomVersion(rng)
		want := 0
		switch {
		case dpkgSays(t, dpkg, a, "lt", b):
			want = -1
		case dpkgSays(t, dpkg, a, "gt", b):
			want = 1
		}
		if got := fact.CompareVersions(a, b); got != want {
			t.Errorf("CompareVersions(%q, %q) = %d, dpkg says %d", a, b, got, want)
		}
	}
}

func randomVersion(rng *rand.Rand) string {
	pieces := []string{"0", "1", "9", "10", "01", "a", "Z", "~", "+", ".", "-", "~~", "b1", "+b1", "deb12u1", "dfsg"}
	var v strings.Builder
	v.WriteString([]string{"", "0:", "1:", "10:"}[rng.IntN(4)] + "1")
	for range rng.IntN(6) {
		v.WriteString(pieces[rng.IntN(len(pieces))])
	}
	return v.String() + "0" // dpkg refuses an empty revision
}

func dpkgSays(t *testing.T, dpkg, a, op, b string) bool {
	t.Helper()
	err := exec.Command(dpkg, "--compare-versions", a, op, b).Run()
	if exit := new(exec.ExitError); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		t.Fatalf("dpkg --compare-versions %q %s %q: %v", a, op, b, err)
	}
	return err == nil
}

func FuzzCompareVersions(f *testing.F) {
	f.Add("1:1.0~rc1-1+b1", "1.0", "2")
	f.Add("", "~", "0:0-0")
	f.Add("a:1", "\xff", "1:")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		ab := fact.CompareVersions(a, b)
		if ba := fact.CompareVersions(b, a); ab != -ba {
			t.Errorf("CompareVersions(%q, %q) = %d but reversed %d", a, b, ab, ba)
		}
		if fact.CompareVersions(a, a) != 0 {
			t.Errorf("%q differs from itself", a)
		}
		vs := []string{a, b, c}
		slices.SortFunc(vs, fact.CompareVersions)
		if fact.CompareVersions(vs[0], vs[1]) > 0 || fact.CompareVersions(vs[1], vs[2]) > 0 || fact.CompareVersions(vs[0], vs[2]) > 0 {
			t.Errorf("%q is not one order", vs)
		}
	})
}

func BenchmarkCompareVersions(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		fact.CompareVersions("1:2.4.2-3+deb12u8", "1:2.4.2-3+deb12u10")
	}
}
