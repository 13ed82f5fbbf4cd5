package restore

import (
	"context"
	"crypto/sha256"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

// dictated is a source whose manifest is whatever somebody wrote.
type dictated struct{ etc fact.Set }

func (d dictated) Snapshot(context.Context) (Snapshot, error) {
	return Snapshot{Name: "pc07", Etc: d.etc}, nil
}

func (d dictated) Contents(_ context.Context, needs []Need, take func(Need, []byte) error) error {
	for _, n := range needs {
		if n.Digest == sha256.Sum256([]byte("owned\n")) {
			if err := take(n, []byte("owned\n")); err != nil {
				return err
			}
		}
	}
	return nil
}

// outside lists everything but /etc: names, kinds and contents.
func outside(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name == filepath.Join(dir, "root/etc") || name == filepath.Join(dir, "backup") {
			return fs.SkipDir
		}
		found[name] = d.Type().String()
		if d.Type().IsRegular() {
			b, err := os.ReadFile(name)
			found[name] += string(b)
			return err
		}
		return nil
	})
	must(t, err)
	return found
}

// FuzzRestore: whatever a manifest says, nothing outside of /etc changes.
func FuzzRestore(f *testing.F) {
	sum := sha256.Sum256([]byte("owned\n"))
	plain := fact.File{Kind: fact.KindPlain, Digest: sum, Mode: 0o644, Owner: "root", Group: "root"}.String()
	f.Add("etc/a\t" + plain + "\netc/b\tdir 0755 root:root\netc/b/c\t" + plain)
	f.Add("etc/../out/secret\t" + plain + "\netc/..\tdir 0777 root:root\netc/x/../../out/y\t" + plain)
	f.Add("etc/l\tlink:../out 0777 root:root\netc/l/secret\t" + plain + "\netc/m\tlink:/tmp 0777 root:root\netc/m/x\t" + plain)
	f.Add("etc/motd\tdir 6777 nobody:1\netc/motd/x\t" + plain + "\netc/link\t" + plain + "\netc/link/secret\t" + plain)
	memory := "/dev/shm" // every step of a restore is synced
	if _, err := os.Stat(memory); err != nil {
		memory = ""
	}
	f.Fuzz(func(t *testing.T, manifest string) {
		var facts []fact.Fact
		for line := range strings.SplitSeq(manifest, "\n") {
			if path, value, ok := strings.Cut(line, "\t"); ok && len(facts) < 50 {
				facts = append(facts, fact.Fact{Path: path, Value: value})
			}
		}
		etc := fact.NewSet(facts)
		if etc.Check("etc") != nil {
			return // refused before a plan is made, see uplink.Manifest
		}
		dir, err := os.MkdirTemp(memory, "restore")
		must(t, err)
		defer func() { must(t, os.RemoveAll(dir)) }()
		for name, content := range map[string]string{
			"root/etc/motd": "hello\n", "root/etc/passwd": "root:x:0:0::/:/bin/sh\n", "root/etc/group": "root:x:0:\n", "out/secret": "secret\n", "root/out/secret": "secret\n",
		} {
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
			must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
		}
		must(t, os.Symlink("../out", filepath.Join(dir, "root/etc/link")))
		before := outside(t, dir)
		root, err := os.OpenRoot(filepath.Join(dir, "root"))
		must(t, err)
		defer root.Close()
		if plan, err := NewPlan(t.Context(), dictated{etc}, root, Options{All: true, Delete: true}); err == nil {
			_, _ = Apply(t.Context(), plan, root, filepath.Join(dir, "backup")) // what it could not do is told, and does not matter here
		}
		if after := outside(t, dir); !maps.Equal(before, after) {
			t.Errorf("%q changed what is outside:\n%q\n%q", manifest, before, after)
		}
	})
}
