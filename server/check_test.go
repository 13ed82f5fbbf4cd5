package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"rollcall/internal/conf"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
	"rollcall/server/store/storetest"
)

// lived makes a data folder with some history and stops its server.
func lived(t *testing.T) Config {
	t.Helper()
	r := start(t)
	if _, err := r.kari.SetSite(t.Context(), &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: "elm"}}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		m := r.machine(uint64(i))
		m.keep(t, map[string]string{"hosts": fmt.Sprint("127.0.0.1 pc", i), "motd": strings.Repeat("welcome ", 1000+1000*i), "same": "same"})
		for n := range 4 {
			m.Upgrade(n, n)
			m.report(t, false)
		}
		if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: map[string]string{"site": "elm", "owner": "ola"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	return r.cfg
}

// records reads all that a store holds but the lanes' own records.
func records(ctx context.Context, path string) (all map[string]string, err error) {
	e, err := bolt.Open(path, bolt.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	all = map[string]string{}
	err = e.View(ctx, func(r store.Reader) error {
		for _, s := range store.Spaces {
			for p, err := range r.Scan(s, nil, nil, 0) {
				if err != nil {
					return err
				}
				all[s.String()+" "+string(p.K)] = string(p.V)
			}
		}
		return nil
	})
	return all, errors.Join(err, e.Close())
}

func TestASoundStoreHasNoFaults(t *testing.T) {
	cfg := lived(t)
	rep, err := Check(t.Context(), cfg)
	if err != nil || len(rep.Faults) > 0 {
		t.Fatalf("%v, %v", rep.Faults, err)
	}
	if rep.Items != 3 || rep.Revisions != 3*7 || rep.Sets == 0 || rep.Contents != 7 {
		t.Errorf("%+v", rep)
	}
}

// Every flipped bit is found, or changes nothing that is stored.
func TestEveryFlippedBitIsFoundOrHarmless(t *testing.T) {
	cfg := lived(t)
	good, err := os.ReadFile(cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	want, err := records(t.Context(), cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(cfg.database(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rnd := rand.New(rand.NewPCG(storetest.Seed(t), 3))
	flips := 600
	if testing.Short() {
		flips = 60
	}
	found, harmless := 0, 0
	page := os.Getpagesize()
	var used []int
	for i := range len(good) / page {
		if len(bytes.Trim(good[i*page:(i+1)*page], "\x00")) > 0 {
			used = append(used, i)
		}
	}
	for n := range flips {
		bit := 8*used[rnd.IntN(len(used))]*page + rnd.IntN(8*page)
		if n%3 == 0 { // the heads of pages and of their elements
			bit = bit/8/page*8*page + rnd.IntN(8*64)
		}
		set := func(b byte) {
			if _, err := file.WriteAt([]byte{b}, int64(bit/8)); err != nil {
				t.Fatal(err)
			}
		}
		set(good[bit/8] ^ 1<<(bit%8))
		rep, err := Check(t.Context(), cfg)
		if err != nil || len(rep.Faults) > 0 {
			found++
			set(good[bit/8])
			continue
		}
		got, err := records(t.Context(), cfg.database())
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("bit %d of byte %d (page %d, at %d in it) is not found, and %d of %d records differ, %v",
				bit%8, bit/8, bit/8/page, bit/8%page, differ(got, want), len(want), err)
		}
		harmless++
		set(good[bit/8])
	}
	t.Logf("%d bits in %d used pages of %d: %d found, %d harmless", flips, len(used), len(good)/page, found, harmless)
	if found == 0 {
		t.Error("no flip was found")
	}
}

func differ(a, b map[string]string) (n int) {
	for k, v := range b {
		if a[k] != v {
			n++
		}
	}
	return n + max(0, len(a)-len(b))
}

// What is missing, or in the place of something else, is found by what refers
// to it.
func TestMissingAndExchangedRecordsAreFound(t *testing.T) {
	cfg := lived(t)
	good, err := os.ReadFile(cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	all, err := records(t.Context(), cfg.database())
	if err != nil {
		t.Fatal(err)
	}
	spaces := map[string]store.Space{}
	for _, s := range store.Spaces {
		spaces[s.String()] = s
	}
	for k := range all {
		space, key, _ := strings.Cut(k, " ")
		covered := space == "event" || space == "ci" || strings.HasPrefix(k, "blob main/set/") || strings.HasPrefix(k, "blob main/content/") ||
			strings.HasPrefix(k, "unique main/name/") || strings.HasPrefix(k, "unique main/folder/") || strings.HasPrefix(k, "unique main/owner/") ||
			strings.HasPrefix(k, "unique main/key/") || strings.HasPrefix(k, "blob main/envelope/") || strings.HasPrefix(k, "record main/site/") || k == "meta main/revisions"
		if !covered {
			continue
		}
		if err := os.WriteFile(cfg.database(), good, 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := bolt.Open(cfg.database(), bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = e.Update(t.Context(), func(tx store.Tx) error { return tx.Delete(store.Key{Space: spaces[space], K: []byte(key)}) })
		if err := errors.Join(err, e.Close()); err != nil {
			t.Fatal(err)
		}
		rep, err := Check(t.Context(), cfg)
		if err == nil && len(rep.Faults) == 0 {
			t.Errorf("%q is gone, and nobody notices", k)
		}
	}
}

func TestCheckOfNoServerSaysSo(t *testing.T) {
	cfg := Defaults()
	cfg.Data = t.TempDir()
	if _, err := Check(t.Context(), cfg); !errors.Is(err, ErrNotInitialised) {
		t.Errorf("%v, want ErrNotInitialised", err)
	}
	if _, err := New(t.Context(), cfg, "", slog.New(slog.DiscardHandler)); !errors.Is(err, ErrNotInitialised) {
		t.Errorf("New: %v, want ErrNotInitialised", err)
	}
	if _, err := BackupPlain(t.Context(), cfg, cfg.Data+"/b"); !errors.Is(err, ErrNotInitialised) {
		t.Errorf("Backup: %v, want ErrNotInitialised", err)
	}
	if _, err := os.Stat(cfg.Data + "/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("half a backup is left")
	}
}

// A backup made while reports come in is a data folder from which a server runs.
func TestABackupDuringWritesIsWhole(t *testing.T) {
	r := start(t)
	var ms []*machine
	for i := range 3 {
		m := r.machine(uint64(i))
		m.keep(t, map[string]string{"hosts": fmt.Sprint(i)})
		ms = append(ms, m)
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for _, m := range ms {
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				m.Upgrade(n, n)
				m.report(t, false)
			}
		})
	}
	for i := range 5 {
		dir := filepath.Join(filepath.Dir(r.cfg.Data), fmt.Sprint("backup", i))
		rep, err := BackupPlain(t.Context(), r.cfg, dir)
		if err != nil || len(rep.Faults) > 0 || rep.Items != 3 {
			t.Errorf("backup %d: %+v, %v", i, rep, err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("its folder: %v, %v", info.Mode(), err)
		}
	}
	rep, err := CheckData(t.Context(), r.cfg)
	if err != nil || len(rep.Faults) > 0 {
		t.Errorf("check of a running server: %+v, %v", rep, err)
	}
	if left, err := filepath.Glob(r.cfg.Data + "/.check-*"); err != nil || len(left) > 0 {
		t.Errorf("the check leaves %v", left)
	}
	stop.Store(true)
	wg.Wait()
	if _, err := BackupPlain(t.Context(), r.cfg, filepath.Join(filepath.Dir(r.cfg.Data), "backup0")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a backup over another: %v, want ErrExist", err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	restored := r.cfg
	restored.Data = filepath.Join(filepath.Dir(r.cfg.Data), "backup4")
	again := startOn(t, restored)
	list, err := again.kari.List(t.Context(), &rollcallv1.ListRequest{})
	if err != nil || len(list.GetItems()) != 3 {
		t.Errorf("the restored server has %d CIs, %v", len(list.GetItems()), err)
	}
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
}

func git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestARebuiltMirrorHasTheSameCommits(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	r := start(t)
	var ms []*machine
	for _, s := range []string{"elm", "elm/north"} {
		if _, err := r.kari.SetSite(t.Context(), &rollcallv1.SetSiteRequest{Site: &rollcallv1.Site{Path: s}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		m := r.machine(uint64(i))
		m.keep(t, map[string]string{"hosts": fmt.Sprint("127.0.0.1 pc", i), "a b": "x", ".git": "not git's"})
		ms = append(ms, m)
	}
	for n := range 6 {
		ms[n%3].Upgrade(n, n)
		ms[n%3].report(t, false)
	}
	if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: ms[0].ci, Fields: map[string]string{"site": "elm/north", "name": "door"}}); err != nil {
		t.Fatal(err)
	}
	ms[0].keep(t, map[string]string{"hosts": "moved"})
	waitFor(t, "the mirror", func() bool {
		st, err := r.kari.Status(t.Context(), &rollcallv1.StatusRequest{})
		return err == nil && st.GetMirrorBacklog() == 0
	})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	logs := func() string {
		var all strings.Builder
		repos, err := filepath.Glob(r.cfg.mirrorDir() + "/*/*/HEAD")
		more, err2 := filepath.Glob(r.cfg.mirrorDir() + "/*/HEAD")
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		for _, head := range append(repos, more...) {
			dir := filepath.Dir(head)
			fmt.Fprintln(&all, filepath.Base(dir), git(t, "-C", dir, "log", "--all", "--format=%H %s"))
			if out := git(t, "-C", dir, "fsck", "--strict", "--full"); strings.Contains(out, "error") {
				t.Errorf("fsck of %s: %s", dir, out)
			}
			git(t, "clone", "-q", dir, t.TempDir()+"/clone")
		}
		return all.String()
	}
	before := logs()
	if n := strings.Count(before, "\n"); n < 12 {
		t.Fatalf("only %d lines of history:\n%s", n, before)
	}
	if err := RebuildMirror(t.Context(), r.cfg, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if after := logs(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestConfigurationsThatCannotWork(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no port":                     func(c *Config) { c.Listen = "localhost" },
		"metrics for everybody":       func(c *Config) { c.Metrics = ":9465" },
		"metrics on another address":  func(c *Config) { c.Metrics = "192.0.2.1:9465" },
		"an address without a host":   func(c *Config) { c.Addresses = []string{":7465"} },
		"a relative data folder":      func(c *Config) { c.Data = "data" },
		"a data folder far down":      func(c *Config) { c.Data = "/" + strings.Repeat("a", 100) },
		"a tenant with a slash":       func(c *Config) { c.Tenant = "a/b" },
		"the store's own tenant":      func(c *Config) { c.Tenant = "_" },
		"no tenant":                   func(c *Config) { c.Tenant = "" },
		"silent after a second":       func(c *Config) { c.SilentAfter = 1e9 },
		"no connections":              func(c *Config) { c.Connections = 0 },
		"no connections for one host": func(c *Config) { c.PerHost = 0 },
		"hardly any handshakes":       func(c *Config) { c.Handshakes = 9 },
		"handshakes without end":      func(c *Config) { c.Handshakes = mostHandshakes + 1 },
		"no enrolments":               func(c *Config) { c.Enrolments = 0 },
		"enrolments without end":      func(c *Config) { c.Enrolments = mostEnrolments + 1 },
	} {
		cfg := Defaults()
		change(&cfg)
		if err := cfg.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	cfg := Defaults()
	if err := errors.Join(cfg.Validate(), conf.Parse("server.conf", strings.NewReader(""), &cfg)); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}
