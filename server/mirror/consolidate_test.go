package mirror

import (
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func countPacks(t *testing.T, m *Mirror, repo string) int {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(m.Path(repo), "objects/pack/*.pack"))
	if err != nil {
		t.Fatal(err)
	}
	return len(packs)
}

func TestPacksStayFewAndReadersKeepTheirs(t *testing.T) {
	w := busyWorld(200)
	dir := filepath.Join(tempDir(t), "m")
	m := w.mirror(dir)
	m.page, m.most = 1, 1
	m.cfg.Now = func() time.Time { return time.Unix(1_800_000_000, 0) }
	drain(t, m)
	r, err := m.open("elm/north")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.packs) > maxPacks {
		t.Errorf("%d packs are in use, want at most %d", len(r.packs), maxPacks)
	}
	if n := countPacks(t, m, "elm/north"); n < 60 {
		t.Errorf("%d packs are on disk: merged ones are gone before their readers are", n)
	}
	if err := m.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := countPacks(t, m, "elm/north"); n < 60 {
		t.Errorf("%d packs are on disk: tidying has taken merged ones from their readers", n)
	}
	checkRepo(t, m.Path("elm/north"))
	if err := m.closeRepos(); err != nil { // merged packs are not read again
		t.Fatal(err)
	}
	if r, err = m.open("elm/north"); err != nil || len(r.packs) > maxPacks {
		t.Errorf("after opening %d packs are in use, %v", len(r.packs), err)
	}
	m.cfg.Now = func() time.Time { return time.Unix(1_800_000_000, 0).Add(readersGrace) }
	if err := m.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := countPacks(t, m, "elm/north"); n > maxPacks {
		t.Errorf("%d packs are on disk, want at most %d", n, maxPacks)
	}
	checkRepo(t, m.Path("elm/north"))
	if _, err := m.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	whole := filepath.Join(tempDir(t), "whole")
	drain(t, busyWorld(200).mirror(whole))
	if got, want := refs(t, dir), refs(t, whole); !maps.Equal(got, want) {
		t.Errorf("commit by commit the mirror is %v, in one batch %v", got, want)
	}
}

func TestMergingFindsDeltasBetweenSingleCommits(t *testing.T) {
	w := newWorld()
	facts := map[string]string{}
	for i := range 500 {
		facts["etc/f"+strconv.Itoa(i)] = w.plain(strconv.Itoa(i), 0o644)
	}
	w.record("pc", "elm", facts)
	for i := range maxPacks + 1 {
		w.record("pc", "elm", map[string]string{"etc/changing": w.plain("now "+strconv.Itoa(i), 0o644)})
	}
	m := w.mirror(tempDir(t))
	m.page, m.most = 1, 1
	drain(t, m)
	r, err := m.open("elm")
	if err != nil {
		t.Fatal(err)
	}
	merged, err := r.readSuperseded()
	if err != nil || len(merged) < maxPacks/2 {
		t.Fatalf("%d packs were merged, %v", len(merged), err)
	}
	before := int64(0)
	for name := range merged {
		st, err := os.Stat(filepath.Join(r.packDir(), name+".pack"))
		if err != nil {
			t.Fatal(err)
		}
		before += st.Size()
	}
	if after := r.packs[len(r.packs)-1].size; after > before/3 {
		t.Errorf("%d packs of %d bytes became one of %d bytes, want a third at most", len(merged), before, after)
	}
	checkRepo(t, m.Path("elm"))
}

func TestMirrorSurvivesGitsOwnHousekeeping(t *testing.T) {
	w := busyWorld(120)
	later := w.revs[60:]
	for _, r := range later {
		delete(w.data, "t"+outboxPrefix+string(be64(r.Stamp))+r.CI)
	}
	dir := tempDir(t)
	m := w.mirror(dir)
	drain(t, m)
	if err := m.closeRepos(); err != nil {
		t.Fatal(err)
	}
	for _, repo := range []string{"elm/north", "elm/south"} {
		git(t, m.Path(repo), "gc", "-q", "--aggressive", "--prune=now")
		if _, err := os.Stat(filepath.Join(m.Path(repo), "packed-refs")); err != nil {
			t.Fatal("git gc has not packed the refs:", err)
		}
	}
	for _, r := range later {
		w.queue(r)
	}
	drain(t, m)
	if _, err := m.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	checkRepo(t, m.Path("elm/north"))
}

func TestDeltaChainsAreBounded(t *testing.T) {
	w := newWorld()
	for i := range 3 * maxDepth {
		w.record("pc", "elm", map[string]string{"etc/f": w.plain(strings.Repeat("a line that stays\n", 50)+strconv.Itoa(i), 0o644)})
	}
	m := w.mirror(tempDir(t))
	drain(t, m)
	packs, err := filepath.Glob(filepath.Join(m.Path("elm"), "objects/pack/*.idx"))
	if err != nil || len(packs) != 1 {
		t.Fatal(packs, err)
	}
	longest := 0
	for l := range strings.Lines(git(t, ".", "verify-pack", "-v", packs[0])) {
		if words := strings.Fields(l); len(words) == 7 { // id type size packed offset depth base
			depth, err := strconv.Atoi(words[5])
			if err != nil {
				t.Fatal(err)
			}
			longest = max(longest, depth)
		}
	}
	if longest != maxDepth {
		t.Errorf("the longest chain has %d deltas, want %d", longest, maxDepth)
	}
}

func TestPackWithoutAnIndexIsRemoved(t *testing.T) {
	m := smallWorld().mirror(tempDir(t))
	drain(t, m)
	left := filepath.Join(m.Path("elm/north"), "objects/pack/pack-0123.pack")
	if err := os.WriteFile(left, []byte("PACK"), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := m.closeRepos(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.open("elm/north"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("the pack is still there")
	}
}
