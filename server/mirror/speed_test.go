package mirror

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
)

const (
	speedMachines = 1000
	speedFiles    = 300
	speedCommits  = 2000
)

// speedWorld has a school of many machines, and then commits that change one
// file each. Its files are like those of /etc: some shared by all machines.
func speedWorld() (w *world, first int) {
	w = newWorld()
	rng := rand.New(rand.NewPCG(3, 3))
	for i := range speedMachines {
		facts := map[string]string{"pkg/cups/version": "2.4"}
		for f := range speedFiles {
			text := fmt.Sprintf("# file %d\n%s", f, strings.Repeat("key = value\n", 10+f%50))
			if f%20 == 0 {
				text += fmt.Sprint("host = ", i, "\n")
			}
			facts[fmt.Sprintf("etc/dir%02d/file%03d.conf", f%25, f)] = w.plain(text, 0o644)
		}
		w.record(fmt.Sprintf("pc%04d", i), "elm/north", facts)
	}
	first = len(w.revs)
	for i := range speedCommits {
		f := rng.IntN(speedFiles)
		w.record(fmt.Sprintf("pc%04d", rng.IntN(speedMachines)), "elm/north", map[string]string{
			fmt.Sprintf("etc/dir%02d/file%03d.conf", f%25, f): w.plain(fmt.Sprintf("# file %d\n%schange = %d\n", f, strings.Repeat("key = value\n", 10+f%50), i), 0o644),
		})
	}
	return w, first
}

// fastImport writes the revisions as a stream for git fast-import, with the same
// files in the same places, and a checkpoint every 1,000.
func fastImport(w *world, revs []Rev, from string) []byte {
	var b bytes.Buffer
	data := func(s []byte) { fmt.Fprintf(&b, "data %d\n%s\n", len(s), s) }
	for i, r := range revs {
		if i > 0 && i%1000 == 0 {
			b.WriteString("checkpoint\n\n")
		}
		fmt.Fprintf(&b, "commit %s\ncommitter %s %d +0000\n", headRef, author, r.Stamp/1e9)
		data([]byte("a commit like any other\n"))
		if i == 0 && from != "" {
			fmt.Fprintf(&b, "from %s^0\n", from)
		}
		set := w.sets[r.State["etc"]]
		changes := diffSets(w.sets[r.Prev["etc"]], set)
		for _, c := range changes {
			f, _ := fact.ParseFile(c.new)
			fmt.Fprintf(&b, "M 100644 inline %s/%s\n", r.Folder, c.path)
			data(w.contents[f.Digest])
		}
		fmt.Fprintf(&b, "M 100644 inline %s/%s\n", r.Folder, manifestFile)
		data(aManifest(set))
		if r.N == 1 {
			fmt.Fprintf(&b, "M 100644 inline %s/%s\n", r.Folder, ciFile)
			data(ciText(r))
			fmt.Fprintf(&b, "M 100644 inline %s/%s\n", r.Folder, packagesFile)
			data([]byte("cups 2.4\n"))
		}
	}
	return b.Bytes()
}

func runFastImport(t testing.TB, dir string, stream []byte) time.Duration {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "fast-import", "--quiet")
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, bytes.NewReader(stream), io.Discard
	start := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

// BenchmarkAgainstFastImport writes the same history once with the mirror and
// once with git fast-import, in one run: only the ratio tells something on a
// machine that does other things as well.
func BenchmarkAgainstFastImport(b *testing.B) {
	w, first := speedWorld()
	later := w.revs[first:]
	imports, commits := fastImport(w, w.revs[:first], ""), fastImport(w, later, headRef)
	for b.Loop() {
		base := b.TempDir()
		peer := filepath.Join(base, "peer.git")
		git(b, base, "init", "-q", "--bare", "-b", "main", peer)
		importPeer := runFastImport(b, peer, imports)
		commitPeer := runFastImport(b, peer, commits)

		m := w.mirror(filepath.Join(base, "m"))
		importOwn := timeDrain(b, w, m, w.revs[:first])
		commitOwn := timeDrain(b, w, m, later)
		rate := func(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }
		b.ReportMetric(rate(first, importOwn), "imports/s")
		b.ReportMetric(rate(first, importPeer), "git-imports/s")
		b.ReportMetric(rate(len(later), commitOwn), "commits/s")
		b.ReportMetric(rate(len(later), commitPeer), "git-commits/s")
		b.ReportMetric(importPeer.Seconds()/importOwn.Seconds(), "import-ratio")
		b.ReportMetric(commitPeer.Seconds()/commitOwn.Seconds(), "commit-ratio")
		b.ReportMetric(megabytes(b, m.Path("elm/north")), "MB")
		b.ReportMetric(megabytes(b, peer), "git-MB")
	}
}

func timeDrain(b *testing.B, w *world, m *Mirror, revs []Rev) time.Duration {
	b.Helper()
	clear(w.data)
	for _, r := range revs {
		w.queue(r)
		for _, d := range r.State {
			if _, err := w.Set(b.Context(), d); err != nil {
				b.Fatal(err)
			}
		}
	}
	start := time.Now()
	if _, err := m.Drain(b.Context()); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

func megabytes(t testing.TB, dir string) float64 {
	t.Helper()
	sum := 0.0
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		sum += float64(st.Size()) / 1e6
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func aManifest(set fact.Set) (b []byte) {
	for _, f := range set {
		b = manifestLine(b, f.Path, f.Value)
	}
	return b
}
