package etc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTreeThatChangesDuringTheScanNeverLeadsOutside swaps folders for links to
// the outside, and files for FIFOs, while scans run.
func TestTreeThatChangesDuringTheScanNeverLeadsOutside(t *testing.T) {
	tr := newTree(t)
	outside := filepath.Join(tr.root, "outside")
	for i := range 20 {
		tr.write(fmt.Sprintf("d/f%d", i), "inside")
	}
	if err := os.MkdirAll(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "canary"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				swap(tr, outside)
			}
		}
	})
	s := tr.scanner()
	for range 300 {
		for _, f := range scan(t, s).Facts {
			if strings.Contains(f.Path, "canary") {
				t.Fatalf("%s was reached through a link", f.Path)
			}
		}
	}
	close(stop)
	wg.Wait()
}

// swap ignores errors: the next round tries again.
func swap(tr tree, outside string) {
	aside := filepath.Join(tr.root, "aside")
	_ = os.Rename(tr.path("d"), aside)
	_ = os.Symlink(outside, tr.path("d"))
	_ = os.Remove(tr.path("d"))
	_ = os.Rename(aside, tr.path("d"))
	_ = os.Remove(tr.path("d/f1"))
	_ = unix.Mkfifo(tr.path("d/f1"), 0o644)
	_ = os.Remove(tr.path("d/f1"))
	_ = os.WriteFile(tr.path("d/f1"), []byte("x"), 0o644)
}

// realTree is a Debian Edu main server's root, if one was unpacked.
func realTree(b *testing.B) tree {
	b.Helper()
	root := os.Getenv("ROLLCALL_ROOT")
	if root == "" {
		tr := newTree(b)
		for i := range 2800 {
			tr.write(fmt.Sprintf("d%d/e%d/file%d.conf", i%40, i%400, i), strings.Repeat(fmt.Sprintf("key%d = value\n", i), 160))
		}
		return tr
	}
	return tree{b, root}
}

// BenchmarkCold and BenchmarkWarm take the root of a machine in ROLLCALL_ROOT or
// else a made-up tree of 2,800 files and 6 MB.
func BenchmarkCold(b *testing.B) {
	tr := realTree(b)
	b.ReportAllocs()
	for b.Loop() {
		scan(b, tr.scanner())
	}
}

func BenchmarkWarm(b *testing.B) {
	tr := realTree(b)
	s := tr.scanner()
	r, err := s.Scan(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(r.Entries), "entries")
	b.ReportMetric(float64(len(s.Cache.Encode())), "cache-bytes")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Scan(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadCache(b *testing.B) {
	tr := realTree(b)
	s := tr.scanner()
	if _, err := s.Scan(b.Context()); err != nil {
		b.Fatal(err)
	}
	file := s.Cache.Encode()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeCache(file); err != nil {
			b.Fatal(err)
		}
	}
}
