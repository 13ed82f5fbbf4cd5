package restore

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"
	"go.uber.org/goleak"

	"rollcall/internal/fact"
	"rollcall/internal/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a source in memory.
type store struct {
	etc      map[string]fact.File
	drift    map[string]fact.ConffileDrift
	contents map[fact.Digest][]byte
	defaults map[[16]byte][]byte
}

func newStore() *store {
	return &store{map[string]fact.File{}, map[string]fact.ConffileDrift{}, map[fact.Digest][]byte{}, map[[16]byte][]byte{}}
}

func (s *store) Snapshot(context.Context) (Snapshot, error) {
	var etc, drift []fact.Fact
	for p, f := range s.etc {
		etc = append(etc, fact.Fact{Path: "etc/" + p, Value: f.String()})
	}
	for p, d := range s.drift {
		drift = append(drift, fact.Fact{Path: "conffile/etc/" + p, Value: d.String()})
	}
	return Snapshot{Name: "pc07", Etc: fact.NewSet(etc), Conffile: fact.NewSet(drift)}, nil
}

func (s *store) Contents(_ context.Context, needs []Need, take func(Need, []byte) error) error {
	for _, n := range needs {
		b, ok := s.contents[n.Digest]
		if n.MD5 != nil {
			b, ok = s.defaults[*n.MD5]
		}
		if ok {
			if err := take(n, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *store) file(path, content string, mode fs.FileMode) {
	f := fact.File{Kind: fact.KindPlain, Digest: sha256.Sum256([]byte(content)), Mode: mode, Owner: "root", Group: "root"}
	s.contents[f.Digest] = []byte(content)
	s.etc[path] = f
}

func (s *store) changed(path, pristine, content string) {
	s.file(path, content, 0o644)
	sum := md5.Sum([]byte(pristine))
	s.drift[path] = fact.ConffileDrift{Drift: fact.Modified, Package: "cups", Pristine: sum}
	s.defaults[sum] = []byte(pristine)
}

// tree is a new installation in a folder. Its root is whoever runs the test.
type tree struct {
	t    *testing.T
	dir  string
	root *os.Root
}

func newTree(t *testing.T) tree {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { must(t, root.Close()) })
	tr := tree{t, dir, root}
	me, mine := strconv.Itoa(os.Getuid()), strconv.Itoa(os.Getgid())
	tr.write("etc/passwd", "root:x:"+me+":"+mine+"::/:/bin/sh\n")
	tr.write("etc/group", "root:x:"+mine+":\n")
	return tr
}

func (tr tree) write(name, content string) {
	tr.t.Helper()
	must(tr.t, os.MkdirAll(filepath.Dir(filepath.Join(tr.dir, name)), 0o755))
	must(tr.t, os.WriteFile(filepath.Join(tr.dir, name), []byte(content), 0o644))
}

func (tr tree) conffile(name, content string) {
	tr.t.Helper()
	tr.write(name, content)
	status, err := os.ReadFile(filepath.Join(tr.dir, "var/lib/dpkg/status"))
	if err != nil {
		status = nil
	}
	tr.write("var/lib/dpkg/status", fmt.Sprintf("%sPackage: cups\nStatus: install ok installed\nConffiles:\n /%s %x\nVersion: 2\n\n", status, name, md5.Sum([]byte(content))))
}

func (tr tree) read(name string) string {
	tr.t.Helper()
	b, err := os.ReadFile(filepath.Join(tr.dir, name))
	must(tr.t, err)
	return string(b)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (tr tree) plan(src Source, opt Options) map[string]Entry {
	tr.t.Helper()
	_, entries := tr.planOf(src, opt)
	return entries
}

func (tr tree) planOf(src Source, opt Options) (Plan, map[string]Entry) {
	tr.t.Helper()
	p, err := NewPlan(tr.t.Context(), src, tr.root, opt)
	must(tr.t, err)
	out := map[string]Entry{}
	for _, e := range p.Entries {
		out[strings.TrimPrefix(e.Path, "etc/")] = e
	}
	return p, out
}

func (tr tree) apply(src Source, opt Options) Result {
	tr.t.Helper()
	p, _ := tr.planOf(src, opt)
	res, err := Apply(tr.t.Context(), p, tr.root, filepath.Join(tr.dir, "backup", strconv.Itoa(len(must2(os.ReadDir(tr.dir))))))
	must(tr.t, err)
	for _, f := range res.Failed {
		tr.t.Errorf("%s: %v", f.Path, f.Err)
	}
	return res
}

func must2[T any](v T, _ error) T { return v }

func TestAPlanSaysWhatWillHappenToEveryPath(t *testing.T) {
	src, tr := newStore(), newTree(t)
	src.file("motd", "old\n", 0o644)
	src.file("same", "s\n", 0o644)
	src.file("new/file", "n\n", 0o600)
	src.file("fstab", "UUID=1 / ext4\n", 0o644)
	src.file("mode", "m\n", 0o600)
	src.etc["new"] = fact.File{Kind: fact.KindDir, Mode: 0o755, Owner: "root", Group: "root"}
	src.etc["empty"] = fact.File{Kind: fact.KindDir, Mode: 0o750, Owner: "root", Group: "root"}
	src.etc["link"] = fact.File{Kind: fact.KindLink, Target: "/usr/share/zoneinfo/Europe/Oslo", Mode: 0o777, Owner: "root", Group: "root"}
	src.etc["secret"] = fact.File{Kind: fact.KindKeyed, Fingerprint: "ab", Mode: 0o600, Owner: "root", Group: "root"}
	src.etc["fifo"] = fact.File{Kind: fact.KindOther, Mode: 0o600, Owner: "root", Group: "root"}
	src.etc["folder"] = fact.File{Kind: fact.KindDir, Mode: 0o755, Owner: "root", Group: "root"}
	src.etc["gone"] = fact.File{Kind: fact.KindPlain, Digest: fact.Digest{1}, Mode: 0o644, Owner: "root", Group: "root"}
	src.file("lp", "x", 0o4640)
	lp := src.etc["lp"]
	lp.Group = "lp"
	src.etc["lp"] = lp
	src.changed("cups/conf", "1\n2\n3\n4\n5\n", "ONE\n2\n3\n4\n5\n")
	src.changed("cups/clash", "a\n", "b\n")
	src.changed("cups/plain", "a\n", "b\n")
	src.file("cups/default", "old default\n", 0o644)
	tr.write("etc/motd", "new\n")
	tr.write("etc/same", "s\n")
	tr.write("etc/mode", "m\n")
	tr.write("etc/folder", "in the way\n")
	tr.write("etc/only", "here\n")
	tr.conffile("etc/cups/conf", "1\n2\n3\n4\nFIVE\n")
	tr.conffile("etc/cups/clash", "c\n")
	tr.conffile("etc/cups/plain", "a\n")
	tr.conffile("etc/cups/default", "new default\n")
	got := tr.plan(src, Options{})
	for path, want := range map[string]Action{
		"motd": Change, "same": Same, "new": Create, "new/file": Create, "fstab": Own, "mode": Change, "empty": Create, "link": Create,
		"secret": Withheld, "fifo": Withheld, "folder": Blocked, "gone": Withheld, "lp": Create, "cups/conf": Merge, "cups/clash": Conflict,
		"cups/plain": Change, "cups/default": Newer, "only": Kept, "passwd": Kept,
	} {
		if got[path].Action != want {
			t.Errorf("%s: %s (%s), want %s", path, got[path].Action, got[path].Reason, want)
		}
	}
	if d := got["motd"].Diff; !strings.Contains(d, "-new\n+old\n") {
		t.Errorf("diff of motd is %q", d)
	}
	if got["lp"].OwnerMissing != "group lp" {
		t.Errorf("missing owner is %q", got["lp"].OwnerMissing)
	}
	all := tr.plan(src, Options{All: true})
	if all["fstab"].Action != Create || all["cups/default"].Action != Change || all["cups/clash"].Action != Conflict {
		t.Errorf("with All: %v, %v, %v", all["fstab"].Action, all["cups/default"].Action, all["cups/clash"].Action)
	}
	named := tr.plan(src, Options{Paths: []string{"/etc/fstab", "etc/cups/clash", "/etc/new/"}})
	if len(named) != 4 || named["fstab"].Action != Create || named["cups/clash"].Action != Change {
		t.Errorf("named: %v", slices.Sorted(maps.Keys(named)))
	}
	if _, err := NewPlan(t.Context(), src, tr.root, Options{Paths: []string{"/etc/nowhere"}}); err == nil || !strings.Contains(err.Error(), "/etc/nowhere") {
		t.Errorf("an unknown path gives %v", err)
	}
	if info, err := os.Stat(filepath.Join(tr.dir, "etc/new")); err == nil {
		t.Errorf("planning made %v", info.Name())
	}
}

func TestApplyMakesTheTreeIdenticalAndRunsAgainWithoutWork(t *testing.T) {
	src, tr := newStore(), newTree(t)
	src.file("motd", "old\n", 0o640)
	src.file("a/b/c", "deep\n", 0o600)
	src.file("sticky", "x", 0o755|fs.ModeSetuid)
	src.etc["a"] = fact.File{Kind: fact.KindDir, Mode: 0o700, Owner: "root", Group: "root"}
	src.etc["a/b"] = fact.File{Kind: fact.KindDir, Mode: 0o755 | fs.ModeSticky, Owner: "root", Group: "root"}
	src.etc["empty"] = fact.File{Kind: fact.KindDir, Mode: 0o555, Owner: "root", Group: "root"}
	src.etc["link"] = fact.File{Kind: fact.KindLink, Target: "../../outside", Mode: 0o777, Owner: "root", Group: "root"}
	src.etc["waslink"] = fact.File{Kind: fact.KindLink, Target: "motd", Mode: 0o777, Owner: "root", Group: "root"}
	src.changed("cups/conf", "1\n2\n3\n4\n5\n", "ONE\n2\n3\n4\n5\n")
	src.changed("cups/clash", "a\n", "b\n")
	src.file("name\xff\n", "odd", 0o644) // not in escaped form: refused
	delete(src.etc, "name\xff\n")
	src.file("name%FF%0A", "odd", 0o644)
	src.file("x", "y\n", 0o644)
	x := src.etc["x"]
	x.Xattr = map[string]string{"user.note": "hello"}
	src.etc["x"] = x
	tr.write("etc/motd", "new\n")
	tr.write("etc/waslink", "a file\n")
	tr.conffile("etc/cups/conf", "1\n2\n3\n4\nFIVE\n")
	tr.conffile("etc/cups/clash", "c\n")
	res := tr.apply(src, Options{})
	if got := tr.read("etc/cups/conf"); got != "ONE\n2\n3\n4\nFIVE\n" {
		t.Errorf("merged to %q", got)
	}
	if tr.read("etc/cups/clash") != "c\n" || tr.read("etc/cups/clash.dpkg-old") != "b\n" {
		t.Error("conflict: the default is not kept, or the old version not beside it")
	}
	if tr.read("etc/name\xff\n") != "odd" || tr.read("etc/a/b/c") != "deep\n" {
		t.Error("contents differ")
	}
	if got, _ := os.Readlink(filepath.Join(tr.dir, "etc/link")); got != "../../outside" {
		t.Errorf("link leads to %q", got)
	}
	for name, want := range map[string]fs.FileMode{"sticky": 0o755 | fs.ModeSetuid, "a/b": fs.ModeDir | 0o755 | fs.ModeSticky, "empty": fs.ModeDir | 0o555, "a/b/c": 0o600, "motd": 0o640} {
		info, err := os.Lstat(filepath.Join(tr.dir, "etc", name))
		must(t, err)
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
	if b, err := os.ReadFile(filepath.Join(res.Backup, "etc/motd")); err != nil || string(b) != "new\n" {
		t.Errorf("backup of motd: %q, %v", b, err)
	}
	if info, err := os.Stat(res.Backup); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("backup folder: %v, %v", info, err)
	}
	p, again := tr.planOf(src, Options{})
	for path, e := range again {
		if e.acts() && e.Action != Conflict {
			t.Errorf("%s: %s again (%s)", path, e.Action, e.Reason)
		}
	}
	findings, err := Verify(t.Context(), p, tr.root)
	must(t, err)
	for _, f := range findings {
		if want := map[string]FindingState{"etc/cups/clash": NotRestored}[f.Path]; f.State != Identical && f.State != want {
			t.Errorf("verify %s: %s (%s)", f.Path, f.State, f.What)
		}
	}
	if left := must2(filepath.Glob(filepath.Join(tr.dir, "etc/.rollcall-new-*"))); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Into an empty root everything comes with the names of the source.
func TestOwnersFollowAccountsThatAreRestoredToo(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	src := newStore()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	tr := tree{t, dir, root}
	src.file("passwd", "root:x:0:0:::\nlp:x:7:7:::\n", 0o644)
	src.file("group", "root:x:0:\nlp:x:7:\n", 0o644)
	src.file("aaa", "before passwd in order\n", 0o640)
	f := src.etc["aaa"]
	f.Owner, f.Group = "lp", "lp"
	src.etc["aaa"] = f
	if got := tr.plan(src, Options{}); got["aaa"].OwnerMissing != "user lp, group lp" {
		t.Errorf("without passwd: %+v", got["aaa"])
	}
	tr.apply(src, Options{All: true})
	for path, e := range tr.plan(src, Options{All: true}) {
		if e.Action != Same || e.OwnerMissing != "" {
			t.Errorf("%s: %s (%s) %s", path, e.Action, e.Reason, e.OwnerMissing)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "etc/aaa"))
	must(t, err)
	if st := info.Sys().(*syscall.Stat_t); st.Uid != 7 || st.Gid != 7 || info.Mode() != 0o640 {
		t.Errorf("aaa: %d:%d %v", st.Uid, st.Gid, info.Mode())
	}
}

func TestVerifyNamesWhatIsNotIdentical(t *testing.T) {
	src, tr := newStore(), newTree(t)
	src.file("motd", "old\n", 0o640)
	src.file("fstab", "x\n", 0o640)
	src.file("host", "x\n", 0o644)
	src.file("mode", "x\n", 0o644)
	src.changed("cups/conf", "1\n2\n3\n4\n5\n", "ONE\n2\n3\n4\n5\n")
	tr.conffile("etc/cups/conf", "1\n2\n3\n4\nFIVE\n")
	p, _ := tr.planOf(src, Options{})
	_, err := Apply(t.Context(), p, tr.root, filepath.Join(tr.dir, "backup"))
	must(t, err)
	tr.write("etc/motd", "vandal\n")
	must(t, os.Remove(filepath.Join(tr.dir, "etc/host")))
	must(t, os.Chmod(filepath.Join(tr.dir, "etc/mode"), 0o666))
	findings, err := Verify(t.Context(), p, tr.root)
	must(t, err)
	want := map[string]FindingState{"etc/motd": Different, "etc/host": Different, "etc/mode": Different, "etc/fstab": NotRestored, "etc/cups/conf": Merged}
	for _, f := range findings {
		if f.State != want[f.Path] || f.What == "" {
			t.Errorf("%s: %s (%s), want %s", f.Path, f.State, f.What, want[f.Path])
		}
	}
}

func TestSecretsNeedAnIdentityAndAreNeverShown(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	must(t, err)
	to, err := seal.ParseRecipients([]string{id.Recipient().String()})
	must(t, err)
	sealed, err := to.Seal([]byte("password=hunter2\n"))
	must(t, err)
	src, tr := newStore(), newTree(t)
	f := fact.File{Kind: fact.KindSealed, Fingerprint: "00", Digest: sha256.Sum256(sealed), Mode: 0o600, Owner: "root", Group: "root"}
	src.etc["ppp/pap-secrets"], src.etc["ssh/ssh_host_ed25519_key"] = f, f
	src.contents[f.Digest] = sealed
	src.file("ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA\n", 0o644)
	tr.write("etc/ppp/pap-secrets", "password=old\n")
	got := tr.plan(src, Options{})
	for path := range src.etc {
		if got[path].Action != Sealed {
			t.Errorf("%s without identity: %s", path, got[path].Action)
		}
	}
	ids, err := seal.ParseIdentities(strings.NewReader(id.String()))
	must(t, err)
	p, got := tr.planOf(src, Options{Identities: ids})
	if got["ppp/pap-secrets"].Action != Change || got["ppp/pap-secrets"].Diff != "" || got["ssh/ssh_host_ed25519_key.pub"].Action != Create {
		t.Errorf("with identity: %+v", got["ppp/pap-secrets"])
	}
	var text bytes.Buffer
	must(t, p.WriteText(&text, Show{Diffs: true, Same: true}))
	if strings.Contains(text.String(), "password") {
		t.Errorf("the plan shows a secret:\n%s", text.String())
	}
	tr.apply(src, Options{Identities: ids})
	if tr.read("etc/ppp/pap-secrets") != "password=hunter2\n" {
		t.Error("the secret is not restored")
	}
	for path, e := range tr.plan(src, Options{Identities: ids}) {
		if e.acts() {
			t.Errorf("%s: %s again (%s)", path, e.Action, e.Reason)
		}
	}
}

// A hostile source names what it likes; nothing outside etc below the root is
// written.
func TestAHostileSourceWritesNothingOutside(t *testing.T) {
	src, tr := newStore(), newTree(t)
	outside := t.TempDir()
	for _, name := range []string{
		"../evil", "../../evil", "a/../../evil", "..", ".", "a//b", "a/./b", "/evil", "a%2F..%2F..%2Fevil", "%2E%2E/evil", "a%00b", "", "a/",
		"out/evil", "out2/evil", "in/evil",
	} {
		src.file(name, "evil\n", 0o644)
	}
	must(t, os.Symlink(outside, filepath.Join(tr.dir, "etc/out")))
	must(t, os.Symlink("../..", filepath.Join(tr.dir, "etc/out2")))
	must(t, os.Mkdir(filepath.Join(tr.dir, "usr"), 0o755))
	must(t, os.Symlink("../usr", filepath.Join(tr.dir, "etc/in")))
	p, err := NewPlan(t.Context(), src, tr.root, Options{All: true})
	if err == nil {
		_, err = Apply(t.Context(), p, tr.root, filepath.Join(outside, "backup"))
	}
	_ = err // an error is as good
	for _, dir := range []string{outside, tr.dir, filepath.Dir(tr.dir), filepath.Join(tr.dir, "usr")} {
		for _, e := range must2(os.ReadDir(dir)) {
			if strings.Contains(e.Name(), "evil") {
				t.Errorf("%s/%s was written", dir, e.Name())
			}
		}
	}
}

func TestWhatChangedSinceThePlanIsLeftAlone(t *testing.T) {
	src, tr := newStore(), newTree(t)
	src.file("motd", "old\n", 0o644)
	src.file("new", "x\n", 0o644)
	src.etc["link"] = fact.File{Kind: fact.KindLink, Target: "x", Mode: 0o777, Owner: "root", Group: "root"}
	tr.write("etc/motd", "new\n")
	must(t, os.Symlink("y", filepath.Join(tr.dir, "etc/link")))
	p, _ := tr.planOf(src, Options{})
	tr.write("etc/motd", "edited meanwhile\n")
	tr.write("etc/new", "made meanwhile\n")
	must(t, os.Remove(filepath.Join(tr.dir, "etc/link")))
	must(t, os.Symlink("z", filepath.Join(tr.dir, "etc/link")))
	res, err := Apply(t.Context(), p, tr.root, filepath.Join(tr.dir, "backup"))
	must(t, err)
	if len(res.Failed) != 3 || tr.read("etc/motd") != "edited meanwhile\n" || tr.read("etc/new") != "made meanwhile\n" {
		t.Errorf("result %+v", res)
	}
}

func TestDeletionsAreAskedForAndBackedUp(t *testing.T) {
	src, tr := newStore(), newTree(t)
	src.file("motd", "x\n", 0o644)
	tr.write("etc/extra/deep/file", "mine\n")
	if tr.plan(src, Options{})["extra/deep/file"].Action != Kept {
		t.Error("deletes without being asked")
	}
	res := tr.apply(src, Options{Delete: true})
	if _, err := os.Stat(filepath.Join(tr.dir, "etc/extra")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(res.Backup, "etc/extra/deep/file")); err != nil || string(b) != "mine\n" {
		t.Errorf("backup: %q, %v", b, err)
	}
	if tr.read("etc/passwd") == "" {
		t.Error("passwd was deleted")
	}
}

func TestACloneOfTheMirrorIsASource(t *testing.T) {
	src, tr := newStore(), newTree(t)
	src.file(".gitattributes", "* filter=evil\n", 0o644)
	src.file("key.age", "not sealed\n", 0o644)
	src.changed("cups/conf", "1\n2\n3\n4\n5\n", "ONE\n2\n3\n4\n5\n")
	sealedFile := fact.File{Kind: fact.KindSealed, Fingerprint: "00", Digest: sha256.Sum256([]byte("cipher")), Mode: 0o600, Owner: "root", Group: "root"}
	src.etc["key"], src.contents[sealedFile.Digest] = sealedFile, []byte("cipher")
	dir := t.TempDir()
	clone := tree{t: t, dir: dir}
	snap, err := src.Snapshot(t.Context())
	must(t, err)
	var manifest bytes.Buffer
	must(t, fact.NewSet(slices.Concat(snap.Etc, snap.Conffile)).WriteText(&manifest))
	clone.write(".rollcall/etc.manifest", manifest.String())
	for path, f := range src.etc {
		name := fact.MirrorPath("etc/" + path)
		if f.Kind == fact.KindSealed {
			name = fact.SealedMirrorPath("etc/" + path)
		}
		clone.write(name, string(src.contents[f.Digest]))
	}
	clone.write(".rollcall/pristine/etc/cups/conf", "1\n2\n3\n4\n5\n")
	tr.conffile("etc/cups/conf", "1\n2\n3\n4\nFIVE\n")
	got := tr.plan(Clone{Dir: dir}, Options{})
	for path, want := range map[string]Action{".gitattributes": Create, "key.age": Create, "key": Sealed, "cups/conf": Merge} {
		if got[path].Action != want {
			t.Errorf("%s: %s (%s), want %s", path, got[path].Action, got[path].Reason, want)
		}
	}
	clone.write("etc/cups/conf", "tampered\n")
	if _, err := NewPlan(t.Context(), Clone{Dir: dir}, tr.root, Options{}); err == nil || !strings.Contains(err.Error(), "etc/cups/conf") {
		t.Errorf("a tampered clone gives %v", err)
	}
	if _, err := NewPlan(t.Context(), Clone{Dir: t.TempDir()}, tr.root, Options{}); err == nil || !strings.Contains(err.Error(), "folder of one machine") {
		t.Errorf("a folder that is none gives %v", err)
	}
}

func FuzzParseDefaults(f *testing.F) {
	f.Add([]byte("Package: cups\nConffiles:\n /etc/a b 00000000000000000000000000000000 obsolete\n"))
	f.Fuzz(func(_ *testing.T, b []byte) { parseDefaults(b, map[string]fact.Conffile{}) })
}
