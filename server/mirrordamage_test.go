package server

import (
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rollcall/server/store/storetest"
)

// Whatever is flipped or missing in the mirror: check finds it, or it says the same
// as before; and made anew it is what it was.
func TestADamagedMirrorIsFoundAndMadeAnew(t *testing.T) {
	cfg, _, known := mirroredLife(t)
	heads := mirrorHeads(t, cfg)
	rnd := rand.New(rand.NewPCG(storetest.Seed(t), 17))
	for n := range many(8) {
		var files []string
		err := filepath.WalkDir(cfg.mirrorDir(), func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && (strings.HasSuffix(name, ".pack") || strings.Contains(name, "/refs/")) {
				files = append(files, name)
			}
			return err
		})
		if err != nil || len(files) == 0 {
			t.Fatalf("no packs in the mirror, %v", err)
		}
		slices.Sort(files)
		name := files[rnd.IntN(len(files))]
		if n%3 == 2 {
			err = os.Remove(name)
		} else {
			err = flip(name, rnd)
		}
		if err != nil {
			t.Fatal(err)
		}
		rep, err := CheckAll(t.Context(), cfg, known)
		found := err != nil || slices.ContainsFunc(rep.Faults, func(f Fault) bool { return f.Rule == RuleMirror })
		if !found && !harmless(t, cfg, name, heads) {
			t.Errorf("damage %d in %s is not found", n, name)
		}
		if err := RebuildMirror(t.Context(), cfg, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		if got := mirrorHeads(t, cfg); got != heads {
			t.Errorf("made anew after damage %d it ends at\n%s\nwant\n%s", n, got, heads)
		}
	}
	wantWhole(t, cfg, known)
}

// harmless reports whether a damaged file says what it said: a ref does if a digit
// of its name became a capital, which git reads as the same.
func harmless(t *testing.T, cfg Config, name, heads string) bool {
	t.Helper()
	return strings.Contains(name, "/refs/") && mirrorHeads(t, cfg) == heads
}

func flip(name string, rnd *rand.Rand) error {
	b, err := os.ReadFile(name)
	if err != nil || len(b) == 0 {
		return errors.Join(err, os.Remove(name))
	}
	b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
	return errors.Join(os.Chmod(name, 0o600), os.WriteFile(name, b, 0o600))
}
