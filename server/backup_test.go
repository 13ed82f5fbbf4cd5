package server

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"rollcall/internal/seal"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/store/storetest"
)

// safes makes two recipients, and the identities of one of them.
func safes(t *testing.T) (public []string, ids seal.Identities) {
	t.Helper()
	private, first := seal.GenerateIdentity()
	_, second := seal.GenerateIdentity()
	ids, err := seal.ParseIdentities(strings.NewReader(private))
	if err != nil {
		t.Fatal(err)
	}
	return []string{first, second}, ids
}

// another gives the configuration of an empty machine.
func another(t *testing.T, cfg Config) Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "rc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg.Data = dir + "/data"
	return cfg
}

// A backup that is made while reports come in restores into a server that has
// all that was recorded until then, and shows nothing to whoever steals it.
func TestABackupDuringWritesRestoresOnAnEmptyMachine(t *testing.T) {
	const canary = "canary-4f1d6f0a-psk"
	public, ids := safes(t)
	r := start(t, func(c *Config) { c.BackupRecipients = public })
	m := r.machine(1)
	m.keep(t, map[string]string{"hosts": canary, "wpa.conf": "psk=" + canary})
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; !stop.Load(); n++ {
			m.Upgrade(n, n)
			m.report(t, false)
		}
	})
	file := filepath.Join(filepath.Dir(r.cfg.Data), "backup.age")
	rep, err := Backup(t.Context(), r.cfg, file, "test")
	stop.Store(true)
	wg.Wait()
	if err != nil || len(rep.Faults) > 0 || rep.Items != 1 || rep.Revisions < 2 || len(rep.Recipient) != 2 {
		t.Fatalf("backup: %+v, %v", rep, err)
	}
	if left, err := filepath.Glob(r.cfg.Data + "/.backup-*"); err != nil || len(left) > 0 {
		t.Errorf("an unencrypted copy is left: %v, %v", left, err)
	}
	stolen, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(r.cfg.KeyFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{canary, m.Name, "PRIVATE KEY", string(key[40:80]), "rollcall.db", "main/"} {
		if bytes.Contains(stolen, []byte(secret)) {
			t.Errorf("the backup shows %q", secret)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}

	fresh := another(t, r.cfg)
	manifest, back, err := Restore(t.Context(), fresh, file, ids)
	if err != nil || len(back.Faults) > 0 || back.Revisions != rep.Revisions || manifest.Revisions != rep.Revisions || !manifest.Last.Equal(rep.Last) {
		t.Fatalf("restore: %+v, %+v, %v", manifest, back, err)
	}
	if _, _, err := Restore(t.Context(), fresh, file, ids); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a restore over a server: %v, want ErrNotEmpty", err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	again := startOn(t, fresh)
	got, err := again.kari.File(t.Context(), &rollcallv1.FileRequest{Ci: m.ci, Path: "/etc/hosts"})
	if err != nil || string(got.GetContent()) != canary {
		t.Errorf("/etc/hosts is %q, %v", got.GetContent(), err)
	}
	if _, err := Backup(t.Context(), fresh, file, "test"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a backup over another: %v, want ErrExist", err)
	}
}

// backedUp makes a server with history, stops it, and backs it up.
func backedUp(t *testing.T) (cfg Config, file string, ids seal.Identities) {
	t.Helper()
	cfg = lived(t)
	cfg.BackupRecipients, ids = safes(t)
	file = filepath.Join(filepath.Dir(cfg.Data), "backup.age")
	if rep, err := Backup(t.Context(), cfg, file, "test"); err != nil || len(rep.Faults) > 0 {
		t.Fatalf("backup: %v, %v", rep.Faults, err)
	}
	return cfg, file, ids
}

func TestARestoredStoreHasEveryRecordAsItWas(t *testing.T) {
	cfg, file, ids := backedUp(t)
	fresh := another(t, cfg)
	if _, _, err := Restore(t.Context(), fresh, file, ids); err != nil {
		t.Fatal(err)
	}
	want, err := records(t.Context(), cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	got, err := records(t.Context(), fresh.database())
	for k := range want { // the leaf that tells of the restore
		if strings.HasPrefix(k, "record main/loghead") {
			got[k] = want[k]
		}
	}
	added := 0
	for k := range got {
		if _, ok := want[k]; !ok && strings.HasPrefix(k, "record main/log") {
			delete(got, k)
			added++
		}
	}
	if err != nil || added != 2 || !maps.Equal(got, want) {
		t.Errorf("%d of %d records differ, %v", differ(got, want), len(want), err)
	}
}

// Whatever bit of a backup has flipped, and wherever it was cut: nothing of it
// is restored.
func TestADamagedBackupRestoresNothing(t *testing.T) {
	cfg, file, ids := backedUp(t)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(storetest.Seed(t), 5))
	for n := range 40 {
		bad := bytes.Clone(good)
		what := fmt.Sprint("cut after ", len(good)*n/40)
		if n%2 == 0 {
			bad = bad[:len(good)*n/40]
		} else {
			at := rnd.IntN(len(bad))
			bad[at] ^= 1 << rnd.IntN(8)
			what = fmt.Sprint("a bit of byte ", at)
		}
		damaged := file + ".bad"
		if err := os.WriteFile(damaged, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		fresh := another(t, cfg)
		_, rep, err := Restore(t.Context(), fresh, damaged, ids)
		if err == nil {
			t.Errorf("%s: restored, %d faults", what, len(rep.Faults))
		}
		if left, err := os.ReadDir(fresh.Data); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", what, left, err)
		}
	}
}

// A restore that was killed is begun again by the same command; a folder that
// holds anything else is left alone.
func TestARestoreGoesOnlyIntoAFolderThatHasNothingToLose(t *testing.T) {
	cfg, file, ids := backedUp(t)
	for _, tt := range []struct {
		name string
		left []string // folders end with a slash
		ok   bool
	}{
		{"empty", nil, true},
		{"killed while it read", []string{".restore-1/", ".restore-1/rollcall.db"}, true},
		{"killed while it placed", []string{".restore-1/", ".restore-1/server.key", "log.key", "rollcall.db"}, true},
		{"a store without a sign of a restore", []string{"rollcall.db"}, false},
		{"a server", []string{".restore-1/", "rollcall.db", "server.key"}, false},
		{"something else", []string{".restore-1/", "mirror/"}, false},
		{"a hidden file", []string{".profile"}, false},
	} {
		fresh := another(t, cfg)
		if err := os.MkdirAll(fresh.Data, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range tt.left {
			var err error
			if path := filepath.Join(fresh.Data, name); strings.HasSuffix(name, "/") {
				err = os.Mkdir(path, 0o700)
			} else {
				err = os.WriteFile(path, []byte("half"), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		_, _, err := Restore(t.Context(), fresh, file, ids)
		if tt.ok != (err == nil) || !tt.ok && !errors.Is(err, ErrNotEmpty) {
			t.Errorf("%s: %v", tt.name, err)
		}
		entries, err := os.ReadDir(fresh.Data)
		if err != nil {
			t.Fatal(err)
		}
		if tt.ok && (len(entries) != 3 || entries[0].Name() != "log.key" || entries[1].Name() != "rollcall.db" || entries[2].Name() != "server.key") {
			t.Errorf("%s: the folder holds %v", tt.name, entries)
		}
	}
}

func TestABackupNeedsSomebodyWhoCanOpenIt(t *testing.T) {
	cfg := lived(t)
	if _, err := Backup(t.Context(), cfg, cfg.Data+"/../b", "test"); !errors.Is(err, ErrNoRecipient) {
		t.Errorf("without recipients: %v, want ErrNoRecipient", err)
	}
	cfg, file, _ := backedUp(t)
	_, strangers := safes(t)
	if _, _, err := Restore(t.Context(), another(t, cfg), file, strangers); !errors.Is(err, seal.ErrNoIdentity) {
		t.Errorf("restored by a stranger: %v, want ErrNoIdentity", err)
	}
	if _, _, err := Restore(t.Context(), another(t, cfg), file, seal.Identities{}); err == nil || !strings.Contains(err.Error(), "--identity") {
		t.Errorf("restored without an identity: %v, want a word about --identity", err)
	}
}

// A damaged store gives no backup, and the report says where it is damaged.
func TestADamagedStoreGivesNoBackup(t *testing.T) {
	cfg := lived(t)
	cfg.BackupRecipients, _ = safes(t)
	b, err := os.ReadFile(cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte("ownerola"))
	if at < 0 {
		t.Fatal("no record to damage")
	}
	for i := at; i >= 0; i = next(b, i, "ownerola") { // also those in free pages
		b[i+2] ^= 1
	}
	if err := os.WriteFile(cfg.database(), b, 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(filepath.Dir(cfg.Data), "backup.age")
	rep, err := Backup(t.Context(), cfg, file, "test")
	if err != nil || len(rep.Faults) == 0 {
		t.Errorf("%+v, %v: want faults", rep, err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a backup of a damaged store is there")
	}
	if left, err := filepath.Glob(filepath.Dir(cfg.Data) + "/.rollcall-part-*"); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func next(b []byte, after int, what string) int {
	i := bytes.Index(b[after+1:], []byte(what))
	if i < 0 {
		return i
	}
	return after + 1 + i
}
