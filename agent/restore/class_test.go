package restore

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcall/internal/fact"
)

// listing is every entry below a folder with all that a restore could change,
// but not what is below skip.
func listing(t *testing.T, dir, skip string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == skip {
			if name == skip {
				return fs.SkipDir
			}
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %v %d:%d", name, info.Mode(), st.Uid, st.Gid)
		if info.Mode().IsRegular() && info.Size() < 1<<20 {
			content, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", sha256.Sum256(content))
		}
		b.WriteByte('\n')
		return nil
	})
	must(t, err)
	return b.String()
}

func TestClass11SymlinksAreTextAndNeverFollowed(t *testing.T) {
	src, tr := newStore(), newTree(t)
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "victim"), []byte("untouched\n"), 0o600))
	must(t, os.MkdirAll(filepath.Join(tr.dir, "usr"), 0o755))
	targets := map[string]string{
		"abs": filepath.Join(outside, "victim"), "up": "../../../../../../" + outside + "/victim", "loop": "loop", "dev": "/dev/null", "fifo": "../run/fifo",
		"in": "../usr", "self": ".", "empty-looking": "%00", "long": strings.Repeat("x/", 1000),
	}
	for name, target := range targets {
		src.etc["l/"+name] = fact.File{Kind: fact.KindLink, Target: target, Mode: 0o777, Owner: "root", Group: "root"}
	}
	// What is named as a file below a link of the source, or of the machine, has
	// no place.
	must(t, os.MkdirAll(filepath.Join(tr.dir, "etc/m"), 0o755))
	for name, target := range map[string]string{"abs": outside, "in": "../../usr", "loop": "loop", "file": filepath.Join(outside, "victim")} {
		must(t, os.Symlink(target, filepath.Join(tr.dir, "etc/m", name)))
		src.file("m/"+name+"/victim", "evil\n", 0o644)
	}
	src.file("m/file", "evil\n", 0o644) // takes the link's place, not its target's
	before := listing(t, outside, "") + listing(t, filepath.Join(tr.dir, "usr"), "")
	p, _ := tr.planOf(src, Options{All: true})
	_, err := Apply(t.Context(), p, tr.root, filepath.Join(t.TempDir(), "backup"))
	must(t, err)
	if after := listing(t, outside, "") + listing(t, filepath.Join(tr.dir, "usr"), ""); after != before {
		t.Errorf("outside of /etc was\n%s and is\n%s", before, after)
	}
	for name, target := range targets {
		if got, err := os.Readlink(filepath.Join(tr.dir, "etc/l", name)); err != nil || got != target {
			t.Errorf("l/%s leads to %q, %v, want %q", name, got, err, target)
		}
	}
	if info, err := os.Lstat(filepath.Join(tr.dir, "etc/m/file")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("m/file is %v, %v", info, err)
	}
}

// TestClass12TarSlipACraftedBundleChangesNothingOutside crafts the folder of a
// machine as it comes out of a clone, or of an archive that somebody sent.
func TestClass12TarSlipACraftedBundleChangesNothingOutside(t *testing.T) {
	parent := t.TempDir()
	must(t, os.WriteFile(filepath.Join(parent, "victim"), []byte("untouched\n"), 0o600))
	bundle := filepath.Join(parent, "bundle")
	must(t, os.MkdirAll(filepath.Join(bundle, ".rollcall"), 0o755))
	must(t, os.MkdirAll(filepath.Join(bundle, "etc"), 0o755))
	sum := func(content string) fact.Digest { return sha256.Sum256([]byte(content)) }
	plain := func(content string, mode fs.FileMode, owner string) string {
		return fact.File{Kind: fact.KindPlain, Digest: sum(content), Mode: mode, Owner: owner, Group: "root"}.String()
	}
	manifest := map[string]string{
		"etc/..%2F..%2Fvictim": plain("evil\n", 0o644, "root"), "etc/../../victim": plain("evil\n", 0o644, "root"), "etc/%2E%2E/victim": plain("evil\n", 0o644, "root"),
		"etc/setuid":   plain("#!/bin/sh\n", 0o4755, "nosuchuser"),
		"etc/device":   fact.File{Kind: fact.KindOther, Mode: 0o666, Owner: "root", Group: "root"}.String(),
		"etc/hardlink": plain("untouched\n", 0o666, "root"),
		"etc/symlink":  plain("untouched\n", 0o666, "root"),
		"etc/fifo":     plain("x", 0o644, "root"),
		"etc/sparse":   plain("x", 0o644, "root"),
		"etc/good":     plain("good\n", 0o640, "root"),
	}
	var facts strings.Builder
	for name, value := range manifest {
		fmt.Fprintf(&facts, "%s\t%s\n", name, value)
	}
	write := func(name, content string) {
		must(t, os.WriteFile(filepath.Join(bundle, name), []byte(content), 0o644))
	}
	write("etc/good", "good\n")
	write("etc/setuid", "#!/bin/sh\n")
	must(t, os.Link(filepath.Join(parent, "victim"), filepath.Join(bundle, "etc/hardlink")))
	must(t, os.Symlink("../../victim", filepath.Join(bundle, "etc/symlink")))
	must(t, unix.Mkfifo(filepath.Join(bundle, "etc/fifo"), 0o644))
	must(t, os.Truncate(filepath.Join(bundle, "etc/good"), 5))
	sparse, err := os.Create(filepath.Join(bundle, "etc/sparse"))
	must(t, err)
	must(t, sparse.Truncate(1<<40))
	must(t, sparse.Close())

	// One bad entry spoils the bundle: nothing at all is done. Without the bad
	// ones what is good comes back.
	for _, tt := range []struct {
		name string
		drop []string
		want string // of the plan's error; empty: it is applied
	}{
		{"as it came", nil, "any"},
		{"without the names", []string{"..", "%2E", "%2F"}, "not a regular file"},
		{"without what is no file", []string{"..", "%2E", "%2F", "symlink", "fifo", "sparse"}, ""},
	} {
		var kept strings.Builder
		for line := range strings.Lines(facts.String()) {
			drop := false
			for _, d := range tt.drop {
				drop = drop || strings.Contains(strings.SplitN(line, "\t", 2)[0][4:], d)
			}
			if !drop {
				kept.WriteString(line)
			}
		}
		write(".rollcall/etc.manifest", kept.String())
		tr := newTree(t)
		before := listing(t, parent, "")
		start := time.Now()
		p, err := NewPlan(t.Context(), Clone{bundle}, tr.root, Options{All: true})
		if (err == nil) != (tt.want == "") || tt.want != "any" && tt.want != "" && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if err == nil {
			_, err = Apply(t.Context(), p, tr.root, filepath.Join(t.TempDir(), "backup"))
			must(t, err)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%s: took %v", tt.name, took)
		}
		if after := listing(t, parent, ""); after != before {
			t.Errorf("%s: outside of the root was\n%s and is\n%s", tt.name, before, after)
		}
		if tt.want != "" {
			continue
		}
		for name, mode := range map[string]fs.FileMode{"good": 0o640, "setuid": 0o755, "hardlink": 0o666} {
			info, err := os.Lstat(filepath.Join(tr.dir, "etc", name))
			if err != nil || info.Mode() != mode {
				t.Errorf("%s is %v, %v, want %v: no set-id bit for an owner who is not here", name, info, err, mode)
			}
			if err == nil && links(info) != 1 {
				t.Errorf("%s has %d names", name, links(info))
			}
		}
		if _, err := os.Lstat(filepath.Join(tr.dir, "etc/device")); err == nil {
			t.Error("a device was made")
		}
	}
}

// asNobody runs this test's binary again as the user nobody, to attack.
func asNobody(t *testing.T, parent, dir string) *exec.Cmd {
	t.Helper()
	binary, err := os.ReadFile("/proc/self/exe") // which nobody may not reach where it is
	must(t, err)
	self := filepath.Join(parent, "attacker")
	must(t, os.WriteFile(self, binary, 0o755))
	c := exec.Command(self, "-test.run=^TestAttackerExchangesFolders$")
	c.Env = append(os.Environ(), "ROLLCALL_ATTACK="+dir)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: syscall.SIGKILL}
	return c
}

// TestAttackerExchangesFolders is the attacker of TestClass13RestoreTOCTOU; by
// itself it does nothing.
func TestAttackerExchangesFolders(t *testing.T) {
	dir := os.Getenv("ROLLCALL_ATTACK")
	if dir == "" {
		t.Skip("it is started by TestClass13RestoreTOCTOU")
	}
	sub, aside := filepath.Join(dir, "sub"), filepath.Join(dir, "aside")
	for { // until it is killed
		for _, target := range []string{"../../usr", "../../../outside", "other"} {
			_ = os.Rename(sub, aside)
			_ = os.Symlink(target, sub)
			_ = os.Remove(sub)
			_ = os.Rename(aside, sub)
		}
	}
}

// TestClass13RestoreTOCTOU lets a local user, who owns a folder of /etc, exchange
// a folder in it for links while files are restored below.
func TestClass13RestoreTOCTOU(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to attack as another user")
	}
	long := 2 * time.Second
	if os.Getenv("ROLLCALL_TORTURE") != "" {
		long = 10 * time.Second
	}
	parent, err := os.MkdirTemp("/tmp", "rc-toctou-")
	must(t, err)
	defer os.RemoveAll(parent)
	dir := filepath.Join(parent, "root")
	for _, d := range []string{parent, dir, dir + "/etc", dir + "/etc/open", dir + "/etc/open/sub", dir + "/etc/open/other", dir + "/usr", parent + "/outside"} {
		must(t, os.MkdirAll(d, 0o755))
		must(t, os.Chmod(d, 0o755))
	}
	for _, d := range []string{"/etc/open", "/etc/open/sub"} {
		must(t, os.Chown(dir+d, 65534, 65534))
	}
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	tr := tree{t, dir, root}
	tr.write("etc/passwd", "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:\n")
	tr.write("etc/group", "root:x:0:\nnogroup:x:65534:\n")
	src := newStore()
	for i := range 10 {
		src.file(fmt.Sprintf("open/sub/f%d", i), fmt.Sprintf("content %d\n", i), 0o644)
	}
	attacker := asNobody(t, parent, dir+"/etc/open")
	var said bytes.Buffer
	attacker.Stdout, attacker.Stderr = &said, &said
	before := listing(t, parent, dir+"/etc/open")
	must(t, attacker.Start())
	written, refused := 0, 0
	for end := time.Now().Add(long); time.Now().Before(end); {
		p, err := NewPlan(t.Context(), src, root, Options{All: true})
		if err != nil {
			continue
		}
		res, err := Apply(t.Context(), p, root, filepath.Join(t.TempDir(), "backup"))
		written, refused = written+res.Done, refused+len(res.Failed)
		_ = err // folders that are gone again cannot be synced
		for _, e := range p.Entries {
			if e.acts() {
				_ = os.Remove(filepath.Join(dir, fileName(e.Path)))
				_ = os.Remove(filepath.Join(dir, "etc/open/aside", filepath.Base(e.Path)))
			}
		}
	}
	must(t, attacker.Process.Kill())
	_ = attacker.Wait()
	if after := listing(t, parent, dir+"/etc/open"); after != before {
		t.Errorf("elsewhere was\n%s and is\n%s\nattacker: %s", before, after, said.String())
	}
	if entries := must2(os.ReadDir(dir + "/etc/open/other")); len(entries) > 0 {
		t.Errorf("files came into another folder by a link: %v", entries)
	}
	t.Logf("%d entries written, %d refused", written, refused)
	if written == 0 || refused == 0 {
		t.Skipf("the attack never met the restore (%d written, %d refused): this machine is too slow for it", written, refused)
	}
}

func TestTheFolderOfAClaimIsNoSource(t *testing.T) {
	tr, dir := newTree(t), t.TempDir()
	clone := tree{t: t, dir: dir}
	clone.write(".rollcall/etc.manifest", "")
	clone.write(".rollcall/ci", "id: ci0123\nname: seat7\nclass: diskless\nsite: elm\ntrust: T0\n")
	if _, err := NewPlan(t.Context(), Clone{Dir: dir}, tr.root, Options{}); !errors.Is(err, ErrClaim) || !strings.Contains(err.Error(), "seat7") {
		t.Errorf("the folder of a machine that boots from the network gives %v, want %v", err, ErrClaim)
	}
}
