package mirror

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// refs returns the commit id of every repository below dir.
func refs(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "/"+headRef) {
			raw, err := os.ReadFile(path)
			rel, _ := filepath.Rel(dir, strings.TrimSuffix(path, "/"+headRef))
			all[rel] = strings.TrimSpace(string(raw))
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRebuildGivesTheSameCommitIDs(t *testing.T) {
	w, dir := smallWorld(), filepath.Join(tempDir(t), "mirror")
	m := w.mirror(dir)
	for range len(w.revs) { // one at a time, as on a quiet day
		drain(t, m)
	}
	want := refs(t, dir)
	w.knowDefault("something that became known later\n")
	if err := os.WriteFile(filepath.Join(m.Path("elm/south"), headRef), nil, 0o644); err != nil { // as a power cut would
		t.Fatal(err)
	}
	if err := m.Rebuild(t.Context(), dir+".new"); err != nil {
		t.Fatal(err)
	}
	if got := refs(t, dir); !maps.Equal(got, want) || len(got) != 2 {
		t.Errorf("after the rebuild %v, want %v", got, want)
	}
	if _, err := os.Stat(dir + ".new"); err == nil {
		t.Error("the old mirror is still there")
	}
	checkRepo(t, m.Path("elm/north"))
	for _, r := range w.revs {
		w.queue(r) // as if the outbox had not been cleared
	}
	drain(t, m)
	if got := refs(t, dir); !maps.Equal(got, want) {
		t.Errorf("revisions that are done were done again: %v, want %v", got, want)
	}
}

func TestRebuildDoesNotTouchAForeignFolder(t *testing.T) {
	w, out := smallWorld(), tempDir(t)
	if err := os.WriteFile(filepath.Join(out, "mine"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := w.mirror(filepath.Join(tempDir(t), "m")).Rebuild(t.Context(), out); err == nil {
		t.Error("Rebuild into a folder with files succeeded, want an error")
	}
}

func TestVerifyFindsEveryDifference(t *testing.T) {
	tests := []struct {
		name string
		do   func(w *world, m *Mirror) error
		want string // part of the first problem; "" = none
	}{
		{"nothing", func(*world, *Mirror) error { return nil }, ""},
		{"a revision without a commit", func(w *world, _ *Mirror) error {
			w.record("pc07", "elm/north", map[string]string{"svc/x": "enabled"})
			clear(w.data)
			return nil
		}, "want revision 4 of CI pc07"},
		{"a waiting revision is none", func(w *world, _ *Mirror) error {
			w.record("pc07", "elm/north", map[string]string{"svc/x": "enabled"})
			return nil
		}, ""},
		{"a default that became known later is none", func(w *world, m *Mirror) error {
			w.knowDefault("late default")
			w.record("pc07", "elm/north", map[string]string{"svc/x": "enabled"})
			_, err := m.Drain(context.Background())
			return err
		}, ""},
		{"a state that differs", func(w *world, _ *Mirror) error {
			w.revs[6].State = w.state(map[string]string{"pkg/cups/version": "9"})
			return nil
		}, "differs from revision 3"},
		{"a repository that is gone", func(_ *world, m *Mirror) error {
			return os.RemoveAll(m.Path("elm/south"))
		}, "not there"},
		{"a commit that is no revision", func(w *world, _ *Mirror) error {
			w.revs = w.revs[:len(w.revs)-1]
			return nil
		}, "commit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := smallWorld()
			m := w.mirror(filepath.Join(tempDir(t), "m"))
			drain(t, m)
			if err := tt.do(w, m); err != nil {
				t.Fatal(err)
			}
			r, err := m.Verify(t.Context())
			if tt.want == "" && (err != nil || r.Repos != 2 || r.Commits < 9) {
				t.Errorf("Verify = %+v, %v; want 9 commits or more and no problem", r, err)
			}
			if tt.want != "" && (!errors.Is(err, ErrDiffers) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Verify = %v, want ErrDiffers with %q", err, tt.want)
			}
		})
	}
}

func TestVerifyFindsEveryFlippedBit(t *testing.T) {
	w := smallWorld()
	m := w.mirror(filepath.Join(tempDir(t), "m"))
	drain(t, m)
	rng := rand.New(rand.NewPCG(1, 2))
	dir := filepath.Join(m.Path("elm/north"), "objects", "pack")
	for _, glob := range []string{"*.pack", "*.idx"} {
		files, err := filepath.Glob(filepath.Join(dir, glob))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		good, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			bad := bytes.Clone(good)
			i := rng.IntN(len(bad))
			bad[i] ^= 1 << rng.IntN(8)
			replaceFile(t, files[0], bad)
			if err := m.closeRepos(); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Verify(t.Context()); !errors.Is(err, ErrDiffers) {
				t.Errorf("flipped bit in byte %d of %s is not found: %v", i, filepath.Base(files[0]), err)
			}
		}
		replaceFile(t, files[0], good)
	}
}

func replaceFile(t *testing.T, path string, raw []byte) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o444); err != nil {
		t.Fatal(err)
	}
}
