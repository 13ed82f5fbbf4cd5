package mirror

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"testing"
)

func TestFullDiskStopsTheMirrorAndHarmsNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a file system")
	}
	mnt := tempDir(t)
	mount := func(option string) {
		if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", option, "tmpfs", mnt).CombinedOutput(); err != nil {
			t.Skipf("cannot mount here: %s", out)
		}
	}
	mount("size=300k")
	defer func() {
		if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "umount", mnt).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	}()
	dir := mnt + "/m"
	m := busyWorld(400).mirror(dir)
	w := m.cfg.Store.(*world)
	m.page, m.most = 7, 7
	if _, err := m.Drain(t.Context()); err == nil {
		t.Fatal("Drain on a full disk succeeded, want an error")
	}
	if _, err := m.Drain(t.Context()); err == nil {
		t.Fatal("Drain on a disk that is still full succeeded, want an error")
	}
	n, err := m.Backlog(t.Context())
	if err != nil || n == 0 || n == len(w.revs) {
		t.Errorf("backlog is %d of %d, %v; want a part", n, len(w.revs), err)
	}
	checkRepo(t, m.Path("elm/north"))
	mount("remount,size=64m")
	drain(t, m)
	twin := tempDir(t)
	drain(t, busyWorld(400).mirror(twin))
	if got, want := refs(t, dir), refs(t, twin); !maps.Equal(got, want) {
		t.Errorf("with room again %v, want %v", got, want)
	}
	if _, err := m.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	if err := m.closeRepos(); err != nil {
		t.Error(err)
	}
}
