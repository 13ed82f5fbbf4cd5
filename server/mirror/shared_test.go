package mirror

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

// oddWorld has machines that are alike, and facts that no honest agent sends.
func oddWorld() *world {
	w := newWorld()
	facts := func(host string) map[string]string {
		all := map[string]string{
			"pkg/a": "x", "pkg/a/version": "1", "pkg/a-b/version": "2", "pkg/a/b/version": "3", "pkg/only/arch": "amd64",
			"etc/hostname": w.plain(host, 0o644), "etc/file": w.plain("a file", 0o644), "etc/file/below": w.plain("and below it", 0o644),
			"etc/.git/config": w.plain("evil", 0o644), "etc/link": link("target"), "hw/cpu": "many",
		}
		for i := range 40 {
			all[fmt.Sprintf("etc/dir%d/sub/file%02d", i%5, i)] = w.plain(fmt.Sprint("content ", i), 0o644)
			all[fmt.Sprintf("pkg/lib%02d/version", i)] = "1.0"
		}
		return all
	}
	for i := range 6 {
		w.record(fmt.Sprint("pc", i), fmt.Sprint("elm/s", i%3), facts(fmt.Sprint("pc", i)))
	}
	w.record("pc1", "elm/s1", map[string]string{"etc/file/below": "", "pkg/a": "", "pkg/lib07/version": "1.1", "pkg/lib08/version": "", "etc/dir3/sub/file03": ""})
	w.record("pc2", "elm/s2", map[string]string{"pkg/a": "", "pkg/a/b/version": "", "pkg/lib07/state": "held", "pkg/lib06/version": ""})
	w.record("pc3", "elm/s1", nil)
	all := map[string]string{}
	for path := range w.facts["pc4"] {
		if strings.HasPrefix(path, "etc/") {
			all[path] = ""
		}
	}
	w.record("pc4", "elm/s1", all)
	w.record("pc4", "elm/s1", facts("pc4 again"))
	return w
}

var worlds = map[string]func() *world{
	"small": smallWorld, "busy": func() *world { return busyWorld(60) }, "odd": oddWorld,
}

// The ids were noted at commit ee21566, before sets were shown to the mirror as what
// they have otherwise than a whole.
func TestCommitIDsAreThoseOfBefore(t *testing.T) {
	for name, want := range map[string]map[string]string{
		"small": {"elm/north.git": "edbb960c1fa075ceca175f4f71b9319c310b1a04", "elm/south.git": "740d277dc7c661e818fd5954d8770aa80f34128f"},
		"busy":  {"elm/north.git": "f1e28aadd6de97a933580e0f5a53374f9ec07294", "elm/south.git": "48dfc7279cb5676b10f26bec32b7efd913dea8e7"},
		"odd":   {"elm/s0.git": "07cee9907320ae82684e6f537dd3ddbf4b1c435c", "elm/s1.git": "2dfc56b3e29dcd72d6e2a31d9be775e586b3b18b", "elm/s2.git": "c74662a371e318004cb0cd979a1bdb36bc0f562e"},
	} {
		for _, unshared := range []bool{false, true} {
			w, dir := worlds[name](), tempDir(t)
			w.unshared = unshared
			m := w.mirror(dir)
			drain(t, m)
			if got := refs(t, dir); !maps.Equal(got, want) {
				t.Errorf("%s, unshared %v: %v, want %v", name, unshared, got, want)
			}
			for repo := range want {
				checkRepo(t, m.Path(strings.TrimSuffix(repo, ".git")))
			}
			if _, err := m.Verify(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

// What machines have in common is worked out once for all schools; what only one
// machine has must not come into the repository of another school on the way.
func TestARepositoryHoldsNothingOfAnotherSchool(t *testing.T) {
	w := oddWorld()
	m := w.mirror(tempDir(t))
	drain(t, m)
	all := git(t, m.Path("elm/s1"), "cat-file", "--batch-all-objects", "--batch")
	for host, want := range map[string]bool{"pc0": false, "pc2": false, "pc5": false, "pc1": true, "pc4": true} {
		if got := strings.Contains(all, " blob 3\n"+host+"\n"); got != want {
			t.Errorf("elm/s1 has what only %s has: %v, want %v", host, got, want)
		}
	}
}

// The machine that others stand on may be erased, with contents that only it had.
func TestMachinesAreMirroredAfterTheOneThatTheyStandOnIsGone(t *testing.T) {
	w, peer := oddWorld(), oddWorld()
	for _, world := range []*world{w, peer} {
		world.revs = world.revs[1:]
		clear(world.data)
		for i, r := range world.revs {
			world.at[fmt.Sprint(r.CI, "/", r.N)] = i
			world.queue(r)
		}
	}
	peer.unshared = true
	for _, d := range w.last["pc0"].State {
		if _, err := w.Set(t.Context(), d); err != nil { // now they stand on it
			t.Fatal(err)
		}
	}
	f, err := fact.ParseFile(w.facts["pc0"]["etc/hostname"])
	if err != nil {
		t.Fatal(err)
	}
	delete(w.contents, f.Digest)
	dir, plain := tempDir(t), tempDir(t)
	drain(t, w.mirror(dir))
	drain(t, peer.mirror(plain))
	if got, want := refs(t, dir), refs(t, plain); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Whoever asks how far the mirror is behind sees a long page go on.
func TestTheOutboxEmptiesWhileAPageIsWorkedOn(t *testing.T) {
	w := oddWorld()
	m := w.mirror(tempDir(t))
	m.settleEvery = 0
	var left []int
	m.disk.step = func(name string) error {
		if name == "outbox cleared" {
			n, err := m.Backlog(t.Context())
			left = append(left, n)
			return err
		}
		return nil
	}
	drain(t, m)
	if len(left) < 3 || left[0] == 0 || left[len(left)-1] != 0 {
		t.Errorf("revisions left after each step: %v", left)
	}
	if at, err := m.Watermark(t.Context()); at != w.clock || err != nil {
		t.Errorf("watermark is %d, %v; want %d", at, err, w.clock)
	}
}
