package server

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/identity"
	"rollcall/internal/seal"
)

// moved prepares the data folder of another machine with the keys alone.
func moved(t *testing.T, cfg Config) Config {
	t.Helper()
	fresh := another(t, cfg)
	if err := os.MkdirAll(fresh.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := copyKeys(cfg.Data, fresh.Data); err != nil {
		t.Fatal(err)
	}
	return fresh
}

func TestAnExportedStoreIsImportedAsItWas(t *testing.T) {
	cfg := lived(t)
	public, ids := safes(t)
	cfg.BackupRecipients = public
	want, err := records(t.Context(), cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	for _, plain := range []bool{false, true} {
		file := filepath.Join(filepath.Dir(cfg.Data), "export")
		exp, err := Export(t.Context(), cfg, file, plain)
		if err != nil || len(exp.Faults) > 0 || int(exp.Pairs) != len(want) {
			t.Fatalf("export: %d pairs, %v, %v; want %d", exp.Pairs, exp.Faults, err, len(want))
		}
		fresh := moved(t, cfg)
		pairs, rep, err := Import(t.Context(), fresh, file, ids)
		if err != nil || len(rep.Faults) > 0 || pairs != exp.Pairs {
			t.Fatalf("import: %d pairs, %v, %v", pairs, rep.Faults, err)
		}
		got, err := records(t.Context(), fresh.database())
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%d of %d records differ, %v", differ(got, want), len(want), err)
		}
		again := file + ".again"
		second, err := Export(t.Context(), fresh, again, true)
		if err != nil || plain && second.File != exp.File {
			t.Errorf("the export of the import: %+v, %v; want %+v", second.File, err, exp.File)
		}
		if _, _, err := Import(t.Context(), fresh, file, ids); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("an import over a store: %v, want ErrNotEmpty", err)
		}
		startOn(t, fresh)
		for _, name := range []string{file, again} {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAnImportNeedsTheKeysOfItsServer(t *testing.T) {
	cfg := lived(t)
	file := filepath.Join(filepath.Dir(cfg.Data), "export")
	if _, err := Export(t.Context(), cfg, file, false); err == nil || !strings.Contains(err.Error(), "--plain") {
		t.Errorf("an export for nobody: %v", err)
	}
	if _, err := Export(t.Context(), cfg, file, true); err != nil {
		t.Fatal(err)
	}
	fresh := another(t, cfg)
	if _, _, err := Import(t.Context(), fresh, file, seal.Identities{}); err == nil || !strings.Contains(err.Error(), "server.key") {
		t.Errorf("without keys: %v, want a word about server.key", err)
	}
	made := folder(t) // a server of its own, without anything in its store
	if _, rep, err := Import(t.Context(), made, file, seal.Identities{}); err != nil && !strings.Contains(err.Error(), "key") {
		t.Errorf("with other keys: %v, %v", rep.Faults, err)
	}
}

func TestACompactedStoreIsSmallerAndTheSame(t *testing.T) {
	cfg := lived(t)
	want, err := records(t.Context(), cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	done, rep, err := Compact(t.Context(), cfg)
	if err != nil || len(rep.Faults) > 0 || done.After >= done.Before {
		t.Fatalf("%+v, %v, %v", done, rep.Faults, err)
	}
	got, err := records(t.Context(), cfg.database())
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%d of %d records differ, %v", differ(got, want), len(want), err)
	}
	if _, err := identity.LoadKey(cfg.KeyFile()); err != nil {
		t.Error(err)
	}
	r := startOn(t, cfg)
	if _, _, err := Compact(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "another rollcall-server") {
		t.Errorf("beside a server: %v", err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}
