package etc

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcall/internal/fact"
	"rollcall/internal/seal"
)

// tree is a machine's root under test.
type tree struct {
	t    testing.TB
	root string
}

func newTree(t testing.TB) tree {
	t.Helper()
	tr := tree{t, t.TempDir()}
	tr.write("passwd", "root:x:0:0::/root:/bin/sh\nalso-root:x:0:0::/:/bin/sh\nlp:x:7:7::/:/bin/sh\n")
	tr.write("group", "root:x:0:\nlp:x:7:\n")
	return tr
}

func (tr tree) path(rel string) string { return filepath.Join(tr.root, "etc", rel) }

func (tr tree) write(rel, content string) {
	tr.t.Helper()
	if err := os.MkdirAll(filepath.Dir(tr.path(rel)), 0o755); err != nil {
		tr.t.Fatal(err)
	}
	if err := os.WriteFile(tr.path(rel), []byte(content), 0o644); err != nil {
		tr.t.Fatal(err)
	}
}

func (tr tree) link(target, rel string) {
	tr.t.Helper()
	if err := os.Symlink(target, tr.path(rel)); err != nil {
		tr.t.Fatal(err)
	}
}

// scanner looks at the tree as from an hour later, when nothing in it is young.
func (tr tree) scanner() *Scanner {
	return &Scanner{
		Root: tr.root, Key: bytes.Repeat([]byte{7}, seal.FingerprintKeySize),
		Now: func() time.Time { return time.Now().Add(time.Hour) },
	}
}

func scan(t testing.TB, s *Scanner) Result {
	t.Helper()
	r, err := s.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for section, set := range fact.Split(slices.Clone(r.Facts)) {
		if err := set.Check(section); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.IsSortedFunc(r.Facts, func(a, b fact.Fact) int { return strings.Compare(a.Path, b.Path) }) {
		t.Fatal("facts are not sorted")
	}
	return r
}

func value(t testing.TB, r Result, path string) string {
	t.Helper()
	v, _ := fact.Set(r.Facts).Get(path)
	return v
}

func file(t testing.TB, r Result, path string) fact.File {
	t.Helper()
	f, err := fact.ParseFile(value(t, r, path))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return f
}

func TestEveryKindOfEntryBecomesAFact(t *testing.T) {
	tr := newTree(t)
	tr.write("cups/cupsd.conf", "Listen 631\n")
	tr.link("/usr/share/zoneinfo/Europe/Oslo", "localtime")
	if err := unix.Mkfifo(tr.path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(tr.path("cups"), 0o750|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	r := scan(t, tr.scanner())
	me, my := "root", "root"
	if os.Getuid() != 0 {
		me, my = fmt.Sprint(os.Getuid()), fmt.Sprint(os.Getgid())
	}
	sum := sha256.Sum256([]byte("Listen 631\n"))
	for path, want := range map[string]string{
		"etc/cups":            fmt.Sprintf("dir 2750 %s:%s", me, my),
		"etc/cups/cupsd.conf": fmt.Sprintf("sha256:%x 0644 %s:%s", sum, me, my),
		"etc/localtime":       fmt.Sprintf("link:/usr/share/zoneinfo/Europe/Oslo 0777 %s:%s", me, my),
		"etc/pipe":            fmt.Sprintf("other 0600 %s:%s", me, my),
	} {
		if got := value(t, r, path); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
	if len(r.Contents) != 3 { // cupsd.conf, passwd, group
		t.Errorf("contents %v, want three", r.Contents)
	}
	if r.Status() != "" || r.Denied() {
		t.Errorf("status %q, want none", r.Status())
	}
}

func TestOddNamesAreInertAndKept(t *testing.T) {
	tr := newTree(t)
	for _, name := range []string{"new\nline", "esc\x1b[31m", strings.Repeat("n", 255), "bad\xff\xfeutf8", "50%", "%41", " space ", "bidi\u202eevil", "tab\t", "æøå"} {
		tr.write("odd/"+name, name)
	}
	s := tr.scanner()
	r := scan(t, s)
	odd := fact.Set(r.Facts).Below("etc/odd/")
	if len(odd) != 10 {
		t.Fatalf("%d odd names, want 10", len(odd))
	}
	for _, f := range odd {
		raw, err := fact.Unescape(strings.TrimPrefix(f.Path, "etc/"))
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(r.Contents, func(c Content) bool { return c.Path == raw })
		if i < 0 {
			t.Fatalf("no content for %q", raw)
		}
		got, err := s.Read(r.Contents[i])
		if err != nil || string(got) != filepath.Base(raw) {
			t.Errorf("content of %q is %q, %v", raw, got, err)
		}
	}
}

func TestLinksAreNeverFollowed(t *testing.T) {
	tr := newTree(t)
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.MkdirAll(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "canary"), []byte("outside canary"), 0o644); err != nil {
		t.Fatal(err)
	}
	tr.link(outside, "folder")
	tr.link(filepath.Join(outside, "canary"), "file")
	tr.link("nowhere", "dangling")
	tr.link("loop", "loop")
	tr.link("../../../../../../etc/hostname", "up")
	r := scan(t, tr.scanner())
	for _, name := range []string{"folder", "file", "dangling", "loop", "up"} {
		if got := file(t, r, "etc/"+name); got.Kind != fact.KindLink {
			t.Errorf("%s is %v, want a link", name, got)
		}
	}
	if len(r.Facts) != 7 {
		t.Errorf("%d facts, want 7: %v", len(r.Facts), r.Facts)
	}
}

func TestEtcThatIsALinkIsRefused(t *testing.T) {
	root := t.TempDir()
	if err := os.Symlink("/etc", filepath.Join(root, "etc")); err != nil {
		t.Fatal(err)
	}
	s := tree{t, root}.scanner()
	if r, err := s.Scan(t.Context()); err == nil {
		t.Errorf("followed the link to %d entries", r.Entries)
	}
}

func TestMissingEtcIsNotExist(t *testing.T) {
	s := tree{t, t.TempDir()}.scanner()
	if _, err := s.Scan(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want not exist", err)
	}
}

func TestUnchangedTreeOpensNothingAndGivesTheSame(t *testing.T) {
	tr := newTree(t)
	for i := range 50 {
		tr.write(fmt.Sprintf("d%d/f%d", i%7, i), fmt.Sprint(i))
	}
	tr.write("shadow", "root:$6$abc:1::::::\n")
	tr.link("a", "b")
	s := tr.scanner()
	first := scan(t, s)
	for range 3 {
		r := scan(t, s)
		if !slices.Equal(r.Facts, first.Facts) {
			t.Fatal("another result for the same tree")
		}
		if r.Opened != 0 || r.Read != 0 || len(r.Contents) != 0 || r.CacheChanged {
			t.Fatalf("opened %d, read %d bytes, %d contents, cache changed %v; want nothing", r.Opened, r.Read, len(r.Contents), r.CacheChanged)
		}
	}
	if cold := scan(t, tr.scanner()); !slices.Equal(cold.Facts, first.Facts) {
		t.Error("another result without the cache")
	}
}

func TestEditOfEqualSizeIsFound(t *testing.T) {
	tr := newTree(t)
	tr.write("hosts", "127.0.0.1 a\n")
	s := tr.scanner()
	before := value(t, scan(t, s), "etc/hosts")
	st, err := os.Stat(tr.path("hosts"))
	if err != nil {
		t.Fatal(err)
	}
	tr.write("hosts", "127.0.0.1 b\n")
	if err := os.Chtimes(tr.path("hosts"), st.ModTime(), st.ModTime()); err != nil { // a careful forger
		t.Fatal(err)
	}
	r := scan(t, s)
	if after := value(t, r, "etc/hosts"); after == before {
		t.Error("the edit was not found")
	}
	if len(r.Contents) != 1 || r.Contents[0].Path != "hosts" {
		t.Errorf("contents %v, want hosts alone", r.Contents)
	}
}

func TestYoungFileIsReadAgain(t *testing.T) {
	tr := newTree(t)
	tr.write("hosts", "a")
	s := tr.scanner()
	s.Now = time.Now // the tree is younger than two seconds
	scan(t, s)
	if r := scan(t, s); r.Opened == 0 {
		t.Error("a young file was believed to be unchanged")
	}
}

func TestGoneAndNewEntriesShow(t *testing.T) {
	tr := newTree(t)
	tr.write("a/one", "1")
	s := tr.scanner()
	scan(t, s)
	if err := os.RemoveAll(tr.path("a")); err != nil {
		t.Fatal(err)
	}
	tr.write("b/two", "2")
	r := scan(t, s)
	if value(t, r, "etc/a") != "" || value(t, r, "etc/a/one") != "" || value(t, r, "etc/b/two") == "" {
		t.Errorf("facts %v", r.Facts)
	}
}

func TestOwnersAreNamedByTheRootItself(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("changing owners needs root")
	}
	tr := newTree(t)
	tr.write("mine", "")
	tr.write("strange", "")
	if err := os.Chown(tr.path("mine"), 7, 7); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(tr.path("strange"), 4711, 815); err != nil {
		t.Fatal(err)
	}
	s := tr.scanner()
	r := scan(t, s)
	if f := file(t, r, "etc/mine"); f.Owner != "lp" || f.Group != "lp" {
		t.Errorf("owner %s:%s, want lp:lp", f.Owner, f.Group)
	}
	if f := file(t, r, "etc/strange"); f.Owner != "4711" || f.Group != "815" {
		t.Errorf("owner %s:%s, want 4711:815", f.Owner, f.Group)
	}
	tr.write("passwd", "root:x:0:0::/:/bin/sh\nprinter:x:7:7::/:/bin/sh\nnew:x:4711:1::/:/bin/sh\n")
	r = scan(t, s)
	if a, b := file(t, r, "etc/mine").Owner, file(t, r, "etc/strange").Owner; a != "printer" || b != "new" {
		t.Errorf("owners %s and %s after passwd changed, want printer and new", a, b)
	}
	if r = scan(t, s); r.CacheChanged || file(t, r, "etc/mine").Owner != "printer" {
		t.Error("the cache did not keep the new name")
	}
}

func TestExclusionsAreLeftOut(t *testing.T) {
	tr := newTree(t)
	for _, name := range []string{
		".git/objects/secret", ".etckeeper", "x/.hg/y", "ld.so.cache", ".pwd.lock", "foo.conf~", "foo.conf.dpkg-old", "foo.ucf-dist",
		".foo.swp", "mtab", "adjtime", "cups/printers.conf", "cups/printers.conf.O", "cups/subscriptions.conf.O", "lvm/archive/a",
		"apparmor.d/cache/x", "own/thing", "skip.me", "NetworkManager/timestamps",
	} {
		tr.write(name, "x")
	}
	tr.write("resolv.conf", "# Generated by NetworkManager\nnameserver 10.0.0.1\n")
	tr.write("ssl/certs/ca.pem", "x")
	tr.link("ca.pem", "ssl/certs/0179095f.0")
	tr.link("/usr/share/ca.crt", "ssl/certs/named.pem")
	s := tr.scanner()
	s.Exclude = []string{"own/*", "skip.*"}
	r := scan(t, s)
	var got []string
	for _, f := range fact.Set(r.Facts).Below("etc/") {
		got = append(got, strings.TrimPrefix(f.Path, "etc/"))
	}
	want := []string{"NetworkManager", "apparmor.d", "cups", "group", "lvm", "own", "passwd", "ssl", "ssl/certs", "ssl/certs/ca.pem", "ssl/certs/named.pem", "x"}
	if !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
	tr.write("resolv.conf", "nameserver 10.0.0.1\n")
	if r := scan(t, s); value(t, r, "etc/resolv.conf") == "" {
		t.Error("a resolv.conf of one's own is configuration")
	}
	s.Exclude = []string{"[bad"}
	if _, err := s.Scan(t.Context()); err == nil {
		t.Error("a malformed exclusion was taken")
	}
}

func TestFileBehindFolderReplacedByLinkIsNotRead(t *testing.T) {
	tr := newTree(t)
	tr.write("d/f", "inside")
	s := tr.scanner()
	c := scan(t, s).Contents
	i := slices.IndexFunc(c, func(c Content) bool { return c.Path == "d/f" })
	if err := os.Rename(tr.path("d"), filepath.Join(tr.root, "d")); err != nil {
		t.Fatal(err)
	}
	tr.link(filepath.Join(tr.root, "d"), "d")
	if _, err := s.Read(c[i]); !errors.Is(err, ErrChanged) {
		t.Errorf("error %v, want ErrChanged", err)
	}
	for _, path := range []string{"../passwd", "", "d/../passwd", "d/"} {
		if _, err := s.Read(Content{Path: path}); err == nil {
			t.Errorf("read %q", path)
		}
	}
}

func TestFIFOInTheFilesPlaceDoesNotHang(t *testing.T) {
	tr := newTree(t)
	if err := unix.Mkfifo(tr.path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := tr.scanner().Read(Content{Path: "pipe"})
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, ErrChanged) {
			t.Errorf("error %v, want ErrChanged", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("waits for somebody to open the other end")
	}
}

func TestUnreadableFileIsAStatusAndKeepsItsFact(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything; run as an ordinary user")
	}
	tr := newTree(t)
	tr.write("open", "1")
	tr.write("closed", "2")
	tr.write("dir/inside", "3")
	s := tr.scanner()
	before := scan(t, s)
	if err := os.Chmod(tr.path("closed"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(tr.path("dir"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(tr.path("dir"), 0o755)
	r := scan(t, s)
	if !r.Denied() || !strings.Contains(r.Status(), "etc/closed: permission denied") {
		t.Errorf("status %q", r.Status())
	}
	for _, p := range []string{"etc/closed", "etc/dir/inside", "etc/open"} {
		if value(t, r, p) != value(t, before, p) {
			t.Errorf("%s = %q, want what was known", p, value(t, r, p))
		}
	}
	if cold := scan(t, tr.scanner()); value(t, cold, "etc/closed") != "" || value(t, cold, "etc/open") == "" {
		t.Errorf("facts %v", cold.Facts)
	}
}

func TestExtendedAttributesAreKept(t *testing.T) {
	tr := newTree(t)
	tr.write("tagged", "x")
	if err := unix.Setxattr(tr.path("tagged"), "user.note", []byte("hi"), 0); err != nil {
		t.Skipf("no user attributes on this file system: %v", err)
	}
	if err := unix.Setxattr(tr.path("tagged"), "user.long", bytes.Repeat([]byte("x"), maxXattrValue+1), 0); err != nil {
		t.Logf("no long attributes here: %v", err)
	}
	s := tr.scanner()
	r := scan(t, s)
	f := file(t, r, "etc/tagged")
	if f.Xattr["user.note"] != "hi" || f.Xattr["user.long"] != "" {
		t.Errorf("attributes %q", f.Xattr)
	}
	if err := unix.Setxattr(tr.path("tagged"), "user.note", []byte("ho"), 0); err != nil {
		t.Fatal(err)
	}
	if f = file(t, scan(t, s), "etc/tagged"); f.Xattr["user.note"] != "ho" {
		t.Errorf("attributes %q after a change", f.Xattr)
	}
}

func TestDeepAndLongPathsAreNamedAndLeftOut(t *testing.T) {
	tr := newTree(t)
	tr.write(strings.Repeat("d/", MaxDepth)+"kept", "x")
	tr.write(strings.Repeat("d/", MaxDepth+3)+"lost", "x")
	tr.write(strings.Repeat(strings.Repeat("\x01", 250)+"/", 7)+"f", "x")
	r := scan(t, tr.scanner())
	if value(t, r, "etc/"+strings.Repeat("d/", MaxDepth)+"kept") == "" {
		t.Error("the deepest allowed file is missing")
	}
	if status := r.Status(); !strings.Contains(status, "folders deeper") || !strings.Contains(status, "too long") {
		t.Errorf("status %q", status)
	}
}

func TestTooBigFileIsADigestOnly(t *testing.T) {
	tr := newTree(t)
	tr.write("big", strings.Repeat("a", MaxContent+1))
	s := tr.scanner()
	for range 2 {
		r := scan(t, s)
		if f := file(t, r, "etc/big"); f.Kind != fact.KindTooBig {
			t.Errorf("kind %s", f.Kind)
		}
		if !strings.Contains(r.Status(), "etc/big") {
			t.Errorf("status %q", r.Status())
		}
	}
	for _, c := range s.Cache.Contents() {
		if c.Path == "big" {
			t.Error("its content is offered")
		}
	}
}

func TestScanEndsWithItsContext(t *testing.T) {
	tr := newTree(t)
	s := tr.scanner()
	ctx, cancel := contextThatEnded()
	cancel()
	if _, err := s.Scan(ctx); err == nil {
		t.Error("no error")
	}
}
