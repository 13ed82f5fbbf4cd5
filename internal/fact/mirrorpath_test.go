package fact

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

func TestMirrorPathLeavesOrdinaryPathsAlone(t *testing.T) {
	for _, p := range []string{
		"etc/cups/cupsd.conf", "etc/.pwd.lock", "etc/ssl/certs/ca-certificates.crt", "etc/group-", "etc/foo~",
		"etc/gitea/app.ini", "etc/gitconfig", "etc/ssl/certs/NetLock_Arany_=Class_Gold=_Főtanúsítvány.pem",
		"etc/bad%FFname", "etc/with space", "etc/a%25b",
	} {
		if got := MirrorPath(p); got != p {
			t.Errorf("MirrorPath(%q) = %q, want it unchanged", p, got)
		}
	}
}

func TestMirrorPathDisarmsNamesThatGitKnows(t *testing.T) {
	tests := []struct{ path, want string }{
		{"etc/.git", "etc/%2Egit"},
		{"etc/.GiT/config", "etc/%2EGiT/config"},
		{"etc/.gitattributes", "etc/%2Egitattributes"},
		{"etc/.gitmodules", "etc/%2Egitmodules"},
		{"etc/.gitignore", "etc/%2Egitignore"},
		{"etc/.git ", "etc/%2Egit "},
		{"etc/.git...", "etc/%2Egit..."},
		{"etc/.git::$INDEX_ALLOCATION", "etc/%2Egit::$INDEX_ALLOCATION"},
		{"etc/.g\u200cit", "etc/%2Eg\u200cit"},
		{"etc/git~1", "etc/%67it~1"},
		{"etc/GITMOD~1", "etc/%47ITMOD~1"},
		{"etc/gi7eba~1", "etc/%67i7eba~1"},
		{"etc/g~100000", "etc/%67~100000"},
		{"etc/.mailmap", "etc/%2Emailmap"},
		{"etc/..", "etc/%2E."},
		{"etc/.", "etc/%2E"},
		{"etc/. ", "etc/%2E "},
		{`etc/a\.git`, "etc/%61%5C.git"},
		{`etc/dev-a\x2db.swap`, "etc/dev-a%5Cx2db.swap"},
		{"etc/key.age", "etc/key%2Eage"},
		{"etc/.age", "etc/%2Eage"},
	}
	for _, tt := range tests {
		if got := MirrorPath(tt.path); got != tt.want {
			t.Errorf("MirrorPath(%q) = %q, want %q", tt.path, got, tt.want)
		}
	}
}

func TestMirrorPathHashesWhatEscapeDidNotMake(t *testing.T) {
	for _, p := range []string{"", "etc/", "etc/%2Egit", "etc/%zz", "etc/a\x00b", "etc/a\nb", "etc/%41", "etc/%2f", "etc/\xff", "etc/%~ab"} {
		got := MirrorPath(p)
		last := got[strings.LastIndexByte(got, '/')+1:]
		if !strings.HasPrefix(last, "%~") || len(last) != 34 {
			t.Errorf("MirrorPath(%q) = %q, want a hashed name", p, got)
		}
	}
}

func TestMirrorPathIsShortEnoughForSealedNamesToo(t *testing.T) {
	for _, name := range []string{
		strings.Repeat("x", 255), strings.Repeat("x", 252), strings.Repeat("ø", 127), strings.Repeat("%FF", 255),
		strings.Repeat("x", 199) + strings.Repeat("%FF", 40), strings.Repeat(`\`, 200), strings.Repeat("x", 198) + strings.Repeat("%FF", 40),
	} {
		got := SealedMirrorPath("etc/" + name)
		if n := len(got) - len("etc/"); n > 255 || !strings.Contains(got, hashMark) || !inert(got) {
			t.Errorf("SealedMirrorPath(%.20q…) has a name of %d bytes: %q", name, n, got)
		}
	}
	if got := MirrorPath("etc/" + strings.Repeat("x", 251)); strings.Contains(got, hashMark) {
		t.Errorf("a name of 251 bytes was cut: %q", got)
	}
}

// A sealed file and a plain one whose name ends in ".age" must not meet.
func TestMirrorPathIsInjective(t *testing.T) {
	names := []string{
		"a", "a.age", "a%2Eage", "a.age.age", ".git", "%2Egit", "%2egit", "%252Egit", ".GIT", `\`, "%5C", "%255C", "", "%00", "%",
		strings.Repeat("x", 252), strings.Repeat("x", 253), "%~" + mirrorHash(""),
	}
	seen := map[string]string{}
	for _, n := range names {
		for _, p := range []string{MirrorPath("etc/" + n), SealedMirrorPath("etc/" + n)} {
			if other, twice := seen[p]; twice {
				t.Errorf("%q and %q share %q", n, other, p)
			}
			seen[p] = n
		}
	}
}

// FuzzMirrorPath: every component is safe and short, whatever comes in, and
// what has been through Escape can be told from everything else.
func FuzzMirrorPath(f *testing.F) {
	f.Add("etc/.git/config", "etc/.GIT")
	f.Add("etc/a.age", "etc/a")
	f.Add("etc/..\x00\n", strings.Repeat("%FF", 200))
	f.Fuzz(func(t *testing.T, a, b string) {
		ma, mb := MirrorPath(a), MirrorPath(b)
		if a != b && (ma == mb || SealedMirrorPath(a) == mb) {
			t.Fatalf("%q and %q share %q", a, b, ma)
		}
		for name := range strings.SplitSeq(ma, "/") {
			if name == "" || len(name) > mirrorName || gitsOwn(name) || strings.Contains(name, `\`) || strings.HasSuffix(name, sealedSuffix) || !inert(name) {
				t.Fatalf("MirrorPath(%q) has the name %q", a, name)
			}
		}
	})
}

// The judge of what git takes for its own is git.
func TestGitFsckStrictAcceptsEveryMirrorPath(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	dir := t.TempDir()
	run := func(in []byte, args ...string) string {
		t.Helper()
		cmd := exec.Command(git, append([]string{"-C", dir}, args...)...)
		cmd.Stdin = bytes.NewReader(in)
		cmd.Env = []string{"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b", "HOME=" + dir}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run(nil, "init", "-q", "--bare", "-b", "main")
	blob := run([]byte("[submodule \"x\"]\n\tpath = -x\n\turl = -u./x\n"), "hash-object", "-w", "--stdin")
	var tree bytes.Buffer
	for i, n := range []string{
		".", "..", ".git", ".GIT", ".Git ", ".git.", "git~1", "GIT~1", "GI7EBA~1", "gitmod~1", "g~1234567", "~1234567", ".gitmodules", ".gitmodules:x", ".gitattributes",
		".mailmap", ".g\u200cit", "\u200d.git", ".gi\u206ft", `x\.git`, `x\.gitmodules`, `.\.git`, "a\nb", "\x1b]52;c;x\a", strings.Repeat("n", 300), "\xff\xfe", "",
	} {
		fmt.Fprintf(&tree, "100644 blob %s\t%s\x00", blob, MirrorPath(Escape(n)))
		fmt.Fprintf(&tree, "120000 blob %s\t%s\x00", blob, SealedMirrorPath(Escape(n)))
		fmt.Fprintf(&tree, "100644 blob %s\t%d%s\x00", blob, i, MirrorPath(Escape(n)))
	}
	commit := run(nil, "commit-tree", "-m", "x", run(tree.Bytes(), "mktree", "-z"))
	run(nil, "update-ref", "refs/heads/main", commit)
	if out := run(nil, "fsck", "--strict", "--no-dangling"); out != "" {
		t.Errorf("git fsck --strict: %s", out)
	}
}
