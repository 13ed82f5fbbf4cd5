package mirror

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func graphFile(m *Mirror, repo string) string {
	return filepath.Join(m.Path(repo), "objects/info/commit-graph")
}

// statistics runs git log on a path and returns what git says of its filters.
func statistics(t *testing.T, dir, path string) (commits int, filter string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "-c", "safe.directory=*", "log", "--oneline", "main", "--", path)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_TRACE2_PERF=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	var trace bytes.Buffer
	cmd.Stderr = &trace
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err, trace.String())
	}
	return bytes.Count(out, []byte{'\n'}), regexp.MustCompile(`statistics:.*`).FindString(trace.String())
}

func TestGitUsesTheCommitGraph(t *testing.T) {
	w := busyWorld(300)
	later := w.revs[200:]
	m := w.mirror(tempDir(t))
	for _, r := range later {
		delete(w.data, "t"+outboxPrefix+string(be64(r.Stamp))+r.CI)
	}
	drain(t, m)
	if err := m.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range later {
		w.queue(r)
	}
	drain(t, m)
	m.cfg.Now = func() time.Time { return time.Unix(0, w.clock).Add(graphPause) }
	if err := m.Tidy(t.Context()); err != nil { // adds to what is there
		t.Fatal(err)
	}
	dir := m.Path("elm/north")
	git(t, dir, "commit-graph", "verify")
	file, _, _ := strings.Cut(git(t, dir, "ls-tree", "-r", "--name-only", "main"), "\n")
	machine, _, _ := strings.Cut(file, "/")
	for _, path := range []string{file, machine + "/etc", machine} {
		n, filter := statistics(t, dir, path)
		if !strings.Contains(filter, `"filter_not_present":0`) || strings.Contains(filter, `"definitely_not":0`) {
			t.Errorf("git log -- %s does not use the filters: %s", path, filter)
		}
		want := strings.Count(git(t, dir, "-c", "core.commitGraph=false", "log", "--oneline", "main", "--", path), "\n")
		if n != want || n == 0 {
			t.Errorf("git log -- %s finds %d commits with the graph, %d without", path, n, want)
		}
	}
	own, err := os.ReadFile(graphFile(m, "elm/north"))
	if err != nil {
		t.Fatal(err)
	}
	git(t, dir, "commit-graph", "write", "--reachable", "--changed-paths")
	theirs, err := os.ReadFile(graphFile(m, "elm/north"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(chunk(t, own, "BDAT"), chunk(t, theirs, "BDAT")) {
		t.Error("the filters are not those that git makes")
	}
}

func chunk(t *testing.T, raw []byte, id string) []byte {
	t.Helper()
	for i := range int(raw[6]) {
		row := raw[8+12*i:]
		if string(row[:4]) == id {
			return raw[be(row[4:12]):be(row[16:24])]
		}
	}
	t.Fatalf("no chunk %s", id)
	return nil
}

func be(b []byte) (n int) {
	for _, c := range b {
		n = n<<8 | int(c)
	}
	return n
}

func TestDamagedCommitGraphIsMadeAnew(t *testing.T) {
	w := busyWorld(50)
	m := w.mirror(tempDir(t))
	drain(t, m)
	if err := m.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := graphFile(m, "elm/north")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(good); i += 97 {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, ok := decodeGraph(bad); ok {
			t.Fatalf("a flipped bit in byte %d is not seen", i)
		}
	}
	replaceFile(t, path, good[:len(good)/2])
	if err := m.closeRepos(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.open("elm/north"); err != nil {
		t.Fatal(err)
	}
	if err := m.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, good) {
		t.Errorf("the commit-graph was not made anew: %v", err)
	}
}

func TestPathsThatGitHashesInTwoWaysMatchEveryFilter(t *testing.T) {
	w := newWorld()
	w.record("pc", "elm", map[string]string{"etc/a": w.plain("a", 0o644)})
	w.record("pc", "elm", map[string]string{"etc/blå": w.plain("b", 0o644)})
	m := w.mirror(tempDir(t))
	drain(t, m)
	r, err := m.open("elm")
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.commit(r.head)
	if err != nil {
		t.Fatal(err)
	}
	before, err := r.commit(c.parent)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := changedPaths(r, before.tree, c.tree); !bytes.Equal(got, bloomAny()) || err != nil {
		t.Errorf("filter is %x, %v; want one that matches everything", got, err)
	}
	if got, err := changedPaths(r, Hash{}, before.tree); len(got) < 5 || err != nil {
		t.Errorf("filter of plain names is %x, %v", got, err)
	}
	if got, err := changedPaths(r, c.tree, c.tree); !bytes.Equal(got, bloomNone()) || err != nil {
		t.Errorf("filter of no change is %x, %v", got, err)
	}
}
