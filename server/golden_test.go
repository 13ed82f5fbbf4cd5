package server

import (
	"bytes"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/store"
	"rollcall/server/store/bolt"

	"github.com/klauspost/compress/zstd"
)

var update = flag.Bool("update", false, "write the golden store of the present version anew; those of released versions stay")

// presentGolden is a store of schema version 3.
const presentGolden = "store-v3"

// TestAStoreOfVersion1StillOpens opens what the first version wrote: everything
// in it is readable, and the mirror rendered from it has the same commit ids.
func TestAStoreOfVersion1StillOpens(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	for _, name := range []string{"store-v1", "store-v1-2026-11", presentGolden} {
		t.Run(name, func(t *testing.T) { opensStill(t, name) })
	}
}

func opensStill(t *testing.T, name string) {
	cfg := folder(t)
	if err := os.WriteFile(cfg.KeyFile(), golden(t, name+".key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if name == presentGolden { // the others have no log
		if err := os.WriteFile(cfg.LogKeyFile(), golden(t, name+".log.key"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	db, err := z.DecodeAll(golden(t, name+".db.zst"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg.database(), db, 0o600); err != nil {
		t.Fatal(err)
	}
	rep, err := Check(t.Context(), cfg)
	if err != nil || len(rep.Faults) > 0 || rep.Items != 1 || rep.Revisions != 4 {
		t.Fatalf("check: %+v, %v; want 1 CI, 4 revisions, no fault", rep, err)
	}
	if err := RebuildMirror(t.Context(), cfg, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if got, want := mirrorHeads(t, cfg), strings.TrimSpace(string(golden(t, name+".heads"))); got != want {
		t.Errorf("the mirror ends at\n%s\nwant\n%s", got, want)
	}
	r := startOn(t, cfg)
	file, err := r.kari.File(t.Context(), &rollcallv1.FileRequest{Ci: "golden", Path: "/etc/motd"})
	if err != nil || string(file.GetContent()) != "second\n" {
		t.Errorf("/etc/motd is %q, %v", file.GetContent(), err)
	}
	file, err = r.kari.File(t.Context(), &rollcallv1.FileRequest{Ci: "golden", Path: "/etc/motd", Diff: true})
	if err != nil || string(file.GetOldContent()) != "first\n" {
		t.Errorf("/etc/motd was %q, %v", file.GetOldContent(), err)
	}
	got, err := r.kari.Get(t.Context(), &rollcallv1.GetRequest{Ci: "golden", Sections: []string{"pkg"}})
	if err != nil || len(got.GetSets()) != 1 || got.GetFields()["room"] != "12" {
		t.Fatalf("get: %+v, %v", got.GetFields(), err)
	}
	if set, err := fact.DecodeSet(got.GetSets()[0]); err != nil || len(set) != 40 {
		t.Errorf("%d packages, %v; want 40", len(set), err)
	}
}

func golden(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// writeGolden plays a short life of one machine and keeps what the server wrote.
func writeGolden(t *testing.T) {
	t.Helper()
	r := start(t)
	m := r.machine(1)
	m.keep(t, map[string]string{"motd": "first\n", "hosts": "127.0.0.1 localhost\n"})
	m.Upgrade(3, 9)
	m.keep(t, map[string]string{"motd": "second\n", "hosts": "127.0.0.1 localhost\n"})
	fields := map[string]string{"name": "golden", "room": "12"}
	if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: fields}); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if err := RebuildMirror(t.Context(), r.cfg, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	db, err := os.ReadFile(r.cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		presentGolden + ".db.zst": z.EncodeAll(db, nil), presentGolden + ".heads": []byte(mirrorHeads(t, r.cfg) + "\n"),
	} {
		if err := os.WriteFile(filepath.Join("testdata", name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, from := range map[string]string{".key": r.cfg.KeyFile(), ".log.key": r.cfg.LogKeyFile()} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/"+presentGolden+name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// mirrorHeads lists the branches of all repositories, as git sees them.
func mirrorHeads(t *testing.T, cfg Config) string {
	t.Helper()
	var b bytes.Buffer
	dirs, err := filepath.Glob(filepath.Join(cfg.mirrorDir(), "*.git"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		c := exec.Command("git", "--git-dir", dir, "for-each-ref", "--format", "%(refname) %(objectname)")
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(filepath.Base(dir) + " " + string(out))
	}
	return strings.TrimSpace(b.String())
}

// A store of a newer program is refused by everything that opens one, and
// nothing in it is changed.
func TestAStoreOfANewerProgramIsRefused(t *testing.T) {
	cfg := lived(t)
	cfg.BackupRecipients, _ = safes(t)
	e, err := bolt.Open(cfg.database(), bolt.Options{})
	if err == nil {
		err = e.Update(t.Context(), func(tx store.Tx) error {
			return store.PutFramed(tx, store.At(store.Meta, store.System, "/schema"), []byte{0, 0, 0, 0, 0, 0, 0, store.SchemaVersion + 1})
		})
	}
	if err := errors.Join(err, e.Close()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	for what, open := range map[string]func() error{
		"run": func() error {
			_, err := New(t.Context(), cfg, "", slog.New(slog.DiscardHandler))
			return err
		},
		"check":          func() error { _, err := CheckData(t.Context(), cfg); return err },
		"backup":         func() error { _, err := Backup(t.Context(), cfg, cfg.Data+".age", ""); return err },
		"export":         func() error { _, err := Export(t.Context(), cfg, cfg.Data+".export", true); return err },
		"rebuild-mirror": func() error { return RebuildMirror(t.Context(), cfg, slog.New(slog.DiscardHandler)) },
		"compact":        func() error { _, _, err := Compact(t.Context(), cfg); return err },
		"prune": func() error {
			_, err := Prune(t.Context(), cfg, false, slog.New(slog.DiscardHandler))
			return err
		},
	} {
		if err := open(); !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), "install a newer rollcall-server") {
			t.Errorf("%s: %v, want ErrSchema and what to do", what, err)
		}
	}
	if after, err := os.ReadFile(cfg.database()); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the store was changed, %v", err)
	}
}
