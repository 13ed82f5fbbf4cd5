package restore

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func apply(a, b []string, hunks []hunk) []string {
	var out []string
	at := 0
	for _, h := range hunks {
		out = append(append(out, a[at:h.a0]...), b[h.b0:h.b1]...)
		at = h.a1
	}
	return append(out, a[at:]...)
}

func randomLines(r *rand.Rand, n int) []string {
	out := make([]string, r.IntN(n+1))
	for i := range out {
		out[i] = string(rune('a'+r.IntN(4))) + "\n"
	}
	return out
}

func mutate(r *rand.Rand, lines []string) []string {
	out := append([]string(nil), lines...)
	for range r.IntN(3) {
		i := r.IntN(len(out) + 1)
		if r.IntN(2) == 0 || i == len(out) {
			out = append(out[:i], append([]string{string(rune('A'+r.IntN(26))) + "\n"}, out[i:]...)...)
		} else {
			out = append(out[:i], out[i+1:]...)
		}
	}
	return out
}

func TestDiffLeadsFromOneTextToTheOther(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 5000 {
		a, b := randomLines(r, 12), randomLines(r, 12)
		hunks := diffLines(a, b)
		if got := strings.Join(apply(a, b, hunks), ""); got != strings.Join(b, "") {
			t.Fatalf("diff of %q and %q gives %v, which makes %q", a, b, hunks, got)
		}
		for i, h := range hunks {
			if h.a0 == h.a1 && h.b0 == h.b1 || i > 0 && (hunks[i-1].a1 > h.a0 || hunks[i-1].b1 > h.b0) {
				t.Fatalf("hunks %v of %q and %q are empty or overlap", hunks, a, b)
			}
		}
	}
}

func TestMergeKeepsBothSides(t *testing.T) {
	tests := []struct {
		name, base, ours, theirs, want string
		clean                          bool
	}{
		{"both ends", "a b c d e", "X b c d e", "a b c d Y", "X b c d Y", true},
		{"only ours", "a b c", "a x c", "a b c", "a x c", true},
		{"only theirs", "a b c", "a b c", "a y c", "a y c", true},
		{"the same change", "a b c", "a x c", "a x c", "a x c", true},
		{"same line", "a b c", "a x c", "a y c", "", false},
		{"neighbouring lines", "a b c d", "a x c d", "a b y d", "", false},
		{"both insert at one place", "a b", "a x b", "a y b", "", false},
		{"delete against change", "a b c", "a c", "a y c", "", false},
		{"nothing", "", "", "", "", true},
	}
	words := func(s string) []string { return splitLines([]byte(strings.ReplaceAll(s, " ", "\n") + "\n")) }
	for _, tt := range tests {
		got, clean := merge3(words(tt.base), words(tt.ours), words(tt.theirs))
		if clean != tt.clean || clean && strings.Join(got, "") != strings.Join(words(tt.want), "") {
			t.Errorf("%s: %q, %v; want %q, %v", tt.name, got, clean, tt.want, tt.clean)
		}
	}
}

// What merge3 calls clean, git merge-file merges to the same text.
func TestMergeAgreesWithGit(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	r := rand.New(rand.NewPCG(2, 2))
	dir := t.TempDir()
	cleans := 0
	for range 150 {
		base := randomLines(r, 14)
		for i := range base {
			base[i] = string(rune('a'+i)) + "\n" // unlike lines: one way to align them
		}
		ours, theirs := mutate(r, base), mutate(r, base)
		merged, clean := merge3(base, ours, theirs)
		if !clean {
			continue
		}
		cleans++
		var names []string
		for name, lines := range map[string][]string{"1ours": ours, "2base": base, "3theirs": theirs} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Join(lines, "")), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		names = append(names, "1ours", "2base", "3theirs")
		cmd := exec.Command(git, append([]string{"merge-file", "-p"}, names...)...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil || string(out) != strings.Join(merged, "") {
			t.Fatalf("base %q ours %q theirs %q: merge3 %q, git %q %v", base, ours, theirs, merged, out, err)
		}
	}
	if cleans < 50 {
		t.Errorf("only %d of 150 merges were clean", cleans)
	}
}

func TestMergingAgainChangesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 3000 {
		base := randomLines(r, 14)
		for i := range base {
			base[i] = string(rune('a'+i)) + "\n"
		}
		ours, theirs := mutate(r, base), mutate(r, base)
		merged, clean := merge3(base, ours, theirs)
		if !clean {
			continue
		}
		if again, clean := merge3(base, ours, merged); clean && strings.Join(again, "") != strings.Join(merged, "") {
			t.Fatalf("base %q ours %q merged %q: again %q", base, ours, merged, again)
		}
	}
}

func TestUnifiedDiffIsWhatPeopleKnow(t *testing.T) {
	old := "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n"
	want := "--- a\n+++ b\n@@ -1,6 +1,7 @@\n one\n two\n-three\n+3\n+3b\n four\n five\n six\n"
	if got := unified("a", "b", []byte(old), []byte(strings.Replace(old, "three", "3\n3b", 1))); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := unified("a", "b", []byte("x\ny"), []byte("x\ny\nz\n")), "--- a\n+++ b\n@@ -1,2 +1,3 @@\n x\n-y\n\\ No newline at end of file\n+y\n+z\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := unified("a", "b", []byte("x\ny\n"), []byte("x\ny\nz\n")), "--- a\n+++ b\n@@ -1,2 +1,3 @@\n x\n y\n+z\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := unified("a", "b", []byte("x\n"), []byte("\x1b]52;c;x\a\u202e100%\t\n")); strings.ContainsAny(got, "\x1b\a\u202e") || !strings.Contains(got, "100%\t") {
		t.Errorf("not inert: %q", got)
	}
	if got := unified("a", "b", []byte("x"), []byte{0, 1}); got != "" {
		t.Errorf("binary shown: %q", got)
	}
}
