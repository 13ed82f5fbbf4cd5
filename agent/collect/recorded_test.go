package collect

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"rollcall/internal/fact"
)

var update = flag.Bool("update", false, "write the expected facts anew")

// recorded lays a recorded machine out in a folder and opens it as a root.
func recorded(t testing.TB, archive string) *Root {
	t.Helper()
	a, err := txtar.ParseFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range a.Files {
		name, content := filepath.Join(dir, f.Name), f.Data
		if short, ok := strings.CutSuffix(name, ".hex"); ok {
			name = short
			if content, err = hex.DecodeString(strings.TrimSpace(string(f.Data))); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(string(content), "-> "); ok {
			err = os.Symlink(strings.TrimSpace(target), name)
		} else if err = os.WriteFile(name, content, 0o644); err == nil {
			err = os.Chtimes(name, noon, noon)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestRecordedLaptopGivesItsFactsAndNoneOfThisMachine(t *testing.T) {
	root := recorded(t, "testdata/laptop.txtar")
	checkGolden(t, "testdata/laptop.facts", Run(t.Context(), Host{FS: root, Now: time.Now}, hardware()))
}

func TestRecordedServerGivesWhatIsThereBesidePackages(t *testing.T) {
	root := recorded(t, "testdata/tjener.txtar")
	got := Run(t.Context(), Host{FS: root, Now: func() time.Time { return noon }}, append(software(), smart()))
	checkGolden(t, "testdata/tjener.facts", got)
	for _, f := range got.Facts {
		if strings.Contains(f.Value, "kanari") {
			t.Errorf("%s = %q tells a secret", f.Path, f.Value)
		}
	}
}

// checkGolden compares what a run found with a file of the expected facts.
func checkGolden(t *testing.T, golden string, got Result) {
	t.Helper()
	for _, s := range got.Status {
		if !s.State.Complete() {
			t.Errorf("%s: %s: %s", s.Name, s.State, s.Detail)
		}
	}
	var text bytes.Buffer
	for _, set := range []fact.Set{got.Facts, got.Measurements} {
		if err := set.WriteText(&text); err != nil {
			t.Fatal(err)
		}
	}
	if *update {
		if err := os.WriteFile(golden, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	compareLines(t, text.String(), string(want))
}

func compareLines(t *testing.T, got, want string) {
	t.Helper()
	have, should := map[string]bool{}, map[string]bool{}
	for l := range strings.SplitSeq(strings.TrimSpace(got), "\n") {
		have[l] = true
	}
	for l := range strings.SplitSeq(strings.TrimSpace(want), "\n") {
		should[l] = true
		if !have[l] {
			t.Errorf("missing: %s", l)
		}
	}
	for l := range have {
		if !should[l] {
			t.Errorf("unexpected: %s", l)
		}
	}
}

// BenchmarkHardware is one look at all identity and hardware of the recorded
// laptop, 400 files.
func BenchmarkHardware(b *testing.B) {
	h := Host{FS: recorded(b, "testdata/laptop.txtar"), Now: time.Now}
	var r Runner
	var m Memory
	b.ReportAllocs()
	for b.Loop() {
		m = r.Run(b.Context(), h, hardware(), m).Memory
	}
}
