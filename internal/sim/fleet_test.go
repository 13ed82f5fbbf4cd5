package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

func newFleet(t testing.TB, machines int, day Day) *Fleet {
	t.Helper()
	f, err := New(Options{Machines: machines, Seed: 7, Day: day})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// find returns the first machine that fits.
func find(t testing.TB, f *Fleet, fits func(Member) bool) Member {
	t.Helper()
	for i := range f.Len() {
		if m := f.Member(i); fits(m) {
			return m
		}
	}
	t.Fatal("no machine fits")
	return Member{}
}

func TestTheSameSeedIsTheSameFleet(t *testing.T) {
	print := func(seed uint64) string {
		f, err := New(Options{Machines: 54, Seed: seed, Day: LastDay})
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		for i := range f.Len() {
			for s := range f.Sections(i) {
				d := s.Digest()
				h.Write(d[:])
			}
		}
		return fmt.Sprintf("%x", h.Sum(nil))
	}
	if a, b := print(1), print(1); a != b {
		t.Errorf("one seed gives %s and %s", a, b)
	}
	if a, b := print(1), print(2); a == b {
		t.Error("two seeds give one fleet")
	}
}

func TestEveryFactOfAFleetIsValid(t *testing.T) {
	f := newFleet(t, 54, LastDay)
	for i := range f.Len() {
		for s := range f.Sections(i) {
			set := s.Set()
			if err := set.Check(s.Name); err != nil {
				t.Fatalf("machine %d: %v", i, err)
			}
			if !slices.IsSortedFunc(s.Put, func(a, b fact.Fact) int { return strings.Compare(a.Path, b.Path) }) {
				t.Fatalf("machine %d, section %s: what is its own is not sorted", i, s.Name)
			}
			for _, fc := range set {
				if v, ok := s.Get(fc.Path); !ok || v != fc.Value {
					t.Fatalf("machine %d: Get(%s) = %q, want %q", i, fc.Path, v, fc.Value)
				}
				if s.Name == "etc" {
					if _, err := fact.ParseFile(fc.Value); err != nil {
						t.Fatalf("machine %d: %s: %v", i, fc.Path, err)
					}
				}
			}
		}
	}
}

func TestMachinesShareBasesAndDifferInLittle(t *testing.T) {
	f := newFleet(t, 2000, LastDay)
	bases := map[int]bool{}
	own, total := 0, 0
	for i := range f.Len() {
		for s := range f.Sections(i) {
			bases[s.Base.ID] = true
			own += len(s.Put)
			total += len(s.Base.Facts)
		}
	}
	if own*50 > total {
		t.Errorf("%d of %d facts are of one machine, want 2 %% at most", own, total)
	}
	if len(bases) > 1200 {
		t.Errorf("2000 machines have %d bases", len(bases))
	}
}

func TestNoTwoMachinesAreTheSame(t *testing.T) {
	f := newFleet(t, 10_000, LastDay)
	for _, path := range []string{"id/hostname", "id/uuid", "id/serial/product", "net/eno1/mac"} {
		seen := map[string]int{}
		for i := range f.Len() {
			m := f.Member(i)
			s := f.identification(m, f.now[i])
			if strings.HasPrefix(path, "net/") {
				s = f.network(m)
			}
			v, ok := s.Get(path)
			if other, twice := seen[v]; twice || !ok {
				t.Fatalf("%s = %q of machine %d and of machine %d", path, v, other, i)
			}
			seen[v] = i
		}
	}
}

func TestProfilesHaveTheirPackages(t *testing.T) {
	f := newFleet(t, 2000, LastDay)
	want := map[Profile]int{MainServer: 1098, LTSPServer: 2857, Workstation: 2788, Roaming: 2822, Thin: 500}
	for p, n := range want {
		m := find(t, f, func(m Member) bool { return m.Profile == p })
		got := 0
		for _, fc := range f.packages(m, f.now[m.Number]).Base.Facts {
			if strings.HasSuffix(fc.Path, "/version") && !strings.HasPrefix(fc.Path, "pkg/linux-image-") {
				got++
			}
		}
		if got != n {
			t.Errorf("a %s has %d packages, want %d", p, got, n)
		}
	}
}

// The file was counted by another program from the same changelogs.
func TestADayOfUpdatesMovesWhatIsWritten(t *testing.T) {
	packed, err := os.ReadFile("testdata/update_days.csv.zst")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := inflate(packed)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(plain)).ReadAll()
	if err != nil || len(rows) < 400 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	data, err := theCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	days, lastYear := 0, 0
	for _, row := range rows[1:] {
		day, err := ParseDay(row[0])
		if err != nil {
			t.Fatal(err)
		}
		for column, profile := range map[int]string{3: "mainserver", 4: "workstation", 5: "thin"} {
			moved := 0
			for _, r := range data.profiles[profile] {
				if data.versionAt(r, day) != data.versionAt(r, day-1) {
					moved++
				}
			}
			if want, err := strconv.Atoi(row[column]); err != nil || moved != want {
				t.Errorf("%s: %d packages of a %s move, want %d", row[0], moved, profile, want)
			}
			if profile == "workstation" && moved > 0 {
				if days++; day > LastDay-365 {
					lastYear++
				}
			}
		}
	}
	if lastYear < 365*40/100 || lastYear > 365*50/100 {
		t.Errorf("a workstation that is updated each night changed on %d days of the last 365, want about 45 %%", lastYear)
	}
}

func TestAFleetOfNoSizeOrDayIsRefused(t *testing.T) {
	for _, o := range []Options{{}, {Machines: -1}, {Machines: MaxMachines + 1}, {Machines: 1, Day: LastDay + 1}} {
		if _, err := New(o); err == nil {
			t.Errorf("New(%+v) gave a fleet", o)
		}
	}
	for _, s := range []string{"", "2023-06-09", "2026-11-21", "yesterday"} {
		if d, err := ParseDay(s); err == nil {
			t.Errorf("ParseDay(%q) = %s", s, d)
		}
	}
	if d, err := ParseDay("2026-05-16"); err != nil || d.String() != "2026-05-16" {
		t.Errorf("ParseDay gives %s, %v", d, err)
	}
}

// BenchmarkFleet tells what a machine costs in memory, and how long its sections
// take, with bases that are made already.
func BenchmarkFleet(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			var before, after runtime.MemStats
			if _, err := theCatalogue(); err != nil {
				b.Fatal(err)
			}
			runtime.GC()
			runtime.ReadMemStats(&before)
			f := newFleet(b, n, LastDay)
			for i := range n {
				for range f.Sections(i) {
				}
			}
			a, err := NewAgents(f, realm)
			if err != nil {
				b.Fatal(err)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			i := 0
			for b.Loop() {
				for s := range f.Sections(i % n) {
					_ = s.Put
				}
				i++
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/machine")
			b.ReportMetric(float64(f.bases.made), "bases")
			runtime.KeepAlive(a)
		})
	}
}

func FuzzParseDay(f *testing.F) {
	for _, s := range []string{"2023-06-10", "2026-11-20", "2024-02-30", "", "2024-2-3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDay(s); err == nil && (d > LastDay || d.String() != s) {
			t.Errorf("ParseDay(%q) = %d, %s", s, d, d)
		}
	})
}
