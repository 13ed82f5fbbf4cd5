package mirror

import (
	"maps"
	"os"
	"path/filepath"
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
	dir := filepath.Join(t.TempDir(), "m")
	m := w.mirror(dir)
	m.page = 1
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
	whole := filepath.Join(t.TempDir(), "whole")
	drain(t, busyWorld(200).mirror(whole))
	if got, want := refs(t, dir), refs(t, whole); !maps.Equal(got, want) {
		t.Errorf("commit by commit the mirror is %v, in one batch %v", got, want)
	}
}

func TestMergingFindsDeltasBetweenSingleCommits(t *testing.T) {
	w := newWorld()
	facts := map[string]string{}
	for i := range 500 {
		facts["etc/f"+string(rune('a'+i%26))+"/"+time.Unix(int64(i), 0).UTC().Format("150405")] = w.plain("same\n", 0o644)
	}
	w.record("pc", "elm", facts)
	for i := range 40 {
		w.record("pc", "elm", map[string]string{"etc/changing": w.plain(time.Unix(int64(i), 0).UTC().String(), 0o644)})
	}
	m := w.mirror(t.TempDir())
	m.page = 1
	drain(t, m)
	r, err := m.open("elm")
	if err != nil {
		t.Fatal(err)
	}
	largest, smallest := r.packs[0].size, r.packs[0].size
	for _, p := range r.packs {
		largest, smallest = max(largest, p.size), min(smallest, p.size)
	}
	if len(r.packs) > maxPacks || largest > 4*smallest {
		t.Errorf("%d packs, the largest has %d bytes where a single commit takes %d", len(r.packs), largest, smallest)
	}
	checkRepo(t, m.Path("elm"))
}

func TestMirrorSurvivesGitsOwnHousekeeping(t *testing.T) {
	w := busyWorld(120)
	later := w.revs[60:]
	for _, r := range later {
		delete(w.data, "t"+outboxPrefix+string(be64(r.Stamp))+r.CI)
	}
	dir := t.TempDir()
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
