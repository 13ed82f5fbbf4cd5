package mirror

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

// hostilePaths are paths below /etc as an agent that lies may report them,
// escaped as every fact is, and some that no honest agent can make.
func hostilePaths() []string {
	names := []string{
		"..", ".", "...", ".git", ".GIT", ".Git", ".gIt", "git~1", "GIT~1", "git~2", ".git.", ".git ", ".git...", ".git::$INDEX_ALLOCATION",
		".git\u200c", ".g\u200cit", ".gi\u200dt", "\ufeff.git", ".gitmodules", ".GITMODULES", "gitmod~1", "gi7eba~1", ".gitattributes", ".gitignore", ".mailmap", "maba30~1",
		"new\nline", "tab\there", "esc\x1b[31mred", "bell\a", "cr\rx", "del\x7f", "csi\u009b31m", "rtl\u202eevil", "ls\u2028x",
		strings.Repeat("a", 255), strings.Repeat("æ", 127), strings.Repeat("\xff", 255), strings.Repeat("\n", 255), strings.Repeat("%", 255), strings.Repeat("b", 251) + ".age",
		"\xff\xfe", "caf\xe9", "\xc0\xaf", "\xed\xa0\x80", "trailing ", "trailing.", " leading", "-rf", "--help", "@", "@{u}", "HEAD", "refs", "main.lock", "a..b", "a~b", "a^b", "a:b", "a?b", "a*b", "a[b", `a\b`, `..\..\x`, "%2e%2e", "%00", "con", "NUL", "aux.txt", "COM1", "x.age", "x", "X",
		"$(reboot)", "`id`", ";ls", "|cat", "<script>", "\"quote\"", "'quote'", "~", "~root", "#", "a b", "𝕏", "日本語", "é", "e\u0301",
	}
	var paths []string
	for _, n := range names {
		n = fact.Name(n)
		paths = append(paths, "etc/"+n, "etc/sub/"+n, "etc/"+n+"-dir/"+n)
	}
	return append(paths, "etc/../../outside", "etc/./x", "etc//x", "etc/a//b", "etc/.git/hooks/post-checkout", "etc/.git/config", "etc/x/", "etc/%zz", "etc/%2F", "etc/%6eot-canonical",
		"etc/"+strings.Repeat("d/", 200)+"deep", "etc/"+strings.Repeat(strings.Repeat("l", 250)+"/", 15)+"long", "etc/file", "etc/file/below", "etc/file/below/more")
}

func TestHostilePathsReachAClone(t *testing.T) {
	w, dir := newWorld(), tempDir(t)
	facts := map[string]string{"etc/../../link": link(".git/hooks"), "etc/empty": link(""), "etc/nul": link("a\x00b"), "etc/loop": link("loop"), "etc/up": link("../../../../etc/passwd"), "etc/huge": link(strings.Repeat("x", 5000)), "etc/lines": link("a\nb"), "etc/bad": "nonsense", "etc/worse": "sha256:12 0644 root:root"}
	paths := hostilePaths()
	for i, p := range paths {
		if strings.HasPrefix(p, "etc/sub/") {
			facts[p] = w.sealed(fmt.Sprint("sealed ", i))
		} else {
			facts[p] = w.plain(fmt.Sprint("content ", i), 0o755)
		}
	}
	evil := "../../.git/x\n\nCI: other\x1b[31m"
	w.recordAs("ci1", evil, "../up/.git", evil, facts)
	w.recordAs("ci1", evil, "../up/.git", evil, map[string]string{"pkg/" + fact.Name("\x1b]0;x") + "/version": "1", "svc/a": "on\nCI: forged"})
	for _, p := range paths[:50] {
		facts[p] = ""
	}
	w.recordAs("ci1", evil, "../up/.git", evil, facts)
	m := w.mirror(filepath.Join(dir, "mirror"))
	drain(t, m)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("outside of the mirror's folder are %v, %v", entries, err)
	}
	clone := checkRepo(t, m.Path("../up/.git"))
	log := git(t, clone, "log", "-p", "--stat")
	if strings.ContainsAny(log, "\x1b\x07\r\x7f") {
		t.Error("git log shows a control character from outside")
	}
	if got := strings.Count(log, "\n    CI: "); got != 3 {
		t.Errorf("the log has %d CI trailers, want 3", got)
	}
	if _, err := m.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	hooks, err := filepath.Glob(filepath.Join(clone, ".git/hooks/post-*"))
	if err != nil || len(hooks) != 1 { // git's own post-update.sample
		t.Errorf("hooks in the clone: %v, %v", hooks, err)
	}
}

func TestHostilePathsAllHaveTheirOwnPlace(t *testing.T) {
	w, m := newWorld(), (*Mirror)(nil)
	facts, want := map[string]string{}, map[string]string{}
	for i, p := range hostilePaths() {
		if strings.HasPrefix(p, "etc/file/") {
			continue // shadows a file, see TestAFileAboveAnotherHasNoPlace
		}
		want[p] = fmt.Sprint("content ", i)
		facts[p] = w.plain(want[p], 0o644)
	}
	w.record("ci1", "elm", facts)
	m = w.mirror(tempDir(t))
	drain(t, m)
	clone := checkRepo(t, m.Path("elm"))
	have := map[string]int{}
	err := filepath.WalkDir(filepath.Join(clone, "ci1/etc"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		have[string(raw)]++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range want {
		if have[content] != 1 && len(w.sets[w.last["ci1"].State["etc"]].Below(path+"/")) == 0 {
			t.Errorf("%q is in the clone %d times, want once", path, have[content])
		}
	}
	manifest, err := os.Open(filepath.Join(clone, "ci1", manifestFile))
	if err != nil {
		t.Fatal(err)
	}
	defer manifest.Close()
	got, err := fact.ReadText(manifest)
	if err != nil || got.Digest() != w.last["ci1"].State["etc"] {
		t.Errorf("the manifest does not give back the facts: %v", err)
	}
}

func TestRepositoriesStayBelowTheMirror(t *testing.T) {
	for path, want := range map[string]string{
		"elm/north":     "elm/north.git",
		"unassigned":    "unassigned.git",
		"../x":          "%2E./x.git",
		"a/../../x":     "a/%2E./%2E./x.git",
		"/etc":          "%00/etc.git",
		"elm.git/north": "elm%2Egit/north.git",
		"a\x1b/b":       "a%1B/b.git",
	} {
		if got := repoFile(path); got != want {
			t.Errorf("repoFile(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestAFileAboveAnotherHasNoPlace(t *testing.T) {
	w := newWorld()
	steps := []map[string]string{
		{"etc/a": w.plain("file a", 0o644)},
		{"etc/a/b": w.plain("below", 0o644)},
		{"etc/a/b/c": link("deeper")},
		{"etc/a/b/c": ""},
		{"etc/a": w.sealed("sealed a")},
		{"etc/a/b": ""},
		{"etc/a": w.plain("file again", 0o755), "etc/a/b": "dir 0755 root:root"},
		{"etc/a/b": ""},
	}
	want := []string{"etc/a", "etc/a/b", "etc/a/b/c", "etc/a/b", "etc/a/b", "etc/a.age", "", "etc/a"}
	m := w.mirror(tempDir(t))
	for i, facts := range steps {
		w.record("pc", "elm", facts)
		drain(t, m)
		got := strings.TrimSpace(strings.ReplaceAll(git(t, m.Path("elm"), "ls-tree", "-r", "--name-only", "main:pc", "etc"), "\n", " "))
		if got != want[i] {
			t.Errorf("step %d: the tree holds %q, want %q", i, got, want[i])
		}
		if _, err := m.Verify(t.Context()); err != nil {
			t.Errorf("step %d: %v", i, err)
		}
	}
}
