package collect

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ulikunitz/xz"

	"rollcall/internal/fact"
)

// corpus gives a folder of the captured data that the project does not
// redistribute, and skips the test where it is not there.
func corpus(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "corpus", filepath.FromSlash(name))
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("captured data is not there, expected in ../shared/corpus/%s beside the repository", name)
	}
	return dir
}

// put runs f with a sink that takes everything and returns the facts.
func put(t testing.TB, f func(s *Sink) error) map[string]string {
	t.Helper()
	s := &Sink{collector: Collector{Owns: []string{""}}}
	if err := f(s); err != nil {
		t.Errorf("collect: %v", err)
	}
	facts, _, _ := s.close()
	m := map[string]string{}
	for _, fact := range facts {
		m[fact.Path] = fact.Value
	}
	return m
}

// collected runs one collector over a root and returns its facts.
func collected(t testing.TB, c Collector, root fs.FS) map[string]string {
	t.Helper()
	got := Run(t.Context(), Host{FS: root, Now: time.Now}, []Collector{c})
	if s := got.Status[0]; !s.State.Complete() {
		t.Errorf("%s: %s: %s", s.Name, s.State, s.Detail)
	}
	m := map[string]string{}
	for _, f := range got.Facts {
		m[f.Path] = f.Value
	}
	return m
}

// tarTree reads an archive into memory; strip folders go from the front of its
// names. Links that leave the tree are left out.
func tarTree(t testing.TB, archive string, strip int) fstest.MapFS {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader
	switch path.Ext(archive) {
	case ".gz":
		r, err = gzip.NewReader(f)
	case ".bz2":
		r = bzip2.NewReader(f)
	case ".xz":
		r, err = xz.NewReader(bufio.NewReader(f))
	}
	if err != nil {
		t.Fatal(err)
	}
	tree := fstest.MapFS{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return tree
		}
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(path.Clean(h.Name), "/")
		if len(parts) <= strip {
			continue
		}
		name := strings.Join(parts[strip:], "/")
		switch h.Typeflag {
		case tar.TypeReg:
			data, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			tree[name] = &fstest.MapFile{Data: data, Mode: 0o644}
		case tar.TypeSymlink:
			tree[name] = &fstest.MapFile{Data: []byte(h.Linkname), Mode: 0o777 | fs.ModeSymlink}
		}
	}
}

// ttarTree reads the text archives of prometheus/procfs.
func ttarTree(t testing.TB, archive string) fstest.MapFS {
	t.Helper()
	b, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	tree := fstest.MapFS{}
	lines := strings.Split(string(b), "\n")
	for i := 0; i < len(lines); i++ {
		name, ok := strings.CutPrefix(lines[i], "Path: fixtures/")
		if !ok {
			continue
		}
		next := lines[i+1]
		if target, ok := strings.CutPrefix(next, "SymlinkTo: "); ok {
			tree[name] = &fstest.MapFile{Data: []byte(target), Mode: 0o777 | fs.ModeSymlink}
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(next, "Lines: "))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		data := strings.Join(lines[i+2:i+2+n], "\n") + "\n"
		data = strings.NewReplacer("NULLBYTEEOF\n", "\x00", "NULLBYTE", "\x00", "EOF\n", "").Replace(data)
		tree[name] = &fstest.MapFile{Data: []byte(data), Mode: 0o644}
		i += 1 + n
	}
	return tree
}

// keyValues reads "Key: value" lines, as most tools print them.
func keyValues(text []byte) map[string]string {
	m := map[string]string{}
	for l := range bytes.Lines(text) {
		if k, v, ok := strings.Cut(string(l), ":"); ok {
			m[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	return m
}

// inert runs collectors over a root whose files make no sense, and fails if one
// panics or tells something that is not inert and within bounds.
func inert(t *testing.T, root fs.FS, collectors ...Collector) {
	t.Helper()
	got := Run(t.Context(), Host{FS: root, Now: func() time.Time { return noon }}, collectors)
	for _, s := range got.Status {
		if strings.Contains(s.Detail, "panic") || strings.Contains(s.Detail, "malformed") {
			t.Errorf("%s: %s", s.Name, s.Detail)
		}
	}
	for _, set := range []fact.Set{got.Facts, got.Measurements} {
		for _, f := range set {
			if err := f.Check(); err != nil {
				t.Error(err)
			}
		}
	}
}
